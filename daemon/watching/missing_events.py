"""What of an inbox gives no events: what is said of it, and when native events are tried again; pure, but for a clock.

It walks nothing and sets no watch: `InboxWatcher` does.
"""

from __future__ import annotations

from collections.abc import Callable

from cutoutd.daemon.backoff import backoff_s
from cutoutd.daemon.watching.limits import NoEvents, present_limits
from cutoutd.daemon.watching.watcher import Watcher

# Watches on a large tree, set each minute only to meet the limit again, would cost a whole core: the pause doubles up
# to an hour. A limit that was raised is seen at the next look at the folder, and tried at once.
TRY_FIRST_S, TRY_LONGEST_S = 60.0, 3600.0
# While a tree beyond the limit is copied in, each look finds more folders without a watch: one line a minute will do.
SAY_EVERY_S = 60.0


class MissingEvents:
    """Keeps what is known of an inbox's missing events.

    Args:
        every_s: seconds between two looks at what gives no events.
        warning: hears of what is missing, as a sentence.
        limits: the system's limits on watches, by name.
    """

    def __init__(
        self,
        every_s: float,
        warning: Callable[[str], None],
        limits: Callable[[], dict[str, int]] = present_limits,
    ) -> None:
        self._every_s = every_s
        self._warning = warning
        self._limits = limits
        self.sentence = ""
        self._told = 0
        self._told_at = float("-inf")
        self._failures = 0
        self._try_at = float("inf")
        self._seen: dict[str, int] = {}

    @property
    def try_at(self) -> float:
        """Monotonic time at which native events are to be tried again."""
        return self._try_at

    def take_stock(self, watcher: Watcher | None, whole: NoEvents | None, now: float) -> bool:
        """Says what gives no events now, and plans when to try again.

        Args:
            watcher: what watches the inbox; None where it is polled.
            whole: why the inbox as a whole gives none; None when it does, or when the user wants none.
            now: monotonic seconds.

        Returns:
            Whether nothing is missing any more, after something was said to be.
        """
        blind = watcher.blind if watcher is not None else frozenset[bytes]()
        if whole is not None:
            self.missing(whole, 1, now, may_pass=whole.may_pass)
        elif watcher is not None and blind and (latest := watcher.latest_blind) is not None:
            self.missing(latest, len(blind), now, may_pass=watcher.may_see_more)
        else:
            return self.nothing_missing()
        return False

    def missing(self, why: NoEvents, folders: int, now: float, *, may_pass: bool) -> None:
        """So many folders give no events.

        Args:
            why: of the latest of them.
            folders: how many, that one included.
            now: monotonic seconds.
            may_pass: whether another try may find the events of one of them.
        """
        self.sentence = why.sentence(self._every_s, folders - 1)
        if folders > self._told and (not self._told or now >= self._told_at + SAY_EVERY_S):
            self._warning(self.sentence)
            self._told, self._told_at = folders, now
        self._told = min(self._told, folders)
        if not may_pass:
            self._try_at = float("inf")
        elif self._try_at == float("inf"):
            self.tried(now)

    def nothing_missing(self) -> bool:
        """All events come. Whether something was said of missing ones before."""
        was = bool(self._told)
        self.sentence, self._told, self._failures, self._try_at = "", 0, 0, float("inf")
        return was

    def tried(self, now: float) -> None:
        """Native events are being tried: when to do so next, if it is in vain."""
        self._failures += 1
        self._try_at = now + backoff_s(self._failures, TRY_FIRST_S, TRY_LONGEST_S)
        self._seen = self._limits()

    def look_at_limits(self, now: float) -> None:
        """Somebody may have raised a limit: then they wait for it to work, and no pause is waited for."""
        if self._try_at != float("inf") and self._limits() != self._seen:
            self._try_at = now
