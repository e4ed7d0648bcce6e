"""Waiting photos in the order in which they are due; whose turn it is among inboxes is not decided here."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import COLUMNS, PhotoRow, photo_row
from cutoutd.daemon.ledger.states import Stage

# A pause never lasts longer than this; a row that claims more comes from a clock that jumped back.
LONGEST_PAUSE_S = 600.0


class Queue:
    """The pending rows, one look at an index each: waiting photos cost a row and no memory."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def first(
        self, inbox: bytes, *, stages: Iterable[Stage], now: float, newest: bool, early: bool
    ) -> PhotoRow | None:
        """The photo of an inbox that is due next, or None.

        Args:
            inbox: its absolute path.
            stages: those that may start, the more urgent ones first.
            now: wall-clock seconds.
            newest: the one that came last, instead of the one that came first.
            early: also those that have not settled.
        """
        direction = "DESC" if newest else "ASC"
        for settled, stage in product((1, 0) if early else (1,), tuple(stages)):
            row = self.ledger.one(
                f"SELECT {COLUMNS} FROM photos WHERE state = 'pending' AND inbox = ?"
                # "+ 0": what is like the condition of an index (of the few pausing rows) is prepared anew at each call.
                " AND settled = ? AND stage = ? AND (not_before <= ? OR not_before > ? + 0)"
                # One whose original is on its way elsewhere waits until that lies there, or is back.
                " AND aftercare <> 'hidden'"
                # One whose predecessor is on its way to the outbox waits: it is to replace that cutout.
                " AND NOT EXISTS"
                " (SELECT 1 FROM photos p WHERE p.id = photos.previous AND p.state = 'delivering')"
                f" ORDER BY interruptions, arrived {direction}, id {direction} LIMIT 1",
                (inbox, settled, stage, now, now + LONGEST_PAUSE_S),
            )
            if row is not None:
                return photo_row(row)
        return None

    def next_due(self, now: float) -> float | None:
        """Wall-clock time at which the next pausing row becomes due, or None."""
        row = self.ledger.one(
            # "> 0" lets the index of the few pausing rows be used, instead of a look at all that wait.
            "SELECT min(not_before) FROM photos"
            " WHERE state = 'pending' AND not_before > 0 AND not_before > ? AND not_before <= ?",
            (now, now + LONGEST_PAUSE_S),
        )
        return None if row is None or row[0] is None else float(row[0])

    def others_wait(self, photo: int, inboxes: Iterable[bytes]) -> bool:
        """Whether any photo of these inboxes but this one is pending."""
        query = "SELECT 1 FROM photos WHERE state = 'pending' AND inbox = ? AND id <> ? LIMIT 1"
        return any(self.ledger.one(query, (inbox, photo)) is not None for inbox in inboxes)

    def any_owed(self, inboxes: Iterable[bytes]) -> bool:
        """Whether any photo of these inboxes is still to be finished."""
        queries = (
            "SELECT 1 FROM photos WHERE state = 'pending' AND inbox = ? LIMIT 1",
            "SELECT 1 FROM photos WHERE state IN ('running', 'delivering') AND inbox = ? LIMIT 1",
        )
        return any(self.ledger.one(query, (inbox,)) is not None for inbox in inboxes for query in queries)
