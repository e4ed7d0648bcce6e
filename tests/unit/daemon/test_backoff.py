"""Pauses grow, and never beyond their limit."""

from __future__ import annotations

import pytest

from cutoutd.daemon.backoff import NEVER, Retry, backoff_s


@pytest.mark.parametrize(
    ("failures", "pause_s"), [(-1, 0.0), (0, 0.0), (1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (10**6, 60.0)]
)
def test_each_pause_is_twice_the_one_before_until_the_longest(failures: int, pause_s: float) -> None:
    assert backoff_s(failures, 2.0, 60.0) == pause_s


def test_it_may_grow_faster() -> None:
    assert [backoff_s(n, 1.0, 300.0, 4.0) for n in range(1, 7)] == [1.0, 4.0, 16.0, 64.0, 256.0, 300.0]


def test_a_retry_is_due_after_a_pause_and_well_makes_pauses_small_again() -> None:
    retry = Retry(2.0, 8.0)
    assert retry.at == NEVER
    due: list[float] = []
    for _ in range(4):
        retry.failed(10.0)
        due.append(retry.at)
    assert due == [12.0, 14.0, 18.0, 18.0]
    retry.failed(10.0, at_most_s=0.5)
    assert retry.at == 10.5
    retry.well()
    assert (retry.at, retry.pause_s) == (10.5, 2.0)
