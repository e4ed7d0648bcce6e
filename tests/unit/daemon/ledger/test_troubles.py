"""Errors of the ledger: a full disk and another program are told from mistakes of ours."""

from __future__ import annotations

import os
import sqlite3

import pytest

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.troubles import is_busy, is_passing_trouble


def test_a_full_disk_is_told_from_a_mistake(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.OperationalError) as mistake:
        ledger.read("SELECT nothing FROM nowhere")
    assert not is_passing_trouble(mistake.value)
    pages = ledger.one("PRAGMA page_count")[0]  # type: ignore[index]
    ledger.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError) as full:
        ledger.set_meta("n1", os.urandom(500_000))
    assert is_passing_trouble(full.value)
    ledger.abandon()  # must not raise, whatever state the transaction is in


def test_another_program_that_holds_the_ledger_is_told_from_a_mistake(ledger: Ledger) -> None:
    ledger.commit()
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger.db.execute("PRAGMA busy_timeout=0")
    with pytest.raises(sqlite3.OperationalError) as held:
        ledger.set_meta("n1", 1)
    assert is_busy(held.value)
    assert is_passing_trouble(held.value)
    other.close()
