"""Calls that go together: who asks while one is under way waits for the next, and pays for nobody else's trouble."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from cutoutd.daemon.delivery.group_calls import MOST, GroupCalls
from cutoutd.daemon.files.story import Then


class Outbox:
    """An I/O thread whose calls are made when a test says so, and what is done on it."""

    def __init__(self) -> None:
        self.calls: deque[tuple[Callable[[], Any], Then]] = deque()
        self.done: list[str] = []
        self.told: list[tuple[str, Any]] = []
        self.away: OSError | None = None
        self.broken: set[bytes] = set()
        self.group = GroupCalls(self, self.look, self.sync)

    def call(self, work: Callable[[], Any], then: Then) -> None:
        self.calls.append((work, then))

    def look(self) -> None:
        self.done.append("look")
        if self.away is not None:
            raise self.away

    def sync(self, folder: bytes) -> None:
        self.done.append(f"sync {folder.decode()}")
        if folder in self.broken:
            raise OSError(5, f"{folder.decode()} is broken")

    def ask(self, name: str, *folders: bytes, error: OSError | None = None) -> None:
        def work() -> str:
            self.done.append(name)
            for folder in folders:
                self.group.to_sync(folder)
            if error is not None:
                raise error
            return f"did {name}"

        self.group.call(work, lambda value, failed: self.told.append((name, failed or value)))

    def step(self) -> None:
        """One call on the thread, and what comes of it in the loop."""
        work, then = self.calls.popleft()
        then(work(), None)


def test_one_alone_waits_for_nobody() -> None:
    outbox = Outbox()
    outbox.ask("a", b"out")
    outbox.step()
    assert outbox.done == ["look", "a", "sync out"]
    assert outbox.told == [("a", "did a")]
    assert not outbox.calls


def test_whoever_asks_meanwhile_shares_the_next_call_its_look_and_its_sync() -> None:
    outbox = Outbox()
    for name in ("a", "b", "c"):
        outbox.ask(name, b"out")
    assert len(outbox.calls) == 1
    outbox.step()
    assert outbox.done == ["look", "a", "b", "c", "sync out"]
    assert [name for name, _ in outbox.told] == ["a", "b", "c"]


def test_nobody_is_told_before_the_sync() -> None:
    outbox = Outbox()
    outbox.ask("a", b"out")
    work, _ = outbox.calls.popleft()
    work()
    assert outbox.done[-1] == "sync out"
    assert outbox.told == []


def test_whoever_asks_while_a_call_is_under_way_goes_with_it() -> None:
    outbox = Outbox()

    def asks() -> None:
        outbox.done.append("a")
        outbox.ask("b", b"out")

    outbox.group.call(asks, lambda _value, _error: outbox.told.append(("a", None)))
    outbox.step()
    assert outbox.done == ["look", "a", "b", "sync out"]
    assert [name for name, _ in outbox.told] == ["a", "b"]
    assert not outbox.calls


def test_more_than_fit_go_with_another_call_which_does_not_wait_for_the_loop() -> None:
    outbox = Outbox()
    for number in range(MOST + 2):
        outbox.ask(str(number), b"out")
    assert len(outbox.calls) == 2
    outbox.step()
    assert len(outbox.told) == MOST
    outbox.step()
    assert [name for name, _ in outbox.told] == [str(number) for number in range(MOST + 2)]
    assert outbox.done.count("sync out") == 2


def test_a_folder_that_cannot_be_synced_is_the_trouble_of_those_who_changed_it() -> None:
    outbox = Outbox()
    outbox.broken.add(b"out/x")
    outbox.ask("a", b"out")
    outbox.ask("b", b"out", b"out/x")
    outbox.ask("c", b"out/x")
    outbox.ask("d")
    outbox.step()
    said = {name: str(answer) for name, answer in outbox.told}
    assert said == {"a": "did a", "b": "[Errno 5] out/x is broken", "c": said["b"], "d": "did d"}
    assert sorted(outbox.done[-2:]) == ["sync out", "sync out/x"]


def test_what_fails_halfway_is_synced_too_and_fails_alone() -> None:
    outbox = Outbox()
    full = OSError(28, "full")
    outbox.ask("a", b"out", error=full)
    outbox.ask("b")
    outbox.step()
    assert outbox.done == ["look", "a", "b", "sync out"]
    assert outbox.told == [("a", full), ("b", "did b")]


def test_where_the_outbox_is_away_nothing_is_done() -> None:
    outbox = Outbox()
    outbox.away = OSError(19, "not mounted")
    outbox.ask("a", b"out")
    outbox.ask("b")
    outbox.step()
    assert outbox.done == ["look"]
    assert outbox.told == [("a", outbox.away), ("b", outbox.away)]
    outbox.away = None
    outbox.ask("c")
    outbox.step()
    assert outbox.told[-1] == ("c", "did c")


def test_where_the_thread_has_ended_all_hear_of_it() -> None:
    outbox = Outbox()
    outbox.ask("a")
    outbox.ask("b")
    ended = OSError(19, "no longer in the config")
    _, then = outbox.calls.popleft()
    then(None, ended)
    assert outbox.told == [("a", ended), ("b", ended)]
    assert not outbox.calls


@pytest.mark.parametrize("odd", [None, 7, [], [7], ValueError("odd"), OSError()])
@pytest.mark.parametrize("made", [True, False])
def test_a_call_that_goes_wrong_as_a_whole_is_told_to_all_that_went_with_it_and_to_nobody_else(
    odd: Any, made: bool
) -> None:
    outbox = Outbox()
    outbox.ask("a")
    outbox.ask("b")
    work, then = outbox.calls.popleft()
    if made:
        work()
    then(*(None, odd) if isinstance(odd, BaseException) else (odd, None))
    assert outbox.told == [("a", odd), ("b", odd)]
    outbox.ask("c")
    outbox.step()
    assert outbox.told[2:] == [("c", "did c")]


def test_where_one_answer_brings_out_a_mistake_the_others_hear_theirs_and_it_is_told() -> None:
    outbox = Outbox()

    def mistaken(_value: Any, _error: BaseException | None) -> None:
        raise ZeroDivisionError("ours")

    outbox.ask("a")
    outbox.group.call(lambda: None, mistaken)
    outbox.ask("b")
    with pytest.raises(ZeroDivisionError):
        outbox.step()
    assert outbox.told == [("a", "did a"), ("b", "did b")]
    outbox.ask("c")
    outbox.step()
    assert outbox.told[-1] == ("c", "did c")
