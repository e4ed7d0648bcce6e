"""Which waiting photo is next, and how much may be in hand at once; it starts nothing itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct, field

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.queue import Queue
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.ledger.transitions import INTERRUPTIONS_ALONE
from cutoutd.daemon.plan import STAGES

NOTHING_HELD: Mapping[bytes, Collection[Stage]] = {}


# A photo of unknown size may take this share of the room left: with 400 megapixels the first three such may have
# 100, 75 and 56, more than nearly every camera's; a larger one costs a second reading.
UNKNOWN_SHARE = 0.25


def alone(row: PhotoRow) -> bool:
    """Whether the photo may be what takes the daemon down: it runs last, and with nothing beside it."""
    return row.interruptions >= INTERRUPTIONS_ALONE


class Budget(Struct):
    """Bounds on photos and megapixels in hand; a lone photo of any permitted size always fits.

    A photo whose size is not known yet is let in with a share of what is left as its allowance, so that the
    bound holds whatever they turn out to be: the worker reads the header first and hands it back, with its
    size, when it does not fit.
    """

    photos: int
    megapixels: float
    _held: dict[int, float] = field(default_factory=dict[int, float])

    def allowance(self, megapixels: float) -> float | None:
        """Megapixels the next photo may have (0: not known), or None when nothing more, or not this one, fits."""
        if not self._held and megapixels:
            return float("inf")
        left = self.megapixels - sum(self._held.values())
        if len(self._held) >= self.photos or left <= 0 or megapixels > left:
            return None
        return left if megapixels else left * UNKNOWN_SHARE

    def take(self, photo: int, megapixels: float) -> None:
        """Counts a photo as in hand."""
        self._held[photo] = megapixels

    def release(self, photo: int) -> None:
        """A photo is no longer in hand."""
        self._held.pop(photo, None)

    def resize(self, photos: int, megapixels: float) -> None:
        """Sets new bounds; what is in hand stays."""
        self.photos, self.megapixels = photos, megapixels

    @property
    def in_hand(self) -> int:
        """How many photos are in hand."""
        return len(self._held)


class _Turn(Struct):
    weight: int
    newest: bool
    credit: int = 0


class Scheduler:
    """Chooses rows when a slot frees, so that waiting photos cost a row each and no memory.

    Inboxes take turns by smooth weighted round-robin: over time each gets its share, and none waits long.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.queue = Queue(ledger)
        self._turns: dict[bytes, _Turn] = {}

    def configure(self, inboxes: dict[bytes, tuple[int, bool]]) -> None:
        """Sets the inboxes that take part: path → (weight, newest first)."""
        self._turns = {
            path: _Turn(weight, newest, self._turns[path].credit if path in self._turns else 0)
            for path, (weight, newest) in inboxes.items()
        }

    def next(
        self,
        budget: Budget,
        *,
        now: float,
        paused: frozenset[bytes] = frozenset(),
        held: Mapping[bytes, Collection[Stage]] = NOTHING_HELD,
        early: bool = True,
    ) -> tuple[PhotoRow, float] | None:
        """The row to start now and its megapixel allowance, or None.

        Args:
            budget: what is in hand already.
            now: wall-clock seconds.
            paused: inboxes that cannot deliver at present.
            held: per inbox the stages that no free worker can take at present.
            early: whether photos that have not settled may start (their result waits for the settling).
        """
        open_turns = {path: turn for path, turn in self._turns.items() if path not in paused}
        stages = {path: [one for one in STAGES if one not in held.get(path, ())] for path in open_turns}
        candidates = {
            path: row
            for path, turn in open_turns.items()
            if (row := self.queue.first(path, stages=stages[path], now=now, newest=turn.newest, early=early))
        }
        while candidates:
            path = self._whose_turn({p: open_turns[p] for p in candidates})
            row = candidates.pop(path)
            if alone(row) and (budget.in_hand or candidates or any(held.values())):
                continue  # what is held is to run before it
            allowance = budget.allowance(row.megapixels)
            if allowance is None:
                continue  # it stays first in its inbox; a smaller one elsewhere may still fit
            self._charge(path, {p: open_turns[p] for p in (path, *candidates)})
            return row, allowance
        return None

    @staticmethod
    def _whose_turn(turns: dict[bytes, _Turn]) -> bytes:
        return max(turns, key=lambda path: turns[path].credit + turns[path].weight)

    @staticmethod
    def _charge(chosen: bytes, turns: dict[bytes, _Turn]) -> None:
        for turn in turns.values():
            turn.credit += turn.weight
        turns[chosen].credit -= sum(turn.weight for turn in turns.values())

    def next_due(self, now: float) -> float | None:
        """Wall-clock time at which the next pausing row becomes due, or None."""
        return self.queue.next_due(now)

    def any_owed(self) -> bool:
        """Whether any photo is still to be finished; those of inboxes that left the config wait for these."""
        return self.queue.any_owed(self._turns)

    def others_wait(self, photo: int) -> bool:
        """Whether any photo but this one may start."""
        return self.queue.others_wait(photo, self._turns)
