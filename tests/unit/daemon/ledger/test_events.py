"""Events stand in the ledger exactly when what they tell of does, and hooks owe each of them once."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.support.simulation import Simulation, cutout_of

from cutoutd.config.errors import Reason
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.events import RETRY_LAST_S, Events, HookQueue
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.workers import protocol
from cutoutd.models.networks.doubt import Doubt

Make = Callable[..., Simulation]
ALL = tuple(EventKind)


def kinds(one: Simulation, after: int = 0) -> list[str]:
    return [event.kind.value for event in Events(one.parts.ledger).since(after)]


def test_a_photo_that_is_archived_leaves_three_events(sim: Make) -> None:
    one = sim()
    one.inbox_table = {"after": {"action": "archive", "archive": one.archive}}
    one.put("day/a.jpg", b"photo")
    one.boot().finish()
    assert kinds(one) == ["started", "done", "archived"]
    last = Events(one.parts.ledger).since(0)[-1]
    assert last.original == os.fsencode(one.archive / "day" / "a.jpg")
    assert last.outputs == (os.fsencode(one.outbox / "day" / "a.png"),)
    assert last.inbox == os.fsencode(one.inbox)


def test_a_failure_names_its_reason(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"photo")
    one.boot()
    one.workers.refuse = protocol.Refused(Reason.NO_SUBJECT, "nothing stands out")
    one.finish()
    event = Events(one.parts.ledger).since(0)[-1]
    assert (event.kind, event.reason) == (EventKind.FAILED, "no-subject")
    assert event.detail


def test_doubt_is_told_with_the_finished_cutout_and_goes_with_a_better_one(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"photo")
    one.boot()
    one.workers.doubts = (Doubt.FRAME, Doubt.INSIDE)
    one.finish()
    told = [(event.kind, event.needs_review, event.confidence) for event in Events(one.parts.ledger).since(0)]
    assert told == [
        (EventKind.STARTED, (), None),
        (EventKind.DONE, ("touches the frame", "half-transparent inside"), 0.6),
    ]
    assert [row.path for row in one.parts.control.to_review()] == [b"a.jpg"]
    one.workers.doubts = ()
    one.parts.control.redo()
    one.finish()
    assert one.parts.control.to_review() == []
    assert Events(one.parts.ledger).since(0)[-1].confidence == 0.95


def test_redo_and_a_changed_photo_are_events_again(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"one")
    one.boot().finish()
    seen = Events(one.parts.ledger).last()
    one.put("a.jpg", b"two")
    one.finish()
    assert kinds(one, seen) == ["started", "done"]
    assert one.outputs() == {"a.png": cutout_of(b"two")}


def test_what_is_not_committed_did_not_happen(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"one")
    one.boot().finish()
    before = kinds(one)
    one.parts.ledger.write("UPDATE photos SET state = 'failed', reason = 'crashed'")
    one.parts.ledger.rollback()
    assert kinds(one) == before


def test_the_cursor_misses_nothing_and_repeats_nothing(sim: Make) -> None:
    one = sim().boot()
    told: list[int] = []
    cursor = 0
    for number in range(6):
        one.put(f"{number}.jpg", bytes([number]))
        one.finish()
        for event in Events(one.parts.ledger).since(cursor, limit=1):  # a reader that falls behind
            told.append(event.id)
            cursor = event.id
    while portion := Events(one.parts.ledger).since(cursor, limit=1):
        told.append(portion[0].id)
        cursor = portion[0].id
    assert told == sorted(set(told))
    assert len(told) == 12


def test_a_forgotten_name_is_forgotten_in_events_too(sim: Make) -> None:
    one = sim()
    one.put("secret-name.jpg", b"one")
    one.boot().finish()
    History(one.parts.ledger).forget(everything=False)
    assert [event.original for event in Events(one.parts.ledger).since(0)] == [None, None]
    History(one.parts.ledger).forget(everything=True)
    assert Events(one.parts.ledger).since(0) == []


# --- what hooks owe ------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(sim: Make) -> Simulation:
    one = sim().boot()
    HookQueue(one.parts.ledger).take_up("h", ALL)  # known from before the first photo
    one.put("a.jpg", b"one")
    one.finish()
    return one


def test_a_new_hook_begins_with_what_happens_next(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"one")
    one.boot().finish()
    queue = HookQueue(one.parts.ledger)
    queue.take_up("late", ALL)
    assert queue.due("late", one.wall, 10) == []
    one.put("b.jpg", b"two")
    one.finish()
    queue.take_up("late", [EventKind.DONE])
    assert [run.event.kind for run in queue.due("late", one.wall, 10)] == [EventKind.DONE]


def test_each_event_is_owed_once_until_it_went_well(finished: Simulation) -> None:
    queue = HookQueue(finished.parts.ledger)
    queue.take_up("h", [EventKind.DONE])
    queue.take_up("h", [EventKind.DONE])
    (run,) = queue.due("h", finished.wall, 10)
    assert queue.standing("h").waiting == 1
    queue.succeeded("h", run.event.id)
    queue.take_up("h", [EventKind.DONE])
    assert queue.due("h", finished.wall, 10) == []


def test_failures_wait_longer_and_longer_and_are_given_up(finished: Simulation) -> None:
    queue = HookQueue(finished.parts.ledger)
    queue.take_up("h", [EventKind.DONE])
    pauses: list[float] = []
    while due := queue.due("h", finished.wall, 10):
        (run,) = due
        given_up = queue.failed("h", run.event.id, attempts=run.attempts, allowed=9, why="no route")
        if given_up:
            break
        again = queue.next_due()
        assert again is not None
        pauses.append(again - finished.wall)
        finished.wall = again
    assert len(pauses) == 8
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_LAST_S
    assert queue.due("h", finished.wall + 1e6, 10) == []
    assert queue.standing("h").given_up == 1
    assert queue.standing("h").trouble == "no route"
    assert queue.retry() == 1
    assert len(queue.due("h", finished.wall, 10)) == 1


def test_a_clock_that_was_set_back_makes_no_command_wait_for_years(finished: Simulation) -> None:
    queue = HookQueue(finished.parts.ledger)
    queue.take_up("h", [EventKind.DONE])
    (run,) = queue.due("h", finished.wall, 10)
    queue.failed("h", run.event.id, attempts=0, allowed=9, why="no route")
    assert queue.due("h", finished.wall, 10) == []
    finished.wall -= 1e8
    assert queue.next_due() == finished.wall
    assert [one.event.id for one in queue.due("h", finished.wall, 10)] == [run.event.id]


def test_a_hook_that_left_the_configuration_owes_nothing(finished: Simulation) -> None:
    queue = HookQueue(finished.parts.ledger)
    queue.keep_only({"h": "my hook"})
    queue.take_up("h", ALL)
    assert queue.standings()["my hook"].waiting == 2
    queue.keep_only({"other": "other"})
    assert set(queue.standings()) == {"other"}
    assert queue.standing("h").waiting == 0
    queue.take_up("h", ALL)
    assert queue.due("h", finished.wall, 10) == [], "it begins afresh"


def test_a_run_whose_photo_was_forgotten_is_no_longer_owed(finished: Simulation) -> None:
    queue = HookQueue(finished.parts.ledger)
    queue.take_up("h", ALL)
    History(finished.parts.ledger).forget(everything=True)
    assert queue.due("h", finished.wall, 10) == []
    assert queue.standing("h").waiting == 0
