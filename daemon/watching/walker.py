"""Walks of one inbox, on its I/O thread: what they find goes to the supervisor's loop; when to walk is `inbox`'s."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.filesystem import RealFileSystem, Root
from cutoutd.daemon.files.folders import inode_of
from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.ledger.faults import alone
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.watching.arrivals import Arrivals
from cutoutd.daemon.watching.filters import Rules
from cutoutd.daemon.watching.opening import Opened, look_for_shares
from cutoutd.daemon.watching.scan import Found, PollState, walk
from cutoutd.daemon.watching.settle import HintKind
from cutoutd.daemon.watching.watcher import Watcher

# Findings per message of a walk: large enough that messages do not dominate, small enough to stay responsive.
BATCH = 500
# Batches that may wait for the supervisor before the walk holds still: bounds the memory of a huge inbox.
AHEAD = 4
# A new sub-folder with more files is left to the next walk of all.
MOST_IN_PART = BATCH * AHEAD


class Walker:
    """Walks an inbox as it was opened, not another folder in its place.

    Args:
        settings: the inbox's table.
        rules: which files are photos.
        arrivals: takes what is found, in the loop.
        history: hears there which forgotten photos still lie in it.
        post: the supervisor's queue.
        fault: a mistake with what was found.

    Attributes:
        found: how many files all walks have found so far, counted on the I/O thread: a walk that gets on hangs not,
            however long it takes.
    """

    def __init__(
        self,
        settings: Inbox,
        rules: Rules,
        *,
        arrivals: Arrivals,
        history: History,
        post: Callable[[Done], None],
        fault: Callable[[Exception], None],
    ) -> None:
        self.found = 0
        self._settings = settings
        self._key = os.fsencode(settings.path)
        self._rules = rules
        self._arrivals = arrivals
        self._history = history
        self._post = post
        self._fault = fault
        self._poll = PollState()
        self._ahead = threading.Semaphore(AHEAD)
        self._closed = False
        self._inode = (0, 0)
        self._polled = False
        self._watcher: Watcher | None = None

    # --- in the supervisor's loop ----------------------------------------------------------------------------

    def opened(self, opened: Opened) -> None:
        """It was opened (again), and is walked as this folder from now on."""
        self._inode, self._polled, self._watcher = opened.inode, opened.polled, opened.watcher

    def unwatched(self) -> None:
        """Its watcher is gone."""
        self._watcher = None

    def close(self) -> None:
        """A walk that waits for a loop which has ended goes home."""
        self._closed = True
        self._ahead.release()

    def _take(
        self, batch: list[tuple[Found, HintKind | None]], _error: BaseException | None, *, stones: bool
    ) -> None:
        """A part of what a walk under way has found."""
        with alone(self._fault):
            self._ahead.release()
            self._arrivals.take(batch)
            if stones:
                self._history.seen(self._key, [found.path for found, _ in batch])

    # --- on the I/O thread -----------------------------------------------------------------------------------

    def walk_all(self, *, stones: bool) -> bool:
        """All of it. Returns whether all of it could be looked at.

        Args:
            stones: whether photos of it have been forgotten, which are not to become new ones.

        Raises:
            OSError: it cannot be walked, or another folder lies in its place.
        """
        if inode_of(self._settings.path) != self._inode:
            raise OSError(errno.ESTALE, "another folder lies there now", str(self._settings.path))
        if self._watcher is not None:
            look_for_shares(self._settings, self._watcher)
        if self._polled:
            self._poll.begin()
        clean = self._post_batches(self._walk(), stones=stones)
        if self._polled and not self._closed:
            self._poll.end(complete=clean)
        return clean

    def walk_part(self, under: bytes) -> list[Found]:
        """What lies in a sub-folder, up to `MOST_IN_PART` files. Raises OSError."""
        return list(islice(self._walk(under), MOST_IN_PART))

    def walk_blind(self, watcher: Watcher) -> None:
        """What lies below the folders that give no events. Raises OSError."""
        watcher.forget_gone()
        for top in sorted(path for path in watcher.blind if not watcher.is_blind(path)):
            self._post_batches(self._walk(top), stones=False)

    def _walk(self, under: bytes = b"") -> Iterator[Found]:
        fs = RealFileSystem(Root(self._key, self._inode))
        recursive = self._settings.recursive
        for found in walk(self._settings.path, self._rules, recursive=recursive, fs=fs, under=under):
            self.found += 1
            yield found

    def _post_batches(self, findings: Iterator[Found], *, stones: bool) -> bool:
        """Whether all of them could be looked at."""
        clean = True
        while batch := list(islice(findings, BATCH)):
            clean = clean and not any(found.error for found in batch)
            hints = [(found, self._hint_of(found)) for found in batch]
            self._ahead.acquire()
            if self._closed:  # nobody will take what is found
                return False
            self._post(Done(partial(self._take, stones=stones), hints, None))
        return clean

    def _hint_of(self, found: Found) -> HintKind | None:
        """What a walk says of a file beyond that it is there: whether it changed, or that no event can come."""
        if self._polled:
            return self._poll.see(found)
        watcher = self._watcher
        return "walked" if watcher is not None and watcher.is_blind(found.path) else None
