"""What must be on the disk before anybody acts on it, for many photos at once: one transaction, one sync.

A story awaits its part by `run(group_commit, work)`, as it awaits a call to a folder's I/O thread: `work` writes, and
the story goes on once that cannot be lost any more. What is written, and what has to wait, is the stories' business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.files.story import Then
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.troubles import is_ledgers_own


class GroupCommit:
    """The durable writes of one turn of the supervisor's loop.

    Args:
        ledger: where they are written.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[tuple[Callable[[], Any], Then]] = []

    def call(self, work: Callable[[], Any], then: Then) -> None:
        """Has `work` write with the next commit; `then(value, error)` comes when that is on the disk."""
        self._waiting.append((work, then))

    def waiting(self) -> bool:
        """Whether anything is to be committed."""
        return bool(self._waiting)

    def carry_out(self) -> list[Done]:
        """Writes and commits all that waits. What fails of it leaves nothing behind, and nothing else fails with it.

        Returns:
            What is to be handled before anything else: the ledger says what is so already, the parts do not know it.

        Raises:
            sqlite3.DatabaseError: the ledger cannot be written now, or is damaged: nobody goes on.
        """
        if not self._waiting:
            return []
        waiting, self._waiting = self._waiting, []
        with self._ledger.durably():
            return [self._written(work, then) for work, then in waiting]

    def _written(self, work: Callable[[], Any], then: Then) -> Done:
        try:
            with self._ledger.durably():
                return Done(then, work(), None)
        except Exception as error:
            if is_ledgers_own(error):
                raise
            return Done(then, None, error)
