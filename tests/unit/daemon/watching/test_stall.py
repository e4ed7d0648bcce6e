"""Whether calls to an inbox return: when it is asked, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.question import ANSWER_S, ASK_EVERY_S, Question
from cutoutd.daemon.files.story import Story
from cutoutd.daemon.watching.stall import STUCK_S, Stall


class Silence:
    """An I/O thread whose calls return only when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[Any, BaseException | None], None]] = []

    def call(self, work: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        self.waiting.append(then)


@pytest.fixture
def silence() -> Silence:
    return Silence()


@pytest.fixture
def question(tmp_path: Path, silence: Silence) -> Question:
    return Question(tmp_path, lambda: cast("IoThread", silence), lambda: 0.0)


@pytest.fixture
def stall(question: Question) -> Stall:
    return Stall(b"/photos", question, 0.0)


def ask(stall: Stall, now: float) -> list[bool]:
    """What is said of the answer, once there is one."""
    answers: list[bool] = []

    async def asked() -> None:
        answers.append(await stall.ask(now))

    Story(asked())
    return answers


def test_it_is_asked_only_while_a_call_waits_and_nothing_moves(stall: Stall) -> None:
    later = ASK_EVERY_S
    assert not stall.look(later, (0, 0), waiting=False), "nothing waits"
    assert not stall.look(2 * later - 0.1, (0, 0), waiting=True)
    assert stall.look(2 * later, (0, 0), waiting=True)
    assert not stall.look(2 * later, (0, 1), waiting=True), "a walk has found a file"
    assert not stall.look(3 * later, (1, 1), waiting=True), "a call has returned"
    assert stall.look(4 * later, (1, 1), waiting=True)


def test_one_call_that_hangs_is_told_of_once_and_until_it_returns(stall: Stall) -> None:
    stall.look(0.0, (0, 0), waiting=True)
    assert not stall.gets_stuck(STUCK_S - 0.1)
    assert stall.gets_stuck(STUCK_S)
    assert "/photos" in stall.stuck
    assert not stall.gets_stuck(STUCK_S + 1)
    stall.look(STUCK_S + 2, (1, 0), waiting=True)
    assert stall.stuck == ""


def test_a_folder_that_does_not_answer_is_silent_until_it_does_and_nothing_else_is_said(
    stall: Stall, silence: Silence
) -> None:
    answers = ask(stall, 5.0)
    assert stall.threads() == [silence]
    assert not stall.falls_silent(5.0 + ANSWER_S - 0.1)
    assert stall.falls_silent(5.0 + ANSWER_S)
    assert "does not answer" in stall.silent
    assert not stall.falls_silent(6.0 + ANSWER_S)
    assert not stall.gets_stuck(100.0)
    assert answers == []
    silence.waiting[0](None, None)
    assert answers == [True]
    assert stall.silent == ""
    assert stall.gets_stuck(100.0)


def test_an_answer_of_a_folder_that_was_not_silent_is_nothing_new(stall: Stall, silence: Silence) -> None:
    answers = ask(stall, 5.0)
    silence.waiting[0](None, None)
    assert answers == [False]


def test_its_next_look_is_when_something_may_be_told(stall: Stall) -> None:
    assert stall.next_due() == ASK_EVERY_S
    ask(stall, ASK_EVERY_S)
    assert stall.next_due() == min(ASK_EVERY_S + ANSWER_S, STUCK_S)
    stall.falls_silent(ASK_EVERY_S + ANSWER_S)
    assert stall.next_due() == float("inf")


def test_a_daemon_that_was_suspended_gives_it_as_much_more_time(stall: Stall) -> None:
    ask(stall, 0.0)
    stall.delay(1000.0)
    assert not stall.falls_silent(1000.0 + ANSWER_S - 0.1)
    assert not stall.gets_stuck(1000.0 + STUCK_S - 0.1)
    assert stall.falls_silent(1000.0 + ANSWER_S)
