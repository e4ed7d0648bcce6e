"""Runs one function over several items on several threads, all at once or as a stream, or two functions; not for
processes.

Worth it where NumPy, Pillow or a decoder works outside the interpreter's lock for a tenth of a millisecond at a
time, or longer. A thread that cannot be started, as where memory is short, only leaves its share to the others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Other = TypeVar("_Other")


def side_by_side(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> list[_Result]:
    """`function` of each item, in the items' order.

    Args:
        function: called once for each item; with more than one thread in any order.
        items: what to call it with.
        threads: how many calls run at once, this thread's among them; 1 makes them one after the other.

    Raises:
        Whatever the first failing call raised, after those that had begun have ended; what had not begun is left.
    """
    if threads <= 1:
        return [function(item) for item in items]
    todo = deque(enumerate(items))
    results: dict[int, _Result] = {}
    failed: dict[int, BaseException] = {}
    count = len(todo)

    def work() -> None:
        while True:
            try:
                place, item = todo.popleft()
            except IndexError:
                return
            try:
                results[place] = function(item)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever asked
                failed[place] = error
                todo.clear()

    helpers = _started(work, min(threads, count) - 1)
    work()
    for helper in helpers:
        helper.join()
    if failed:
        raise failed[min(failed)]
    return [results[place] for place in range(count)]


def streamed(function: Callable[[int], _Result], count: int, threads: int) -> Iterator[_Result]:
    """`function` of 0 to `count` - 1, in this order, each as soon as it is there; others are worked on meanwhile.

    Args:
        function: called once for each number; with more than one thread in any order.
        count: how many there are.
        threads: how many calls run at once, all beside this thread; where none can be had they are made in this one.

    Raises:
        Whatever a failing call raised, after those that had begun have ended; what had not begun is left.
    """
    todo = deque(range(count))
    done: dict[int, _Result] = {}
    failed: dict[int, BaseException] = {}
    news = threading.Condition()

    def work() -> None:
        while True:
            try:
                number = todo.popleft()
            except IndexError:
                return
            try:
                result = function(number)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever asked
                todo.clear()
                with news:
                    failed[number] = error
                    news.notify_all()
            else:
                with news:
                    done[number] = result
                    news.notify_all()

    at_once = min(threads, count)
    helpers = _started(work, at_once) if at_once > 1 else []
    if not helpers:
        yield from map(function, range(count))
        return
    try:
        for number in range(count):
            with news:
                news.wait_for(lambda number=number: number in done or failed)
            if number not in done:
                raise failed[min(failed)]
            yield done.pop(number)
    finally:
        todo.clear()
        for helper in helpers:
            helper.join()


def _started(work: Callable[[], None], count: int) -> list[threading.Thread]:
    """As many threads as can be had."""
    started: list[threading.Thread] = []
    for _ in range(count):
        thread = threading.Thread(target=work, daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # "can't start new thread": no memory for its stack
            break
        started.append(thread)
    return started


def both(
    function: Callable[[], _Result], other: Callable[[], _Other], threads: int
) -> tuple[_Result, _Other]:
    """What two functions return, of which neither needs the other.

    Args:
        function: called first.
        other: called meanwhile in another thread, or afterwards in this.
        threads: 1 makes the calls one after the other.

    Raises:
        Whatever either raised, the first of them first, after what had begun has ended.
    """
    calls = cast("tuple[Callable[[], Any], ...]", (function, other))
    first, second = side_by_side(lambda call: call(), calls, threads)
    return cast("_Result", first), cast("_Other", second)
