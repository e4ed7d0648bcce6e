"""Whether calls to an inbox return: it answers no more, or one call to it hangs. All that is done there is to ask.

All methods run in the supervisor's loop.
"""

from __future__ import annotations

from cutoutd.config.errors import printable
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.question import ASK_EVERY_S, Question

# A call that has not returned for so long is told of, though the folder itself answers: whoever wonders why nothing
# happens looks at the status within half a minute.
STUCK_S = 20.0


class Stall:
    """What is known of one inbox's calls.

    Args:
        folder: the inbox.
        question: asks it.
        now: monotonic seconds.

    Attributes:
        silent: the folder does not answer, as a sentence; empty while it does.
        stuck: a call has not returned though the folder answers, as a sentence; empty while calls return.
    """

    def __init__(self, folder: bytes, question: Question, now: float) -> None:
        self.silent = self.stuck = ""
        self._name = printable(folder)
        self._question = question
        self._progress: tuple[int, int] = (0, 0)
        self._progress_at = now

    def look(self, now: float, progress: tuple[int, int], *, waiting: bool) -> bool:
        """Notes how far the calls have got. Returns whether the folder is to be asked: nothing has moved for a while.

        Args:
            now: monotonic seconds.
            progress: two numbers of which one grows with whatever gets on: calls made, and files found by a walk.
            waiting: whether any call has not returned.
        """
        if not waiting or progress != self._progress:
            self._progress, self._progress_at, self.stuck = progress, now, ""
            return False
        return now >= self._progress_at + ASK_EVERY_S

    def falls_silent(self, now: float) -> bool:
        """Whether it has just become clear that the folder does not answer: from now on `silent` says so."""
        if self.silent or now < self._question.due():
            return False
        self.silent = (
            f"{self._name} does not answer. Its photos wait, nothing is lost; it goes on by itself "
            "once the disk or share is back."
        )
        return True

    async def ask(self, now: float) -> bool:
        """Asks the folder, where that is due. Returns whether it answers again, after it was silent."""
        if not await self._question.ask(now) or not self.silent:
            return False
        self.silent = ""
        return True

    def threads(self) -> list[IoThread]:
        """The thread that asks, if any was needed."""
        return self._question.threads()

    def gets_stuck(self, now: float) -> bool:
        """Whether it has just become clear that one call hangs: from now on `stuck` says so."""
        if self.silent or self.stuck or now < self._progress_at + STUCK_S:
            return False
        self.stuck = (
            f"A call to {self._name}, or to where its originals go, has not returned for "
            f"{STUCK_S:.0f} seconds. New photos there wait until it does."
        )
        return True

    def delay(self, late_s: float) -> None:
        """The whole daemon was late (stopped, suspended): calls and answers may be as late."""
        self._question.delay(late_s)
        self._progress_at += late_s

    def next_due(self) -> float:
        """Monotonic time of the next look that may tell something, while a call has not returned."""
        asks = self._question.next_due(self._progress_at + ASK_EVERY_S, told=bool(self.silent))
        return asks if self.stuck or self.silent else min(asks, self._progress_at + STUCK_S)
