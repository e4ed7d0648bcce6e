"""Who pays for a mistake: one photo or folder; the ledger's own trouble passes."""

from __future__ import annotations

import sqlite3

import pytest

from cutoutd.config.errors import LedgerError
from cutoutd.daemon.ledger.faults import alone, guarded


def test_a_mistake_is_told_and_goes_no_further() -> None:
    told: list[Exception] = []
    with alone(told.append):
        raise KeyError("one photo")
    assert [str(error) for error in told] == ["'one photo'"]


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk is full"), LedgerError("damaged")])
def test_trouble_with_the_ledger_is_nobodys_fault(error: Exception) -> None:
    with pytest.raises(type(error)), alone(lambda _: pytest.fail("no photo is to blame")):
        raise error


def test_a_continuation_keeps_its_guard() -> None:
    told: list[object] = []

    def then(value: object, error: BaseException | None) -> None:
        told.append((value, error))
        raise ValueError

    guarded(then, lambda error: told.append(type(error)))(7, None)
    assert told == [(7, None), ValueError]
