"""Several threads give what one gives, in the same order, and pass failures on."""

from __future__ import annotations

import threading

import pytest

from cutoutd.models.matting.parallel import side_by_side


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_the_items_order(threads: int) -> None:
    assert side_by_side(lambda n: n * n, range(50), threads) == [n * n for n in range(50)]


def test_calls_run_at_once() -> None:
    together = threading.Barrier(3, timeout=20)
    side_by_side(lambda _: together.wait(), range(3), 3)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_is_passed_on(threads: int) -> None:
    def halve(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n // 2

    with pytest.raises(ValueError, match="three"):
        side_by_side(halve, range(9), threads)
