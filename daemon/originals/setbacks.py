"""What becomes of an original that cannot be moved now: it waits, is tried again, or is left to whoever changed it.

It moves no original but back to its own name. All methods run in the supervisor's loop.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from cutoutd.daemon.backoff import NEVER
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.copying import StillWritten
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.story import run
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.states import Aftercare
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals import giving_back
from cutoutd.daemon.originals.move import Original, Step
from cutoutd.daemon.originals.orphans import ours
from cutoutd.daemon.originals.retry_queue import RetryQueue


class TooLargeToCopy(OSError):  # noqa: N818 - a fact about a file that callers ask for, not a failure
    """The original is larger than any photo may be, and a copy of it would take minutes or hours; it stays."""


class Setbacks(Struct, frozen=True):
    """The exceptional ends of an original's story.

    Attributes:
        transitions: the rows' life.
        listener: hears when an original could not be moved.
        clock: monotonic seconds.
        is_watched: whether an inbox is in the config; what becomes of originals in others is `left_inboxes.py`'s.
    """

    transitions: Transitions
    listener: Listener
    clock: Callable[[], float]
    is_watched: Callable[[bytes], bool]

    def not_now(self, row: PhotoRow, step: Step, rest_s: float, retries: RetryQueue, *, hidden: bool) -> None:
        """It is not what was read, may not be at rest yet, or lies behind a link, perhaps under our own name."""
        if step is Step.WRITTEN:
            self.transitions.aftercare(row.id, Aftercare.OWED)
            retries.rest(row.id, self.clock(), max(1.0, rest_s) if rest_s > 0 else NEVER)
            return
        # A link where its folder was: most come back. One that waits there under our own name is never given up.
        if step is Step.BEHIND_LINK and (hidden or not retries.rested_long(row.id)):
            retries.rest(row.id, self.clock(), NEVER)
            return
        # Somebody moved or replaced it: what lies there now is theirs, and a new photo if it is one.
        self.transitions.aftercare(row.id, Aftercare.NONE)
        retries.resting.pop(row.id, None)

    def misread(self, row: PhotoRow, ctime_ns: int, retries: RetryQueue) -> None:
        """Its content is not what its worker said, or was changed without a trace: it has to be read again."""
        self.transitions.given_back(row.id, ctime_ns)  # the new change time is our own doing
        self.not_now(row, Step.REPLACED, NEVER, retries, hidden=True)

    async def put_off(
        self,
        row: PhotoRow,
        original: Original,
        io: IoThread,
        fs: FileSystem,
        error: OSError,
        retries: RetryQueue,
    ) -> None:
        """Back to its name with the original, which nobody may miss while an archive is full or away."""
        if not self.is_watched(row.inbox):
            return

        def back() -> int | None:
            if not giving_back.give_back(original.hidden, original.path, for_good=False, fs=fs):
                return None
            return fs.lstat(original.path).st_ctime_ns

        try:
            changed = await run(io, back)
        except OSError as second:
            changed, error = None, second
        if changed is not None:
            # A row that holds anything else cannot be repaired.
            self.transitions.given_back(row.id, int(changed))
        if isinstance(error, StillWritten):
            retries.rest(row.id, self.clock(), NEVER)
        else:
            self.later(row, error, retries)

    def later(self, row: PhotoRow, error: Exception, retries: RetryQueue) -> None:
        """It is tried again after a pause, and why is told once."""
        if not self.is_watched(row.inbox):
            return
        systems = isinstance(error, OSError)
        why = (error.strerror or str(error)) if systems else ours(error)
        self.transitions.aftercare_failed(row.id, why)
        alone = isinstance(error, UnsafePath | TooLargeToCopy) or not systems
        retries.went_wrong(row.id, self.clock(), alone=alone)
        if why not in retries.warned:
            retries.warned.add(why)
            self.listener.warning(
                f"An original could not be moved ({why}); it stays in the inbox and it is tried again."
            )
