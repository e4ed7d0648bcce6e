"""Photos that were not cut out: a fault counted only where it lies, and each ends with a name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.simulation import ILLEGAL_STEPS, Simulation, cutout_of
from tests.unit.daemon.dispatch.dishonest_workers import always, wait_for_a_failure

from cutoutd.config.errors import Reason
from cutoutd.daemon.dispatch.second_look import SecondLook
from cutoutd.daemon.ledger import wishes
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.workers import protocol
from cutoutd.daemon.workers.protocol import Refused
from cutoutd.models.networks.doubt import Doubt

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def test_workers_that_may_not_read_what_the_daemon_may_are_renewed(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    renewed: list[object] = []
    vars(one.workers)["recycle"] = renewed.append
    one.workers.refuse = Refused(Reason.NO_PERMISSION, "Permission denied")
    one.until_in_a_worker()
    renewed.clear()  # of the start
    one.run(3)
    one.workers.refuse = None
    one.finish()
    assert len(renewed) == 1
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.heard.failures == []


def test_a_photo_that_changes_for_ever_ends_and_is_heard_of(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim()
    one.put("evil.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()

    def otherwise(
        _self: SecondLook, _row: PhotoRow
    ) -> bool:  # a file system that shows each caller something else
        return False

    monkeypatch.setattr(SecondLook, "lies_there", otherwise)
    always(one, "evil.jpg", protocol.Changed)
    wait_for_a_failure(one)
    one.finish()
    assert one.states() == {"evil.jpg": "failed", "good.jpg": "done"}
    assert one.heard.failures == [Reason.BUSY]
    assert (one.inbox / "evil.jpg").exists()


def test_an_original_in_the_archive_that_is_said_to_change_for_ever_ends_too(sim: Make) -> None:
    one = sim()
    one.inbox_table = {"after": {"action": "archive", "archive": one.archive}}
    one.put("a.jpg", ONE)
    one.boot().finish()
    archived = one.rows()[0]["archived_to"]
    assert archived
    one.workers.refuse = protocol.Changed()
    one.parts.transitions.forced(one.rows()[0]["id"])
    wait_for_a_failure(one)
    assert one.rows()[0]["reason"] == Reason.BUSY
    assert one.heard.failures == [Reason.BUSY]
    assert Path(os.fsdecode(archived)).read_bytes() == ONE


def test_a_step_that_the_table_of_states_forbids_costs_that_photo_alone(sim: Make) -> None:
    """What a mistake would do: the row has ended while a worker is still at it."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    one.until_in_a_worker()
    one.parts.ledger.write("UPDATE photos SET state = 'done'")
    one.put("b.jpg", TWO)
    one.finish()
    assert one.states() == {"a.jpg": "done", "b.jpg": "done"}
    assert one.outputs() == {"b.png": cutout_of(TWO)}
    assert one.parts.dispatcher.in_hand == {}
    assert ILLEGAL_STEPS.pop() == "Photo 1 cannot go from done to delivering."
    assert one.leftovers() == []


WRONG = Refused(Reason.CANNOT_RENDER, "The mask has 9 × 9 px and the photo 4 × 3: another shape.")


@pytest.mark.slow
@pytest.mark.parametrize(
    "wish", [{"mask": "0" * 32}, {"fixes": {"keep": ["1,1"]}}, {"matte": {"roi": "0,0,9,9"}}]
)
def test_a_correction_that_cannot_be_followed_costs_the_photo_nothing(
    sim: Make, wish: dict[str, Any]
) -> None:
    one = sim()
    one.inbox_table = {"after": {"failed": one.root / "failed"}}
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.workers.refuse = WRONG
    one.parts.control.redo(overrides=Overrides.of(wish))
    one.finish()
    assert one.states() == {"a.jpg": "done"}
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert (one.inbox / "a.jpg").read_bytes() == ONE, "its original lies where it was"
    assert one.heard.failures == []
    assert one.heard.warnings == [f"a.jpg was not done again. {WRONG.detail} {wishes.STAYS}"]
    (row,) = one.parts.control.to_review()
    assert row.needs_review == (Doubt.NOT_REDONE,)
    assert row.detail == f"{WRONG.detail} {wishes.STAYS}"
    one.workers.refuse = None
    one.parts.control.redo(overrides=Overrides.of({"fixes": {"keep": ["2,2"]}}))
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"2,2 -")}
    assert one.parts.control.to_review() == [], "what it said then is over"


def test_a_photo_that_fails_without_a_wish_is_put_aside_as_ever(sim: Make) -> None:
    one = sim()
    one.inbox_table = {"after": {"failed": one.root / "failed"}}
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.workers.refuse = WRONG
    one.parts.control.redo()
    one.finish()
    assert one.heard.failures == [Reason.CANNOT_RENDER]
    assert not (one.inbox / "a.jpg").exists()
    assert (one.root / "failed" / "a.jpg").read_bytes() == ONE


def test_a_worker_that_dies_of_a_mask_costs_the_photo_nothing(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.control.redo(overrides=Overrides.of({"mask": "0" * 32}))
    for _ in range(60):
        one.workers.kill_next = True
        one.turn()
    one.workers.kill_next = False
    one.finish()
    assert one.states() == {"a.jpg": "done"}
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.heard.failures == []


def test_an_original_that_was_still_to_be_moved_is_moved_after_a_wish_in_vain(sim: Make) -> None:
    one = sim()
    one.inbox_table = {"after": {"action": "archive", "archive": one.archive}}
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.ledger.write("UPDATE photos SET aftercare = 'owed', archived_to = NULL, live = 1")
    (one.archive / "a.jpg").rename(one.inbox / "a.jpg")
    one.workers.refuse = WRONG
    one.parts.control.redo(overrides=Overrides.of({"fixes": {"keep": ["1,1"]}}))
    one.finish()
    assert one.rows()[0]["state"] == "done"
    assert (one.archive / "a.jpg").read_bytes() == ONE


@pytest.mark.parametrize("in_hand", [False, True])
def test_a_wish_in_vain_leaves_no_other_photo_without_its_cutout(sim: Make, in_hand: bool) -> None:
    """Saved anew before it was done again, it counted as done, and its cutout showed what it had been for ever."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.control.redo(overrides=Overrides.of({"mask": "0" * 32}))
    if in_hand:
        one.until_in_a_worker()
    one.workers.hang, one.workers.taken = True, set() if in_hand else {0, 1}
    one.put("a.jpg", TWO)
    one.run(40)
    one.workers.hang, one.workers.taken = False, set()
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO)}
    assert one.heard.failures == []
