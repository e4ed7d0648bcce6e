"""When an inbox is walked next, all of it or what gives no events; it walks nothing itself.

All methods run in the supervisor's loop.
"""

from __future__ import annotations

from collections.abc import Callable

# Whatever could not be taken up now, such as a folder that could not be read, seldom comes alone: what follows so soon
# is found by the same walk.
LATER_S = 2.0
# A walk that was asked for during another: no more than one each so many seconds.
AFTER_ANOTHER_S = 1.0

_NEVER = float("inf")


class Timetable:
    """The next walks of one inbox.

    Args:
        clock: monotonic seconds.

    Attributes:
        walking: whether all of it is being walked.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.walking = False
        self._polling = False  # what gives no events is being walked, without the rest
        self._walk_at = self._poll_at = _NEVER
        self._wanted_again = False

    # --- all of it -----------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """All of it is to be walked. Returns False where that is under way already: it is walked again afterwards."""
        if self.walking:
            self._wanted_again = True
            return False
        self.walking = True
        self._walk_at = _NEVER
        return True

    def broke_off(self) -> None:
        """The walk came to no end."""
        self.walking = False

    def ended(self, every_s: float) -> None:
        """The walk of all of it is through; the next one comes after a pause, if nobody asks for one before."""
        self.walking = False
        self._walk_at = self._clock() + (min(every_s, AFTER_ANOTHER_S) if self._wanted_again else every_s)
        self._wanted_again = False

    def later(self) -> None:
        """Something was left out: soon, and once more after a walk that is under way."""
        self._wanted_again = True
        self._walk_at = min(self._walk_at, self._clock() + LATER_S)

    def walk_due(self) -> bool:
        """Whether all of it is to be walked now."""
        return self._clock() >= self._walk_at

    # --- what gives no events ------------------------------------------------------------------------------------

    def poll_next(self, every_s: float, took_s: float = 0.0) -> None:
        """What gives no events is to be walked after a pause.

        A walk that takes long is not started again at once: at most half the time goes into polling.
        """
        self._poll_at = self._clock() + max(every_s, took_s)

    def poll_now(self) -> None:
        """It is to be walked at once, and not only when that was planned."""
        self._poll_at = min(self._poll_at, self._clock())

    def poll_no_more(self) -> None:
        """All of it gives events."""
        self._poll_at = _NEVER

    def poll_due(self) -> bool:
        """Whether what gives no events is to be walked now; if so, that walk's end is to plan the next."""
        if self._polling or self._clock() < self._poll_at:
            return False
        self._poll_at = _NEVER
        return True

    def poll_starts(self) -> None:
        """What gives no events is being walked by itself."""
        self._polling = True

    def poll_ended(self) -> None:
        """That walk is over, in whichever way."""
        self._polling = False

    def next_due(self) -> float:
        """Monotonic time of the next walk; infinity where none is planned."""
        return self._walk_at if self._polling else min(self._walk_at, self._poll_at)
