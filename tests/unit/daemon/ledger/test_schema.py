"""The tables that a ledger is made with hold what the ledger says they do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from cutoutd.daemon.ledger import schema, soundness
from cutoutd.daemon.ledger.database import Ledger


def test_a_ledger_is_made_of_it_and_of_nothing_else(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as anew, closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        assert soundness.is_empty(anew)
        assert not soundness.has_todays_shape(anew)
        schema.make(anew)
        assert soundness.has_todays_shape(anew)
        made = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
        assert [tuple(row) for row in ledger.read(made)] == anew.execute(made).fetchall()
