"""Stories: steps go to their thread in order, errors come back where they were awaited, a hung one is let go."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from tests.support.conditions import wait_until

from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.files.story import Story, Then, run, send


class InOrder:
    """Makes no call before it is told to."""

    def __init__(self) -> None:
        self.calls: deque[tuple[Callable[[], Any], Then]] = deque()

    def call(self, work: Callable[[], Any], then: Then) -> None:
        self.calls.append((work, then))

    def step(self) -> None:
        work, then = self.calls.popleft()
        try:
            value = work()
        except OSError as error:
            then(None, error)
        else:
            then(value, None)


def fail() -> int:
    raise OSError(5, "the disk")


def test_a_story_reads_down_the_page_and_is_told_errors_where_it_waits() -> None:
    io, told = InOrder(), list[str]()

    async def half(number: int) -> int:
        return await run(io, lambda: number // 2)

    async def story() -> None:
        told.append("begun")
        told.append(str(await half(8)))
        try:
            await run(io, fail)
        except OSError as error:
            told.append(str(error.strerror))
        told.append("end")

    one = Story(story())
    assert (told, one.over) == (["begun"], False)
    io.step()
    assert told == ["begun", "4"]
    io.step()
    assert (told, one.over) == (["begun", "4", "the disk", "end"], True)
    assert not io.calls


def test_what_is_only_sent_is_done_in_its_turn_and_its_error_is_nobodys() -> None:
    io, told = InOrder(), list[str]()

    async def story() -> None:
        told.append(await run(io, "{}{}".format, "a", "b"))

    send(io, fail)
    Story(story())
    io.step()
    io.step()
    assert told == ["ab"]


def test_two_stories_take_turns_in_the_order_of_their_calls() -> None:
    io, told = InOrder(), list[str]()

    async def story(name: str) -> None:
        for step in range(2):
            await run(io, lambda: None)
            told.append(f"{name}{step}")

    Story(story("a"))
    Story(story("b"))
    while io.calls:
        io.step()
    assert told == ["a0", "b0", "a1", "b1"]


def test_what_a_story_does_not_catch_comes_out_of_the_loop_and_it_is_over() -> None:
    io = InOrder()

    async def story() -> None:
        await run(io, fail)

    one = Story(story())
    with pytest.raises(OSError, match="the disk"):
        io.step()
    assert one.over


def test_or_is_told_to_whoever_it_was_begun_for() -> None:
    io, told = InOrder(), list[str]()

    async def story() -> None:
        await run(io, fail)

    one = Story(story(), lambda mistake: told.append(str(mistake)))
    io.step()
    assert (told, one.over) == (["[Errno 5] the disk"], True)


def test_one_whose_mount_hangs_is_abandoned_and_a_late_answer_is_dropped() -> None:
    messages: SimpleQueue[Done] = SimpleQueue()
    io, back, told = IoThread("hung", messages.put), threading.Event(), list[str]()

    async def story() -> None:
        await run(io, back.wait)
        told.append("went on")

    one = Story(story())
    one.abandon()
    back.set()
    wait_until(lambda: not messages.empty(), "the late answer")
    done = messages.get()
    done.then(done.value, done.error)
    assert (told, one.over) == ([], True)
    io.stop()
