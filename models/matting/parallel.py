"""Runs one function over several items on several threads; not for processes, and not for work of another order.

Worth it where NumPy, Pillow or a decoder works outside the interpreter's lock for a tenth of a millisecond at a
time, or longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
