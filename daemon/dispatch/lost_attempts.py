"""Temporaries of attempts that were lost with their node, which may still be writing; it decides about no photo.

A node that was cut off finishes its photo late, under a name that nobody publishes any more. All methods run in the
supervisor's loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from cutoutd.daemon.delivery.outboxes import Outboxes

# Looked for at once, whenever a node joins, and a last time after so long: no node works on one photo for longer.
LAST_LOOK_S: Final = 3600.0
# More are left to the sweep of the next start.
MOST: Final = 2000


class LostAttempts(Struct):
    """What to remove again and again, for a while.

    Attributes:
        outboxes: what earlier lives left in them is swept.
        discard: removes temporaries, wherever they lie.
        first_attempt: the number of this life's first; what has a smaller one is an earlier life's.
        clock: monotonic seconds.
    """

    outboxes: Outboxes
    discard: Callable[[Iterable[bytes]], None]
    first_attempt: int
    clock: Callable[[], float]
    _lost: deque[tuple[float, tuple[bytes, ...]]] = field(
        default_factory=lambda: deque[tuple[float, tuple[bytes, ...]]](maxlen=MOST)
    )
    _joins: int = 0

    def lost(self, temporaries: Sequence[bytes]) -> None:
        """A node that had these in hand is gone, or will not be believed."""
        self._lost.append((self.clock() + LAST_LOOK_S, tuple(temporaries)))
        self.discard(temporaries)

    def look(self, joins: int, outboxes: Iterable[Path], keep: Callable[[], frozenset[bytes]]) -> None:
        """Removes what is due.

        Args:
            joins: how often nodes have joined so far; one more means that somebody is back.
            outboxes: of the plan in force.
            keep: temporaries that wait to be published, whichever life made them.
        """
        if joins != self._joins:
            self._joins = joins
            for _, temporaries in self._lost:
                self.discard(temporaries)
            for outbox in outboxes:
                self.outboxes.sweep_earlier(outbox, self.first_attempt, keep())
        now = self.clock()
        while self._lost and now >= self._lost[0][0]:
            _, temporaries = self._lost.popleft()
            self.discard(temporaries)
