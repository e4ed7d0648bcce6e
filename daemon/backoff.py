"""How long to wait before the next try of whatever failed; one formula for all of them, and no clock."""

from __future__ import annotations

from msgspec import Struct

NEVER = float("inf")

# Beyond this many doublings every limit holds, and the power of a thousand failures would overflow.
_DOUBLINGS = 30


def backoff_s(failures: int, first_s: float, longest_s: float, factor: float = 2.0) -> float:
    """Seconds until the next try: the first pause, grown with each failure, and never longer than the longest.

    Args:
        failures: how many tries in a row have failed, this one included; with 0 there is no pause.
        first_s: the pause after the first.
        longest_s: the longest.
        factor: by how much each pause is longer than the one before.
    """
    if failures <= 0:
        return 0.0
    return min(longest_s, first_s * factor ** min(failures - 1, _DOUBLINGS))


class Retry(Struct):
    """When something that failed is tried again.

    Attributes:
        first_s: the pause after the first failure, in seconds.
        longest_s: the longest pause.
        failures: in a row, so far.
        at: monotonic time of the next try; never, when none is due.
    """

    first_s: float
    longest_s: float
    failures: int = 0
    at: float = NEVER

    @property
    def pause_s(self) -> float:
        """The pause that the next failure will bring."""
        return backoff_s(self.failures + 1, self.first_s, self.longest_s)

    def failed(self, now: float, at_most_s: float = NEVER) -> None:
        """It failed (again): the next try comes after a pause, which is longer each time.

        Args:
            now: monotonic seconds.
            at_most_s: it comes no later than after so many seconds.
        """
        self.at = now + min(self.pause_s, at_most_s)
        self.failures += 1

    def well(self) -> None:
        """It works: the next failure brings the first pause again. A try that is due stays due."""
        self.failures = 0
