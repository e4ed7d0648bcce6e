"""Many stories' writes and one sync: all are there before one goes on, and what fails takes nothing else with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.group_commit import GroupCommit


class Loop:
    """The supervisor's, as far as it is needed."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.group = GroupCommit(ledger)
        self.told: list[str] = []

    def story(self, name: str, work: Callable[[], Any]) -> None:
        async def told() -> None:
            try:
                self.told.append(f"{name} {await run(self.group, work)}")
            except ZeroDivisionError:
                self.told.append(f"{name} failed")

        Story(told())

    def turn(self) -> bool:
        carried_out = self.group.carry_out()
        for done in carried_out:
            done.then(done.value, done.error)
        return bool(carried_out)


@pytest.fixture
def loop(ledger: Ledger) -> Loop:
    return Loop(ledger)


def kept(loop: Loop) -> set[str]:
    """What another process finds in the file."""
    with sqlite3.connect(f"file:{loop.ledger.path}?mode=ro", uri=True) as other:
        return {name for (name,) in other.execute("SELECT name FROM meta WHERE name LIKE 'n%'")}


def test_stories_of_one_turn_share_one_transaction_and_go_on_when_it_is_kept(loop: Loop) -> None:
    begun: list[str] = []
    loop.ledger.db.set_trace_callback(begun.append)
    for name in ("n1", "n2", "n3"):
        loop.story(name, lambda name=name: loop.ledger.set_meta(name, 1))
    assert loop.group.waiting()
    assert loop.told == []
    assert loop.turn()
    assert loop.told == ["n1 None", "n2 None", "n3 None"]
    assert kept(loop) == {"n1", "n2", "n3"}
    assert [one for one in begun if one in ("BEGIN IMMEDIATE", "COMMIT")] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert not loop.group.waiting()
    assert not loop.turn()


def test_nobody_goes_on_before_the_commit(loop: Loop) -> None:
    seen: list[set[str]] = []
    loop.group.call(lambda: loop.ledger.set_meta("n1", 1), lambda _value, _error: seen.append(kept(loop)))
    loop.group.call(lambda: seen.append(kept(loop)), lambda _value, _error: None)
    loop.turn()
    assert seen == [set(), {"n1"}]


def test_what_fails_leaves_nothing_behind_and_the_others_are_kept(loop: Loop) -> None:
    def half() -> None:
        loop.ledger.set_meta("n2", 1)
        raise ZeroDivisionError

    loop.story("n1", lambda: loop.ledger.set_meta("n1", 1))
    loop.story("n2", half)
    loop.story("n3", lambda: loop.ledger.set_meta("n3", 1))
    loop.turn()
    assert loop.told == ["n1 None", "n2 failed", "n3 None"]
    assert kept(loop) == {"n1", "n3"}


def test_what_a_turn_wrote_before_is_kept_too(loop: Loop) -> None:
    loop.ledger.set_meta("n1", 1)
    loop.story("n2", lambda: loop.ledger.set_meta("n2", 1))
    loop.turn()
    assert kept(loop) == {"n1", "n2"}


def test_where_the_ledger_cannot_be_written_nobody_goes_on(loop: Loop) -> None:
    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    loop.story("n1", lambda: loop.ledger.set_meta("n1", 1))
    loop.story("n2", full)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        loop.turn()
    assert loop.told == []
    assert kept(loop) == set()


def test_what_a_story_asks_for_as_it_goes_on_is_for_the_next_commit(loop: Loop) -> None:
    async def twice() -> None:
        for name in ("n1", "n2"):
            await run(loop.group, loop.ledger.set_meta, name, 1)

    Story(twice())
    loop.turn()
    assert kept(loop) == {"n1"}
    assert loop.group.waiting()
    loop.turn()
    assert kept(loop) == {"n1", "n2"}
