"""Whether a folder still answers, asked on a thread of its own while other calls may take their time there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cutoutd.daemon.files import folders
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.story import run

# While something takes longer than this in a folder, it is asked whether it still answers, this often …
ASK_EVERY_S = 5.0
# … and one that has not answered for so long hangs: a server that wakes a disk up needs less.
ANSWER_S = 10.0


class Question:
    """Asks one folder; all methods run in the supervisor's loop.

    Args:
        path: the folder.
        thread: makes the I/O thread that may hang on it; called when first needed.
        clock: monotonic seconds.
    """

    def __init__(self, path: Path, thread: Callable[[], IoThread], clock: Callable[[], float]) -> None:
        self._path = path
        self._make_thread = thread
        self._clock = clock
        self._thread: IoThread | None = None
        self._asked_at: float | None = None
        self._next_at = 0.0

    @property
    def open(self) -> bool:
        """Whether it was asked and has not answered."""
        return self._asked_at is not None

    async def ask(self, now: float) -> bool:
        """Asks, at most every `ASK_EVERY_S`. Returns True once it answers, and False at once where it is not asked.

        An error is an answer too: what it means shows when the folder is next used.
        """
        if self._asked_at is not None or now < self._next_at:
            return False
        if self._thread is None:
            self._thread = self._make_thread()
        self._asked_at = now
        with suppress(OSError):
            await run(self._thread, folders.ask, self._path)
        self._asked_at = None
        self._next_at = self._clock() + ASK_EVERY_S
        return True

    def delay(self, late_s: float) -> None:
        """The whole daemon was late (stopped, suspended): an answer may be as late."""
        if self._asked_at is not None:
            self._asked_at += late_s

    def due(self) -> float:
        """Monotonic time by which it must have answered, or infinity."""
        return float("inf") if self._asked_at is None else self._asked_at + ANSWER_S

    def next_due(self, wanted_at: float, *, told: bool) -> float:
        """Monotonic time of its next step, if it is to be asked from `wanted_at` on; infinity while none is due.

        Args:
            wanted_at: monotonic seconds.
            told: that it does not answer is known already.
        """
        if self._asked_at is not None:
            return float("inf") if told else self.due()
        return max(wanted_at, self._next_at)

    def threads(self) -> list[IoThread]:
        """The thread that asks, if any was needed."""
        return [] if self._thread is None else [self._thread]
