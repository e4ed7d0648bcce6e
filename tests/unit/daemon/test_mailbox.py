"""Which messages go with a life of the daemon, and which wait for the next."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from queue import Empty

import pytest

from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.mailbox import Mailbox, OfConfig, Signal
from cutoutd.daemon.watching.watcher import Rescan

HUP, TERM = Signal(signal.SIGHUP), Signal(signal.SIGTERM)
SEEN, LATE = Rescan("inbox", "a folder was made"), Rescan("inbox", "another was made")
ANSWER = OfConfig(Done(lambda _value, _error: None, None, None))


@pytest.fixture
def own_handlers() -> Generator[None]:
    """The test runner's own, back again afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def heard(box: Mailbox) -> list[object]:
    found: list[object] = []
    try:
        while True:
            found.append(box.queue.get_nowait())
    except Empty:
        return found


def test_what_parts_say_goes_with_their_life_and_what_is_meant_for_the_daemon_stays() -> None:
    box = Mailbox()
    parts = box.queue.put  # what the parts of the first life have in hand
    for message in (SEEN, HUP, SEEN, ANSWER):
        parts(message)
    box.renew()
    parts(LATE)
    assert heard(box) == [HUP, ANSWER]


def test_between_two_lives_only_an_end_is_not_kept_for_the_next() -> None:
    box = Mailbox()
    assert box.between_lives(0.0) is None
    for message in (HUP, SEEN, ANSWER, TERM):
        box.queue.put(message)
    assert [box.between_lives(0.0) for _ in range(4)] == [HUP, SEEN, ANSWER, TERM]
    box.queue.put(LATE)
    box.renew()
    assert heard(box) == [HUP, ANSWER]


@pytest.mark.usefixtures("own_handlers")
def test_a_signal_of_the_system_is_a_message_of_the_present_life() -> None:
    box = Mailbox()
    box.hear_signals()
    box.renew()
    os.kill(os.getpid(), signal.SIGHUP)
    assert box.queue.get(timeout=10) == HUP
    assert [Signal(number).ends for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == [
        True,
        True,
        False,
    ]
