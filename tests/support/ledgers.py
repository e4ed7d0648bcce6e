"""What SQLite itself says of a ledger."""

from __future__ import annotations

from collections.abc import Callable

from cutoutd.daemon.ledger.database import Ledger


def integrity(ledger: Ledger) -> str:
    """`"ok"`, or what is wrong with it."""
    return str(ledger.db.execute("PRAGMA integrity_check(1)").fetchone()[0])


def steps(ledger: Ledger, work: Callable[[], object]) -> int:
    """How many instructions of SQLite's machine some work takes: what it looks at, whatever else the machine does."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    ledger.db.set_progress_handler(counted, 1)
    work()
    ledger.db.set_progress_handler(None, 1)
    return count
