"""How many workers there are, and which may load a large network."""

from __future__ import annotations

import pytest

from cutoutd.daemon.workers.sizing import RAM_PER_WORKER, Crew, cores, crew_for
from cutoutd.models.networks.catalog import STANDARD, ModelSpec, catalogue

SMALL, LARGE = catalogue()[STANDARD], catalogue()["isnet-imgly"]
MUCH = 100 * RAM_PER_WORKER


def crew(*specs: ModelSpec, asked: int = 0, workers_fit: int = 100, processors: int = 8) -> Crew:
    return crew_for(specs, asked, ram=lambda: workers_fit * RAM_PER_WORKER, processors=processors)


def test_small_networks_get_a_worker_per_core_within_the_memory() -> None:
    assert crew(SMALL) == Crew(8, 8)
    assert crew(SMALL, workers_fit=3) == Crew(3, 3)
    assert crew(SMALL, workers_fit=0) == Crew(1, 1)
    assert crew_for([SMALL], 0, ram=lambda: MUCH) == Crew(cores(), cores())


def test_a_large_network_is_loaded_once_and_small_ones_beside_it_get_a_worker_of_their_own() -> None:
    assert crew(LARGE) == Crew(1, 1)
    assert crew(LARGE, SMALL) == Crew(2, 1)
    # Also on one core: a draft that shares it comes sooner than one that waits for a final.
    assert crew(LARGE, SMALL, processors=1) == Crew(2, 1)
    assert crew(LARGE, SMALL, workers_fit=1) == Crew(1, 1)


@pytest.mark.parametrize(("asked", "large"), [(1, 1), (2, 1), (4, 3)])
def test_what_the_user_asks_for_holds_and_one_is_kept_for_small_networks(asked: int, large: int) -> None:
    assert crew(LARGE, SMALL, asked=asked, workers_fit=1) == Crew(asked, large)
    assert crew(LARGE, asked=asked) == Crew(asked, asked)
    assert crew(SMALL, asked=asked) == Crew(asked, asked)


def test_small_work_leaves_the_large_networks_slots_free_as_long_as_it_can() -> None:
    two, four = Crew(2, 1), Crew(4, 3)
    assert (two.slots(large=True), two.slots(large=False)) == ((0,), (1, 0))
    assert (four.slots(large=True), four.slots(large=False)) == ((0, 1, 2), (3, 0, 1, 2))
    assert Crew(2, 2).slots(large=True) == Crew(2, 2).slots(large=False) == (0, 1)
