"""Which originals are under way, or still to be moved, as the rows of their photos say; it writes nothing."""

from __future__ import annotations

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import COLUMNS, PhotoRow, photo_row


def owed_elsewhere(ledger: Ledger, limit: int) -> list[bytes]:
    """Where originals lie that are to be done again and were archived, trashed or put aside; absolute paths."""
    rows = ledger.read(
        "SELECT archived_to FROM photos WHERE state IN ('pending', 'running') AND archived_to IS NOT NULL"
        " ORDER BY arrived, id LIMIT ?",
        (limit,),
    )
    return [row["archived_to"] for row in rows]


def hidden_names(ledger: Ledger) -> frozenset[bytes]:
    """Absolute paths of the originals that lie under our own names on their way to another folder."""
    rows = ledger.read(
        "SELECT hidden_name FROM photos WHERE hidden_name IS NOT NULL AND aftercare = 'hidden'"
    )
    return frozenset(row["hidden_name"] for row in rows)


def hidden(ledger: Ledger) -> dict[bytes, list[PhotoRow]]:
    """By inbox, the photos whose originals lie under our own names, or were to be given such."""
    rows = ledger.read(f"SELECT {COLUMNS} FROM photos WHERE aftercare = 'hidden' ORDER BY id")
    found: dict[bytes, list[PhotoRow]] = {}
    for row in map(photo_row, rows):
        found.setdefault(row.inbox, []).append(row)
    return found


def aftercare_owed(ledger: Ledger, inbox: bytes | None = None) -> list[int]:
    """Ids of rows whose original is still to be archived or trashed; those that failed before come last.

    One that is hidden is always among them: also that of a photo which is to be done again since.

    Args:
        ledger: has the rows.
        inbox: only rows of this one; of all, if not given.
    """
    rows = ledger.read(
        "SELECT id FROM photos WHERE (aftercare = 'hidden' OR (aftercare = 'owed' AND state IN ('done', 'failed')))"
        " AND inbox = coalesce(?, inbox) ORDER BY state = 'failed' OR detail <> '', id",
        (inbox,),
    )
    return [row["id"] for row in rows]
