"""What a lost node may still be writing is removed again and again, wherever it lies; see `fleet/test_slots.py` too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from tests.support.simulation import Simulation

from cutoutd.daemon.dispatch.lost_attempts import LAST_LOOK_S, LostAttempts


def test_it_is_removed_at_once_whenever_a_node_joins_and_a_last_time(sim: Callable[..., Simulation]) -> None:
    one = sim().boot()
    removed: list[bytes] = []

    def discard(names: Iterable[bytes]) -> None:
        removed.extend(names)

    lost = LostAttempts(one.parts.outboxes, discard, 1, lambda: one.now)

    def look(joins: int) -> int:
        removed.clear()
        lost.look(joins, list[Path](), frozenset[bytes])
        return len(removed)

    lost.lost([b"/an outbox that has left/.part"])
    assert len(removed) == 1
    assert [look(0), look(1), look(1)] == [0, 1, 0]
    one.pass_time(LAST_LOOK_S)
    assert [look(1), look(2)] == [1, 0]
