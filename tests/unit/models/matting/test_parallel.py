"""Several threads give what one gives, in the same order, and pass failures on."""

from __future__ import annotations

import threading

import pytest

from cutoutd.models.matting.parallel import both, side_by_side, streamed


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


@pytest.mark.parametrize("threads", [1, 2])
def test_two_functions_give_their_results_in_order(threads: int) -> None:
    assert both(lambda: 1, lambda: "two", threads) == (1, "two")


def test_two_functions_run_at_once() -> None:
    together = threading.Barrier(2, timeout=20)
    both(together.wait, together.wait, 2)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("failing", [0, 1])
def test_a_failure_of_either_is_passed_on(failing: int, threads: int) -> None:
    def divided(by: float) -> float:
        """Fails for nothing."""
        return 1 / by

    with pytest.raises(ZeroDivisionError):
        both(lambda: divided(failing), lambda: divided(1 - failing), threads)


def test_threads_that_cannot_be_had_leave_their_share_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, iter([True, False])

    def no_memory_for_a_second(thread: threading.Thread) -> None:
        if not next(started, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_memory_for_a_second)
    assert side_by_side(lambda n: n * n, range(50), 4) == [n * n for n in range(50)]
    assert both(lambda: 1, lambda: 2, 2) == (1, 2)
    assert list(streamed(lambda n: n * n, 50, 4)) == [n * n for n in range(50)]


def _squares_with_a_failure(n: int) -> int:
    if n == 3:
        raise ValueError("three")
    return n * n


@pytest.mark.parametrize("threads", [1, 3])
def test_a_stream_comes_in_order_and_passes_a_failure_on(threads: int) -> None:
    assert list(streamed(lambda n: n * n, 50, threads)) == [n * n for n in range(50)]
    assert list(streamed(lambda n: n, 0, threads)) == []
    with pytest.raises(ValueError, match="three"):
        list(streamed(_squares_with_a_failure, 9, threads))


def test_a_stream_works_ahead_of_who_reads_it() -> None:
    together = threading.Barrier(3, timeout=20)

    def met(n: int) -> int:
        if n < 3:
            together.wait()
        return n

    stream = streamed(met, 10, 3)
    assert next(stream) == 0
    assert list(stream) == list(range(1, 10))
