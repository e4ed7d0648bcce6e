"""Which photos are in hand, what they hold, and how they are called for people."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.support.simulation import Simulation

from cutoutd.daemon.dispatch.hands import may_hide_a_change
from cutoutd.daemon.ledger.records import Facts

Make = Callable[..., Simulation]


def _with_one_in_hand(one: Simulation) -> Simulation:
    one.put("a.jpg", b"frame one")
    one.boot().until_in_a_worker()
    return one


def test_what_a_photo_in_hand_may_write_is_known_and_forgotten_with_it(sim: Make) -> None:
    one = _with_one_in_hand(sim())
    hands = one.parts.hands
    (name,) = hands.temporaries()
    assert os.path.dirname(name) == os.fsencode(one.outbox)
    assert hands.budget.in_hand == 1
    one.finish()
    assert (hands.photos, hands.temporaries(), hands.budget.in_hand) == ({}, frozenset(), 0)


def test_an_inbox_is_in_use_by_photos_that_are_long_in_hand(sim: Make) -> None:
    one = _with_one_in_hand(sim())
    hands = one.parts.hands
    assert hands.inboxes_in_use(one.now, 60.0) == []
    assert [inbox.path for inbox in hands.inboxes_in_use(one.now + 61.0, 60.0)] == [one.inbox]


def test_a_photo_has_a_number_instead_of_a_name_where_names_are_not_logged(sim: Make) -> None:
    one = _with_one_in_hand(sim())
    row = one.parts.hands.row(1)
    assert row is not None
    assert one.parts.hands.event(row, detail="cut off").name == "a.jpg"
    one.tables = {"log": {"filenames": False}}
    one.reload()
    told = one.parts.hands.event(row, reason="unreadable", detail="cut off")
    assert (told.name, told.reason, told.detail) == ("photo 1", "unreadable", "")


def test_a_reload_changes_how_many_may_be_in_hand(sim: Make) -> None:
    one = sim().boot()
    one.tables = {"limits": {"photos_in_flight": 1}}
    one.reload()
    one.put("a.jpg", b"frame one")
    one.put("b.jpg", b"frame two!")
    one.workers.hang = True
    one.run(40)
    assert len(one.parts.hands.photos) == 1


@pytest.mark.parametrize(
    ("mtime_s", "ctime_s", "hides"),
    [
        (100.0, 100.0, True),  # whole seconds, just now
        (100.25, 100.25, True),  # hundredths
        (100.0, 100.123456789, False),  # a camera's time of writing, in a file system that knows nanoseconds
        (100.123456789, 100.123456789, False),
        (100.0, 0.0, True),  # a share that tells no change time
        (-5000.0, -4000.0, False),  # long before
        (9000.0, 9000.0, True),  # a clock that is ahead
    ],
)
def test_times_of_whole_ticks_may_hide_a_change(mtime_s: float, ctime_s: float, *, hides: bool) -> None:
    facts = Facts(1, round(mtime_s * 1e9), 1, 0, round(ctime_s * 1e9))
    assert may_hide_a_change(facts, 101.0) is hides
