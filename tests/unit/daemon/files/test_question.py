"""Whether a folder still answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.question import ANSWER_S, ASK_EVERY_S, Question
from cutoutd.daemon.files.story import Story

NEVER = float("inf")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Thread:
    """Makes its calls when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = []

    def call(self, work: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        self.calls.append((work, then))

    def answer(self) -> None:
        work, then = self.calls.pop()
        try:
            then(work(), None)
        except OSError as error:
            then(None, error)


def ask(question: Question, now: float) -> None:
    async def asked() -> None:
        await question.ask(now)

    Story(asked())


@pytest.fixture
def thread() -> Thread:
    return Thread()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def question(tmp_path: Path, thread: Thread, clock: Clock) -> Question:
    return Question(tmp_path, lambda: cast("IoThread", thread), clock)


def test_it_is_asked_once_until_it_answers_and_then_not_at_once_again(
    question: Question, thread: Thread, clock: Clock
) -> None:
    heard: list[bool] = []
    assert (question.open, question.due(), question.threads()) == (False, NEVER, [])

    async def hear(now: float) -> None:
        heard.append(await question.ask(now))

    Story(hear(100.0))
    Story(hear(101.0))
    assert heard == [False], "it is asked already"
    assert (question.open, question.due(), len(thread.calls)) == (True, 100.0 + ANSWER_S, 1)
    clock.now = 103.0
    thread.answer()
    assert (question.open, question.due(), heard) == (False, NEVER, [False, True])
    ask(question, 103.0 + ASK_EVERY_S - 0.1)
    assert not question.open
    ask(question, 103.0 + ASK_EVERY_S)
    assert question.open


def test_an_error_is_an_answer_too(tmp_path: Path, thread: Thread, clock: Clock) -> None:
    question = Question(tmp_path / "gone", lambda: cast("IoThread", thread), clock)
    ask(question, 100.0)
    thread.answer()
    assert not question.open


def test_a_daemon_that_was_suspended_gives_it_as_much_more_time(question: Question) -> None:
    question.delay(50.0)  # nothing was asked
    ask(question, 100.0)
    question.delay(50.0)
    assert question.due() == 150.0 + ANSWER_S


def test_when_its_next_step_is(question: Question) -> None:
    assert question.next_due(120.0, told=False) == 120.0
    ask(question, 100.0)
    assert question.next_due(120.0, told=False) == 100.0 + ANSWER_S
    assert question.next_due(120.0, told=True) == NEVER  # that it hangs is known, and nothing is planned
