"""Mistakes that are about no photo: each is logged and counted, and each kind told once in a row."""

from __future__ import annotations

import pytest
from tests.support.simulation import Heard

from cutoutd.daemon.mistakes import Mistakes


def test_nothing_is_said_of_none() -> None:
    assert Mistakes(Heard()).so_far() == ""


def test_a_mistake_that_comes_again_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    mistakes = Mistakes(heard)
    for _ in range(3):
        mistakes.note(ZeroDivisionError("by nothing"))
    assert len(heard.warnings) == 1
    assert "ZeroDivisionError: by nothing" in heard.warnings[0]
    assert (mistakes.count, len(caplog.records)) == (3, 3)
    assert "made 3 mistakes, most recently (ZeroDivisionError: by nothing)" in mistakes.so_far()


def test_another_kind_is_told_too() -> None:
    heard = Heard()
    mistakes = Mistakes(heard)
    mistakes.note(ValueError("one"))
    assert "made a mistake (ValueError: one)" in mistakes.so_far()
    mistakes.note(KeyError("two"))
    mistakes.note(ValueError("one"))
    assert len(heard.warnings) == 3
