"""Whose turn it is among the originals that wait for after-care; it moves none of them and knows no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# After-care that failed (an archive that is full or away) is tried again after the first pause, which doubles up
# to the second: nobody waits for it, and each try touches the originals.
RETRY_FIRST_S, RETRY_LONGEST_S = 5.0, 600.0
# Originals of one inbox under way: one on its I/O thread, and one whose next step is being committed meanwhile.
AT_ONCE = 2
# An original that somebody may still write is looked at again after the first pause, which doubles up to the second.
LOOK_FIRST_S, LOOK_LONGEST_S = 2.0, 60.0
NEVER = float("inf")


@dataclass(slots=True)
class RetryQueue:
    """Whose turn it is among the originals of one inbox, as ids in order; that they are owed the ledger says.

    Attributes:
        waiting: to be taken up as soon as there is room.
        failed: tried in vain; they wait for `retry_at`, which is then set, and go behind all others.
        under_way: being moved, looked at or given back.
        stuck: the archive is to blame, and one original at a time finds out whether it still is.
        retry_at: monotonic time.
        pause_s: the next pause.
        warned: what the user has been told of.
        resting: may still be written: monotonic time of the next look, and the pause after that.
    """

    waiting: dict[int, None] = field(default_factory=dict[int, None])
    failed: dict[int, None] = field(default_factory=dict[int, None])
    under_way: set[int] = field(default_factory=set[int])
    stuck: bool = False
    retry_at: float = NEVER
    pause_s: float = RETRY_FIRST_S
    warned: str = ""
    resting: dict[int, tuple[float, float]] = field(default_factory=dict[int, tuple[float, float]])

    def next_due(self) -> float:
        """Monotonic time at which something is to be taken up again, or infinity."""
        return min([self.retry_at, *(at for at, _ in self.resting.values())])

    def rest(self, photo: int, now: float, at_most_s: float) -> None:
        """One that may still be written is looked at after a pause, and no later than when its rest is over."""
        _, pause_s = self.resting.get(photo, (0.0, LOOK_FIRST_S))
        self.resting[photo] = (now + min(pause_s, at_most_s), min(LOOK_LONGEST_S, pause_s * 2))

    def rested_long(self, photo: int) -> bool:
        """Whether it was looked at until the pauses grew no more: for about two minutes."""
        return self.resting.get(photo, (0.0, 0.0))[1] >= LOOK_LONGEST_S

    def rested(self, now: float) -> None:
        """Those whose pause is over line up."""
        for photo, (at, pause_s) in self.resting.items():
            if at <= now:
                self.resting[photo] = (NEVER, pause_s)
                self.waiting.setdefault(photo)

    def owed(self, photos: Iterable[int]) -> None:
        """Those that are not known yet line up."""
        for photo in photos:
            if photo not in self.under_way and photo not in self.failed and photo not in self.resting:
                self.waiting.setdefault(photo)

    def retry(self) -> None:
        """Those that failed line up again, behind all others: none of them is for ever the one that is tried."""
        self.retry_at = NEVER
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
            self.pause_s = RETRY_FIRST_S

    def went_wrong(self, photo: int, now: float, *, alone: bool = False) -> None:
        """One that fails may be to blame itself (a folder has its name in the archive); of two the archive is.

        Args:
            photo: which.
            now: monotonic time.
            alone: the path is known to be to blame, and the archive is not.
        """
        self.resting.pop(photo, None)
        self.failed[photo] = None
        if not alone:
            self.stuck = self.stuck or len(self.failed) > 1
        if self.retry_at == NEVER:
            self.retry_at = now + self.pause_s
            self.pause_s = min(RETRY_LONGEST_S, self.pause_s * 2)

    def drop(self) -> None:
        """The inbox left the config: nothing of it is tried until it comes back."""
        self.retry()
        self.waiting.clear()
        self.resting.clear()

    def calm(self) -> None:
        """Nothing is owed any more: the next trouble is a new one, of which the user is told."""
        self.stuck, self.pause_s, self.warned = False, RETRY_FIRST_S, ""
