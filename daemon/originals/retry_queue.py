"""Whose turn it is among the originals that wait for after-care; it moves none of them and knows no files."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from cutoutd.daemon.backoff import NEVER, Retry

# After-care that failed (an archive that is full or away) is tried again after the first pause, which doubles up
# to the second: nobody waits for it, and each try touches the originals.
RETRY_FIRST_S, RETRY_LONGEST_S = 5.0, 600.0
# Originals of one inbox under way: one on its I/O thread, and one whose next step is being committed meanwhile.
AT_ONCE = 2
# An original that somebody may still write is looked at again after the first pause, which doubles up to the second.
LOOK_FIRST_S, LOOK_LONGEST_S = 2.0, 60.0


class RetryQueue(Struct):
    """Whose turn it is among the originals of one inbox, as ids in order; that they are owed the ledger says.

    Attributes:
        waiting: to be taken up as soon as there is room.
        failed: tried in vain; they wait for `again`, and go behind all others.
        under_way: being moved, looked at or given back.
        stuck: the archive is at fault, and one original at a time finds out whether it still is.
        again: when those that failed are tried again.
        warned: what the user has been told of, each cause once.
        resting: may still be written, each with its next look.
    """

    waiting: dict[int, None] = field(default_factory=dict[int, None])
    failed: dict[int, None] = field(default_factory=dict[int, None])
    under_way: set[int] = field(default_factory=set[int])
    stuck: bool = False
    again: Retry = field(default_factory=lambda: Retry(RETRY_FIRST_S, RETRY_LONGEST_S))
    warned: set[str] = field(default_factory=set[str])
    resting: dict[int, Retry] = field(default_factory=dict[int, Retry])

    def next_due(self) -> float:
        """Monotonic time at which something is to be taken up again, or infinity."""
        return min([self.again.at, *(look.at for look in self.resting.values())])

    def rest(self, photo: int, now: float, at_most_s: float) -> None:
        """One that may still be written is looked at after a pause, and no later than when its rest is over."""
        self.resting.setdefault(photo, Retry(LOOK_FIRST_S, LOOK_LONGEST_S)).failed(now, at_most_s)

    def rested_long(self, photo: int) -> bool:
        """Whether it was looked at until the pauses grew no more: for about two minutes."""
        look = self.resting.get(photo)
        return look is not None and look.pause_s >= LOOK_LONGEST_S

    def rested(self, now: float) -> None:
        """Those whose pause is over line up."""
        for photo, look in self.resting.items():
            if look.at <= now:
                look.at = NEVER
                self.waiting.setdefault(photo)

    def owed(self, photos: Iterable[int]) -> None:
        """Those that are not known yet line up."""
        for photo in photos:
            if photo not in self.under_way and photo not in self.failed and photo not in self.resting:
                self.waiting.setdefault(photo)

    def retry(self) -> None:
        """Those that failed line up again, behind all others: none of them is for ever the one that is tried."""
        self.again.at = NEVER
        self.waiting |= self.failed
        self.failed.clear()

    def next(self) -> int | None:
        """The photo to take up now, if there is one and room for it."""
        room = 1 if self.stuck else AT_ONCE
        if not self.waiting or len(self.under_way) >= room:
            return None
        photo = next(iter(self.waiting))
        del self.waiting[photo]
        return photo

    def went_well(self, photo: int) -> None:
        """The archive takes originals."""
        self.resting.pop(photo, None)
        self.stuck = False
        if not self.failed:
            self.again.well()

    def went_wrong(self, photo: int, now: float, *, alone: bool = False) -> None:
        """One that fails may be at fault itself (a folder has its name in the archive); of two the archive is.

        Args:
            photo: which.
            now: monotonic time.
            alone: the path is known to be at fault, and the archive is not.
        """
        self.resting.pop(photo, None)
        self.failed[photo] = None
        if not alone:
            self.stuck = self.stuck or len(self.failed) > 1
        if self.again.at == NEVER:
            self.again.failed(now)

    def drop(self) -> None:
        """The inbox left the config: nothing of it is tried until it comes back."""
        self.retry()
        self.waiting.clear()
        self.resting.clear()

    def calm(self) -> None:
        """Nothing is owed any more: the next trouble is a new one, of which the user is told."""
        self.again.well()
        self.stuck = False
        self.warned.clear()
