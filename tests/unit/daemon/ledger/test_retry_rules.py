"""How often, and after which pauses."""

from __future__ import annotations

import pytest

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.retry_rules import RetryRule, incomplete_so_far, retry_rules


def test_pauses_grow_fourfold_up_to_the_longest() -> None:
    rule = RetryRule(6, 1.0, 50.0)
    assert [rule.pause_s(attempts) for attempts in range(6)] == [0.0, 1.0, 4.0, 16.0, 50.0, 50.0]


def test_what_would_not_change_is_not_tried_again() -> None:
    rules = retry_rules(attempts_after_death=2, attempts_when_busy=5, settle_s=3.0)
    assert rules[Reason.CRASHED].attempts == 2
    assert rules[Reason.BUSY].attempts == 5
    assert rules[Reason.UNREADABLE].first_pause_s == 3.0
    assert Reason.TOO_LARGE not in rules


@pytest.mark.parametrize("rest_s", [0.0, 2.0, 60.0, 3600.0])
def test_an_incomplete_photo_is_looked_at_until_it_has_rested(rest_s: float) -> None:
    rule = incomplete_so_far(rest_s)
    pauses = [rule.pause_s(attempts) for attempts in range(1, rule.attempts)]
    assert sum(pauses) >= rest_s
    assert sum(pauses[:-1]) < max(rest_s, 2.0)
