"""Whose turn it is: few at a time, one original's trouble told from the archive's, none tried for ever."""

from __future__ import annotations

from cutoutd.daemon.originals.retry_queue import AT_ONCE, NEVER, RETRY_FIRST_S, RETRY_LONGEST_S, Turns


def _all(turns: Turns) -> list[int]:
    """Takes up whatever may be taken up now."""
    taken: list[int] = []
    while (photo := turns.next()) is not None:
        turns.under_way.add(photo)
        taken.append(photo)
    return taken


def _fail(turns: Turns, *photos: int, now: float = 0.0) -> None:
    for photo in photos:
        turns.under_way.discard(photo)
        turns.went_wrong(photo, now)


def test_few_are_under_way_and_none_lines_up_twice() -> None:
    turns = Turns()
    turns.owed([3, 1, 2])
    assert _all(turns) == [3, 1]
    assert AT_ONCE == 2
    turns.owed([1, 2, 3, 4])
    turns.under_way.clear()
    assert _all(turns) == [2, 4]


def test_one_that_fails_holds_up_nobody_and_waits_its_pause() -> None:
    turns = Turns()
    turns.owed([1, 2, 3])
    _all(turns)
    _fail(turns, 1, now=100.0)
    assert (turns.stuck, turns.retry_at) == (False, 100.0 + RETRY_FIRST_S)
    turns.owed([1])  # neither does it line up again before
    assert _all(turns) == [3]
    turns.went_well()
    assert turns.retry_at == 100.0 + RETRY_FIRST_S


def test_of_two_that_fail_the_archive_is_to_blame_and_each_retry_tries_one_another_each_time() -> None:
    turns = Turns()
    turns.owed(range(1, 6))
    _fail(turns, *_all(turns))
    tried: list[int] = []
    for _ in range(5):
        due = turns.retry_at
        turns.retry()
        taken = _all(turns)
        tried += taken
        _fail(turns, *taken, now=due)
        assert len(taken) == 1
    assert sorted(tried) == [1, 2, 3, 4, 5]
    turns.retry()
    _all(turns)
    turns.under_way.clear()
    turns.went_well()
    assert (turns.stuck, turns.pause_s) == (False, RETRY_FIRST_S)
    assert len(_all(turns)) == AT_ONCE


def test_pauses_double_up_to_the_longest() -> None:
    turns, now, pauses = Turns(), 0.0, list[float]()
    turns.owed([1])
    for _ in range(9):
        _fail(turns, *_all(turns), now=now)
        pauses.append(turns.retry_at - now)
        now = turns.retry_at
        turns.retry()
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert RETRY_LONGEST_S == 600


def test_an_inbox_that_left_is_not_tried() -> None:
    turns = Turns()
    turns.owed([1, 2, 3])
    _fail(turns, *_all(turns))
    turns.drop()
    assert (turns.retry_at, _all(turns)) == (NEVER, [])
