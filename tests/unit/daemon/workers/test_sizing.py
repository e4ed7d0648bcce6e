"""How many workers there are, and which may load a large network."""

from __future__ import annotations

import pytest

from cutoutd.daemon.workers.sizing import RAM_PER_WORKER, PoolSize, pool_size_for
from cutoutd.models.machine import cores
from cutoutd.models.networks.catalog import STANDARD, ModelSpec, catalogue

SMALL, LARGE = catalogue()[STANDARD], catalogue()["isnet-imgly"]
MUCH = 100 * RAM_PER_WORKER


def pool_size(*specs: ModelSpec, asked: int = 0, workers_fit: int = 100, processors: int = 8) -> PoolSize:
    return pool_size_for(specs, asked, ram=lambda: workers_fit * RAM_PER_WORKER, processors=processors)


def test_small_networks_get_a_worker_per_core_within_the_memory() -> None:
    assert pool_size(SMALL) == PoolSize(8, 8)
    assert pool_size(SMALL, workers_fit=3) == PoolSize(3, 3)
    assert pool_size(SMALL, workers_fit=0) == PoolSize(1, 1)
    assert pool_size_for([SMALL], 0, ram=lambda: MUCH) == PoolSize(cores(), cores())


def test_a_large_network_is_loaded_once_and_small_ones_beside_it_get_a_worker_of_their_own() -> None:
    assert pool_size(LARGE) == PoolSize(1, 1)
    assert pool_size(LARGE, SMALL) == PoolSize(2, 1)
    # Also on one core: a draft that shares it comes sooner than one that waits for a final.
    assert pool_size(LARGE, SMALL, processors=1) == PoolSize(2, 1)
    assert pool_size(LARGE, SMALL, workers_fit=1) == PoolSize(1, 1)


@pytest.mark.parametrize(("asked", "large"), [(1, 1), (2, 1), (4, 3)])
def test_what_the_user_asks_for_holds_and_one_is_kept_for_small_networks(asked: int, large: int) -> None:
    assert pool_size(LARGE, SMALL, asked=asked, workers_fit=1) == PoolSize(asked, large)
    assert pool_size(LARGE, asked=asked) == PoolSize(asked, asked)
    assert pool_size(SMALL, asked=asked) == PoolSize(asked, asked)


def test_small_work_leaves_the_large_networks_slots_free_as_long_as_it_can() -> None:
    two, four = PoolSize(2, 1), PoolSize(4, 3)
    assert (two.slots(large=True), two.slots(large=False)) == ((0,), (1, 0))
    assert (four.slots(large=True), four.slots(large=False)) == ((0, 1, 2), (3, 0, 1, 2))
    assert PoolSize(2, 2).slots(large=True) == PoolSize(2, 2).slots(large=False) == (0, 1)
