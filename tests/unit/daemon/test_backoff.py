"""Pauses grow, and never beyond their limit."""

from __future__ import annotations

import pytest

from cutoutd.daemon.backoff import backoff_s


@pytest.mark.parametrize(
    ("failures", "pause_s"), [(-1, 0.0), (0, 0.0), (1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (10**6, 60.0)]
)
def test_each_pause_is_twice_the_one_before_until_the_longest(failures: int, pause_s: float) -> None:
    assert backoff_s(failures, 2.0, 60.0) == pause_s


def test_it_may_grow_faster() -> None:
    assert [backoff_s(n, 1.0, 300.0, 4.0) for n in range(1, 7)] == [1.0, 4.0, 16.0, 64.0, 256.0, 300.0]
