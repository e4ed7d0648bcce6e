"""The test photo decides who is at fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.models import add_large_stand_in
from tests.support.simulation import Simulation, cutout_of

from cutoutd.daemon.workers import pool
from cutoutd.models.networks.catalog import FAST

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def test_when_the_test_photo_dies_too_no_photo_is_blamed(sim: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    sick = {"now": True}
    step = type(one.workers).step

    def dying(self: object) -> bool:
        if not sick["now"] or not one.workers.jobs:
            return step(one.workers)
        tag, _ = one.workers.jobs.popleft()
        one.workers.post(pool.Died(tag, "crashed", "the model kills every worker"))
        return True

    monkeypatch.setattr(type(one.workers), "step", dying)
    one.run(400)
    assert one.states() == {"a.jpg": "pending"}
    assert one.rows()[0]["attempts"] == 0
    trouble = one.parts.dispatcher.self_test.trouble
    assert trouble
    assert one.daemon.status().self_test == trouble
    sick["now"] = False
    one.pass_time(60)
    one.finish()
    assert one.daemon.status().self_test == ""
    assert one.outputs() == {"a.png": cutout_of(ONE)}


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "slot"), [("draft", 1), ("final", 0)])
def test_the_test_photo_runs_where_the_suspect_ran_and_with_its_networks(
    sim: Make, stage: str, slot: int
) -> None:
    add_large_stand_in(tmp := sim().root / "models")
    assert tmp.is_dir()
    one = sim(model="large", draft_then_final=True)
    one.put("a.jpg", ONE)
    one.boot()
    one.until_in_a_worker()
    while one.rows()[0]["stage"] != stage or not one.workers.jobs:
        one.turn()
    one.workers.kill_next = True
    tag, engines = 1, None
    while tag > 0:
        one.turn()
        tag, engines = one.workers.jobs[0] if one.workers.jobs else (1, None)
    assert one.workers.slot_of[tag] == slot
    names = [spec.name for spec in getattr(engines, "specs", ())]
    assert names == ([FAST] if stage == "draft" else [FAST, "large"])
    one.finish()
    assert one.states() == {"a.jpg": "done"}
    assert one.rows()[0]["model"] == "large"


def test_a_worker_that_fails_the_test_photo_and_lives_is_replaced(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose memory ran out stayed in its slot, failed each further test, and held everything up for ever."""
    one = sim().boot()
    one.run(20)  # the start and the opening of folders replace workers too
    ill = {"now": True}
    step = type(one.workers).step

    def failing(self: object) -> bool:
        if not ill["now"] or not one.workers.jobs:
            return step(one.workers)
        tag, _ = one.workers.jobs.popleft()
        one.workers.post(pool.Failed(tag, RuntimeError("std::bad_alloc")))
        return True

    def replaced(_workers: object, _setup: object) -> None:
        ill["now"] = False

    monkeypatch.setattr(type(one.workers), "step", failing)
    monkeypatch.setattr(type(one.workers), "recycle", replaced)
    one.put("a.jpg", ONE)
    one.finish()
    assert not ill["now"]
    assert one.states() == {"a.jpg": "done"}


def test_a_test_that_is_due_but_has_no_slot_turns_the_loop_no_faster(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim().boot()
    one.run(20)
    step = type(one.workers).step

    def failing(_workers: object) -> bool:
        if not one.workers.jobs:
            return step(one.workers)
        one.workers.post(pool.Failed(one.workers.jobs.popleft()[0], RuntimeError("no decoder")))
        return True

    monkeypatch.setattr(type(one.workers), "step", failing)
    one.put("a.jpg", ONE)
    one.until(lambda: one.parts.dispatcher.self_test.trouble)
    one.workers.taken = set(range(one.workers.size))  # no worker can be started
    one.pass_time(600)
    one.turn()
    assert one.daemon.turn(one.now) > one.now
    one.workers.taken = set()
    one.turn()
    assert one.workers.jobs, "with a free slot the test is made at once"
