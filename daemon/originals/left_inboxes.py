"""Originals that were hidden when their inbox left the config: they get their names back, and go nowhere else.

What they are owed stays owed until the inbox is back; to their owner no photo is ever gone. All methods run in the
supervisor's loop, and what touches an inbox runs on a thread that lives no longer than that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from msgspec import Struct

from cutoutd.config.errors import printable
from cutoutd.daemon.backoff import NEVER, Retry
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.files.mounts import MountIdentity
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.files.usable import must_be_usable
from cutoutd.daemon.ledger.faults import paid_by
from cutoutd.daemon.ledger.folders import Folders
from cutoutd.daemon.ledger.originals import hidden
from cutoutd.daemon.ledger.records import Facts, PhotoRow, differ
from cutoutd.daemon.ledger.states import Aftercare
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals import giving_back
from cutoutd.daemon.originals.retry_queue import RETRY_FIRST_S, RETRY_LONGEST_S, RetryQueue


class LeftInboxes:
    """Brings them back.

    Args:
        transitions: knows what is hidden.
        folders: knows what the inboxes were mounted from.
        listener: hears what came back.
        post: the supervisor's queue.
        clock: monotonic seconds.
        over: called with an inbox that nothing is done in any more.
    """

    def __init__(
        self,
        transitions: Transitions,
        folders: Folders,
        listener: Listener,
        *,
        post: Callable[[Done], None],
        clock: Callable[[], float],
        over: Callable[[bytes], None],
    ) -> None:
        self._transitions = transitions
        self._folders = folders
        self._listener = listener
        self._post = post
        self._clock = clock
        self._over = over
        self._threads: dict[bytes, IoThread] = {}
        self._again: dict[bytes, Retry] = {}

    def next_due(self) -> float:
        """Monotonic time at which one is to be looked at again, or infinity."""
        return min((one.at for one in self._again.values()), default=NEVER)

    def look(self, there: Collection[bytes], queues: Mapping[bytes, RetryQueue], now: float) -> None:
        """Takes up what is hidden in inboxes that are no longer in the config.

        Args:
            there: inboxes of the config.
            queues: for each inbox, which of its originals are in hand: those end their own story first.
            now: monotonic seconds.
        """
        left = {inbox: rows for inbox, rows in hidden(self._transitions.ledger).items() if inbox not in there}
        self._again = {inbox: one for inbox, one in self._again.items() if inbox in left}
        for inbox, rows in left.items():
            again = self._again.get(inbox)
            free = [row for row in rows if row.id not in queues[inbox].under_way]
            if inbox in self._threads or not free or (again is not None and now < again.at):
                continue
            if again is not None:
                again.at = NEVER
            self._threads[inbox] = IoThread("an inbox that has left the config", self._post)
            Story(
                self._bring_back(inbox, free, queues[inbox]),
                paid_by(lambda _error, inbox=inbox: self._ended(inbox, in_vain=True)),
            )

    async def _bring_back(self, inbox: bytes, rows: list[PhotoRow], queue: RetryQueue) -> None:
        """One after the other; the first that cannot be brought back puts off the rest."""
        mount = self._folders.recorded(Path(os.fsdecode(inbox)))
        in_vain = False
        # In nobody else's hand meanwhile: the inbox may be back in the config before all of them are.
        queue.under_way.update(row.id for row in rows)
        try:
            for row in rows:
                self._written(row, await run(self._threads[inbox], _back, row, mount))
        except OSError:
            in_vain = True
        finally:
            queue.under_way.difference_update(row.id for row in rows)
        if not in_vain:
            self._listener.notice(
                f"{printable(inbox)} has left the config; originals that were on their way from it have their names."
            )
        self._ended(inbox, in_vain=in_vain)

    def _written(self, row: PhotoRow, lies: _Lies) -> None:
        """Where an original lies now, in the ledger."""
        if lies.arrived:
            self._transitions.aftercare(row.id, Aftercare.DONE)
        elif lies.ctime_ns is None:
            self._transitions.aftercare(row.id, Aftercare.NONE)
        else:
            self._transitions.given_back(row.id, lies.ctime_ns)

    def _ended(self, inbox: bytes, *, in_vain: bool) -> None:
        self._threads.pop(inbox).stop()
        if in_vain:
            self._again.setdefault(inbox, Retry(RETRY_FIRST_S, RETRY_LONGEST_S)).failed(self._clock())
        else:
            self._again.pop(inbox, None)
        self._over(inbox)


class _Lies(Struct, frozen=True):
    """Where an original lies: at the place that was planned for it, or under its own name with this change time; with
    neither, nobody knows it any more by its row.
    """

    arrived: bool = False
    ctime_ns: int | None = None


def _back(row: PhotoRow, mount: MountIdentity | None) -> _Lies:
    """On the I/O thread: the original has its name, or is at its place. Raises OSError."""
    must_be_usable(Path(os.fsdecode(row.inbox)), mount)
    path = os.path.join(row.inbox, row.path or b"")
    planned = row.archived_to or b""
    roots = (row.inbox, os.path.dirname(planned)) if planned else (row.inbox,)
    fs = RealFileSystem(*roots)
    if not giving_back.bring_back(row.hidden_name or b"", path, planned, fs=fs):
        return _Lies(arrived=True)
    try:
        now = fs.lstat(path)
    except FileNotFoundError:
        return _Lies()  # somebody took it away
    same = not differ(row.facts, Facts(now.st_size, now.st_mtime_ns, now.st_ino))
    return _Lies(ctime_ns=now.st_ctime_ns) if same else _Lies()
