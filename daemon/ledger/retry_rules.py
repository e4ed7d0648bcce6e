"""How often a photo is tried again, and after which pauses, for each reason; it counts nothing itself."""

from __future__ import annotations

from msgspec import Struct

from cutoutd.config.errors import Reason
from cutoutd.daemon.backoff import backoff_s

# A photo's pauses grow by this: with five attempts and a second at first a busy file gets a minute and a half.
RETRY_FACTOR = 4.0


class RetryRule(Struct, frozen=True):
    """How often a photo is tried for one reason, and how long the pauses are."""

    attempts: int
    first_pause_s: float = 0.0
    longest_pause_s: float = 0.0

    def pause_s(self, attempts: int) -> float:
        """Seconds until the next try after so many; 0.0 after none."""
        return backoff_s(attempts, self.first_pause_s, self.longest_pause_s, RETRY_FACTOR)


def retry_rules(
    *, attempts_after_death: int, attempts_when_busy: int, settle_s: float
) -> dict[str, RetryRule]:
    """Attempts per reason; a reason that is not listed fails at once, since nothing would change."""
    death = RetryRule(attempts_after_death)
    return {
        Reason.CRASHED: death,
        Reason.TOO_SLOW: death,
        Reason.OUT_OF_MEMORY: death,
        Reason.BUSY: RetryRule(attempts_when_busy, 1.0, 300.0),
        # Folders change hands too (a share that is being set up), and the file's own mode does not show that.
        Reason.NO_PERMISSION: RetryRule(3, 1.0, 60.0),
        # A camera may still be writing after a pause: one more look after the settle time.
        Reason.UNREADABLE: RetryRule(2, max(2.0, settle_s), 30.0),
    }


def incomplete_so_far(rest_s: float) -> RetryRule:
    """For a photo that cannot be read while it is not known whether its writer is done: looked at until it has rested.

    Each change of the file begins anew (`Intake.observe`), so that the pauses add up to its rest.
    """
    rule = RetryRule(1, 2.0, 120.0)
    attempts, spent_s = 2, rule.pause_s(1)
    while spent_s < rest_s:
        spent_s += rule.pause_s(attempts)
        attempts += 1
    return RetryRule(attempts, rule.first_pause_s, rule.longest_pause_s)
