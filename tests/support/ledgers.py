"""What SQLite itself says of a ledger."""

from __future__ import annotations

from cutoutd.daemon.ledger.database import Ledger


def integrity(ledger: Ledger) -> str:
    """`"ok"`, or what is wrong with it."""
    return str(ledger.db.execute("PRAGMA integrity_check(1)").fetchone()[0])
