"""Which waiting photo is next, and how much may be in hand at once; it starts nothing itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import product

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import COLUMNS, PhotoRow, photo_row
from cutoutd.daemon.ledger.transitions import INTERRUPTIONS_ALONE
from cutoutd.daemon.plan import STAGES

# A pause never lasts longer than this; a row that claims more comes from a clock that jumped back.
LONGEST_PAUSE_S = 600.0
NOTHING_HELD: Mapping[bytes, Collection[str]] = {}


# A photo of unknown size may take this share of the room left: with 400 megapixels the first three such may have
# 100, 75 and 56, more than nearly every camera's; a larger one costs a second reading.
UNKNOWN_SHARE = 0.25


def alone(row: PhotoRow) -> bool:
    """Whether the photo may be what takes the daemon down: it runs last, and with nothing beside it."""
    return row.interruptions >= INTERRUPTIONS_ALONE


@dataclass(slots=True)
class Budget:
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


@dataclass(slots=True)
class _Turn:
    weight: int
    newest: bool
    credit: int = 0


class Scheduler:
    """Chooses rows when a slot frees, so that waiting photos cost a row each and no memory.

    Inboxes take turns by smooth weighted round-robin: over time each gets its share, and none waits long.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
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
        held: Mapping[bytes, Collection[str]] = NOTHING_HELD,
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
            path: row for path in open_turns if (row := self._first(path, now, stages[path], early=early))
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

    def _first(self, inbox: bytes, now: float, stages: list[str], *, early: bool) -> PhotoRow | None:
        direction = "DESC" if self._turns[inbox].newest else "ASC"
        # One look at the index each, instead of a walk past all that is held.
        for settled, stage in product((1, 0) if early else (1,), stages):
            row = self.ledger.one(
                f"SELECT {COLUMNS} FROM photos WHERE state = 'pending' AND inbox = ?"
                " AND settled = ? AND stage = ? AND (not_before <= ? OR not_before > ?)"
                # One whose predecessor is on its way to the outbox waits: it is to replace that cutout.
                " AND NOT EXISTS"
                " (SELECT 1 FROM photos p WHERE p.id = photos.previous AND p.state = 'delivering')"
                f" ORDER BY interruptions, arrived {direction}, id {direction} LIMIT 1",
                (inbox, settled, stage, now, now + LONGEST_PAUSE_S),
            )
            if row is not None:
                return photo_row(row)
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
        row = self.ledger.one(
            # "> 0" lets the index of the few pausing rows be used, instead of a look at all that wait.
            "SELECT min(not_before) FROM photos"
            " WHERE state = 'pending' AND not_before > 0 AND not_before > ? AND not_before <= ?",
            (now, now + LONGEST_PAUSE_S),
        )
        return None if row is None or row[0] is None else float(row[0])
