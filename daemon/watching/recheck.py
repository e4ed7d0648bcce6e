"""What a walk of an inbox does not tell: what is gone, and failed photos that may be read by now."""

from __future__ import annotations

import os
import stat

from msgspec import Struct, field

from cutoutd.config.errors import Reason
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake, ToRecheck
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.watching.arrivals import FileNews

# Looks at skipped files behind one walk: a second's work on a slow share.
UNOPENED_AT_ONCE = 500


class _Looks(Struct, frozen=True):
    """One look at each photo that may be gone, by row id."""

    missing: list[ToRecheck] = field(default_factory=list[ToRecheck])
    open: set[int] = field(default_factory=set[int])
    shut: set[int] = field(default_factory=set[int])


class Recheck:
    """Looks again at an inbox's failed photos, at those in hand that still settle, and at what was skipped unopened.

    Looks happen on the inbox's I/O thread, everything else in the supervisor's loop.

    Args:
        inbox: its absolute path.
        ledger: where the rows are.
        io: the inbox's I/O thread.
        news: hears when the file of a photo in hand is gone.
    """

    def __init__(self, inbox: bytes, ledger: Ledger, io: IoThread, news: FileNews) -> None:
        self._inbox = inbox
        self._fs = RealFileSystem(inbox)
        self._intake = Intake(ledger)
        self._io = io
        self._news = news
        # Those that were tried again and were not seen shut since: once each time the permission comes back, so
        # that a photo which only the workers may not read does not come round for ever.
        self._tried: set[int] = set()
        self._after = 0  # the last of the skipped ones that was looked at

    def look(self, *, walked_cleanly: bool) -> None:
        """Asks the file system about each; a file counts as gone only beside a walk without errors."""
        rows = self._intake.paths_to_recheck(self._inbox)
        if walked_cleanly:
            rows += self._next_unopened()
        if rows:
            Story(self._look(rows, walked_cleanly=walked_cleanly))

    def _next_unopened(self) -> list[ToRecheck]:
        """In turn: of very many each walk's end has some, so that photos need not wait for looks at all of them."""
        rows = self._intake.unopened(self._inbox, self._after, UNOPENED_AT_ONCE)
        self._after = rows[-1].photo if len(rows) == UNOPENED_AT_ONCE else 0
        return rows

    async def _look(self, rows: list[ToRecheck], *, walked_cleanly: bool) -> None:
        try:
            seen = await run(self._io, self._see, rows, walked_cleanly=walked_cleanly)
        except OSError:
            return  # the folder has left the config, or is in trouble that its walks tell of: the next one asks again
        for row in seen.missing:
            if row.state is State.FAILED:
                self._intake.gone_after_failure(row.photo)
            elif row.state is State.SKIPPED:
                self._intake.gone_unopened(self._inbox, row.path)
            else:
                self._news.file_gone(row.photo)
        for photo in seen.open - self._tried:
            self._intake.permitted(photo)
        self._tried = (self._tried | seen.open) - seen.shut

    def _see(self, rows: list[ToRecheck], *, walked_cleanly: bool) -> _Looks:
        """On the I/O thread."""
        seen = _Looks()
        for row in rows:
            full = os.path.join(self._inbox, row.path)
            if row.state is State.SKIPPED:
                if self._has_no_name(full):
                    seen.missing.append(row)
            elif walked_cleanly and self._is_gone(full):
                seen.missing.append(row)
            elif row.reason == Reason.NO_PERMISSION:
                (seen.open if self._fs.is_readable(full) else seen.shut).add(row.photo)
        return seen

    def _has_no_name(self, path: bytes) -> bool:
        """On the I/O thread: a link or pipe that was skipped is there as long as it is one."""
        try:
            return not self._fs.exists(path)
        except UnsafePath:
            return True
        except OSError:
            return False

    def _is_gone(self, path: bytes) -> bool:
        """On the I/O thread: a photo is also gone where a link or pipe lies in its place, or in its folder's."""
        try:
            return not stat.S_ISREG(self._fs.lstat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError, UnsafePath):
            return True
        except OSError:
            return False
