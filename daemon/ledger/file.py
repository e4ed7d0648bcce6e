"""The ledger as a file: opened, held by others, put aside when it is damaged, put back when it was removed.

What stands in it is `database`'s.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from cutoutd.daemon.ledger import migrations
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.troubles import LedgerCorruptError, is_busy


def is_held(path: Path) -> bool:
    """Whether another program holds the ledger at `path` so that it cannot be written now."""
    address = f"{path.absolute().as_uri()}?mode=rw"  # never makes one
    try:
        with contextlib.closing(sqlite3.connect(address, timeout=0, isolation_level=None, uri=True)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return is_busy(error)
    return False


def open_ledger(path: Path, *, clock: Callable[[], float] = time.time) -> tuple[Ledger, Path | None]:
    """The ledger at `path`; a damaged one is moved aside first.

    Returns:
        The ledger, and where the damaged file went, or None.

    Raises:
        LedgerError: when it cannot be opened for another reason.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return Ledger(path, clock=clock), None
    except LedgerCorruptError:
        aside = move_aside(path, clock())
        return Ledger(path, clock=clock), aside


def move_aside(path: Path, wall: float) -> Path:
    """Puts a damaged ledger, which nobody has open, out of the way of a new one. Returns where it lies.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.damaged-{int(wall)}")
    number = 1
    while aside.exists():  # put aside in the same second, or under a clock that was set back
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{int(wall)}-{number}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


def save_removed(ledger: Ledger) -> Path | None:
    """Copies a ledger that is open, and whose file was removed, whole to a file beside where it lay.

    That file gets the ledger's name once the ledger is closed: SQLite removes the log of a ledger by its name then.

    Returns:
        The copy; None where another file lies in the ledger's place.

    Raises:
        sqlite3.Error, OSError: it cannot be written; nothing stays of it.
    """
    path = ledger.path
    if path.exists():
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    ledger.rollback()  # as after a crash
    copy = path.with_name(f"{path.name}.removed.part")
    migrations.write_copy(ledger.db, copy)
    return copy
