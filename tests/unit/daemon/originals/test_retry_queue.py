"""Whose turn it is: few at a time, one original's trouble told from the archive's, none tried for ever."""

from __future__ import annotations

from cutoutd.daemon.backoff import NEVER
from cutoutd.daemon.originals.retry_queue import AT_ONCE, RETRY_FIRST_S, RETRY_LONGEST_S, RetryQueue


def _all(retries: RetryQueue) -> list[int]:
    """Takes up whatever may be taken up now."""
    taken: list[int] = []
    while (photo := retries.next()) is not None:
        retries.under_way.add(photo)
        taken.append(photo)
    return taken


def _fail(retries: RetryQueue, *photos: int, now: float = 0.0) -> None:
    for photo in photos:
        retries.under_way.discard(photo)
        retries.went_wrong(photo, now)


def test_few_are_under_way_and_none_lines_up_twice() -> None:
    retries = RetryQueue()
    retries.owed([3, 1, 2])
    assert _all(retries) == [3, 1]
    assert AT_ONCE == 2
    retries.owed([1, 2, 3, 4])
    retries.under_way.clear()
    assert _all(retries) == [2, 4]


def test_one_that_fails_holds_up_nobody_and_waits_its_pause() -> None:
    retries = RetryQueue()
    retries.owed([1, 2, 3])
    _all(retries)
    _fail(retries, 1, now=100.0)
    assert (retries.stuck, retries.again.at) == (False, 100.0 + RETRY_FIRST_S)
    retries.owed([1])  # neither does it line up again before
    assert _all(retries) == [3]
    retries.went_well(0)
    assert retries.again.at == 100.0 + RETRY_FIRST_S


def test_of_two_that_fail_the_archive_is_to_blame_and_each_retry_tries_one_another_each_time() -> None:
    retries = RetryQueue()
    retries.owed(range(1, 6))
    _fail(retries, *_all(retries))
    tried: list[int] = []
    for _ in range(5):
        due = retries.again.at
        retries.retry()
        taken = _all(retries)
        tried += taken
        _fail(retries, *taken, now=due)
        assert len(taken) == 1
    assert sorted(tried) == [1, 2, 3, 4, 5]
    retries.retry()
    _all(retries)
    retries.under_way.clear()
    retries.went_well(0)
    assert (retries.stuck, retries.again.pause_s) == (False, RETRY_FIRST_S)
    assert len(_all(retries)) == AT_ONCE


def test_pauses_double_up_to_the_longest() -> None:
    retries, now, pauses = RetryQueue(), 0.0, list[float]()
    retries.owed([1])
    for _ in range(9):
        _fail(retries, *_all(retries), now=now)
        pauses.append(retries.again.at - now)
        now = retries.again.at
        retries.retry()
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert RETRY_LONGEST_S == 600


def test_an_inbox_that_left_is_not_tried() -> None:
    retries = RetryQueue()
    retries.owed([1, 2, 3])
    _fail(retries, *_all(retries))
    retries.drop()
    assert (retries.again.at, _all(retries)) == (NEVER, [])
