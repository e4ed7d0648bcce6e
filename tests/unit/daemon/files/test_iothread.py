"""Calls for one folder: in order, off the loop, and answered even after the end."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from cutoutd.daemon.files.iothread import Done, IoThread


def _ignore(_value: Any, _error: BaseException | None) -> None: ...


def test_calls_run_in_order_and_errors_are_told() -> None:
    posted: SimpleQueue[Done] = SimpleQueue()
    thread = IoThread("x", posted.put)
    thread.call(lambda: 1, _ignore)
    thread.call(lambda: 1 / 0, _ignore)
    thread.call(lambda: 3, _ignore)
    answers = [posted.get(timeout=5) for _ in range(3)]
    assert [one.value for one in answers] == [1, None, 3]
    assert isinstance(answers[1].error, ZeroDivisionError)
    thread.stop()
    assert thread.join(5)
    assert thread.waiting == 0


def test_a_call_that_hangs_is_counted_and_does_not_keep_the_program() -> None:
    thread = IoThread("x", lambda _done: None)
    never = threading.Event()
    thread.call(never.wait, _ignore)
    thread.call(lambda: 2, _ignore)
    assert thread.waiting == 2
    thread.stop()
    assert not thread.join(0.05)
    never.set()
    assert thread.join(5)


def test_after_the_end_a_call_is_answered_with_an_error() -> None:
    """A delivery to an outbox that left the config must hear so, or its photo stays in hand for ever."""
    posted: SimpleQueue[Done] = SimpleQueue()
    thread = IoThread("x", posted.put)
    thread.call(lambda: 1, _ignore)
    thread.stop()
    thread.call(lambda: 2, _ignore)
    answers = [posted.get(timeout=5) for _ in range(2)]
    errors = [one.error for one in answers if one.error is not None]
    with pytest.raises(OSError, match="no longer in the config"):
        raise errors[0]
    assert [one.value for one in answers if one.error is None] == [1]
