"""Runs one function over several items on several threads, or two functions; not for processes.

Worth it where NumPy, Pillow or a decoder works outside the interpreter's lock for a tenth of a millisecond at a
time, or longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Other = TypeVar("_Other")


def side_by_side(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> list[_Result]:
    """`function` of each item, in the items' order.

    Args:
        function: called once for each item; with more than one thread in any order.
        items: what to call it with.
        threads: how many calls run at once; 1 makes them one after the other, in this thread.

    Raises:
        Whatever the first failing call raised, after those that had begun have ended.
    """
    if threads <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def both(
    function: Callable[[], _Result], other: Callable[[], _Other], threads: int
) -> tuple[_Result, _Other]:
    """What two functions return, of which neither needs the other.

    Args:
        function: called in this thread.
        other: called meanwhile in another one, or afterwards in this.
        threads: 1 makes the calls one after the other.

    Raises:
        Whatever either raised, the first of them first, after both have ended.
    """
    if threads <= 1:
        return function(), other()
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(other)
        return function(), later.result()
