"""Giving out and taking back: blame only where it belongs, nothing held for ever, bounds kept."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.support.simulation import Simulation, cutout_of

from cutoutd.daemon import workers as pool
from cutoutd.daemon.job import OverBudget, Reason, Refused

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def _until_in_a_worker(sim: Simulation) -> None:
    for _ in range(200):
        if sim.workers.jobs:
            return
        sim.turn()
    raise AssertionError(sim.rows())


def test_a_worker_death_is_an_attempt_and_the_second_a_failure_with_a_name(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot()
    for _ in range(400):
        in_hand = [job.path for tag, job in one.workers.jobs if tag > 0]
        one.workers.kill_next = in_hand[:1] == [bytes(one.inbox / "a.jpg")]
        one.turn()
    assert one.states() == {"a.jpg": "failed", "b.jpg": "done"}
    assert one.heard.failures == [Reason.CRASHED]
    assert one.parts.dispatcher.budget.in_hand == 0


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
    assert one.parts.dispatcher.examiner.ailing
    sick["now"] = False
    one.pass_time(60)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}


def test_a_refusal_of_bytes_that_are_gone_is_no_refusal_of_the_new_ones(sim: Make) -> None:
    """A photo replaced while it was read failed with the old one's reason, and was never looked at again."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    _until_in_a_worker(one)
    one.workers.refuse = Refused(Reason.NO_SUBJECT, "nothing there")
    held, one.workers.jobs = one.workers.jobs, type(one.workers.jobs)()
    answer = one.workers.work(held[0][1])
    one.put("a.jpg", TWO)
    one.workers.refuse = None
    one.workers.size = 0  # nothing else starts until the answer is in
    one.run(40)
    one.queue.append(pool.Finished(held[0][0], answer))
    one.workers.size = 2
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO)}


def test_a_file_that_vanished_before_it_settled_ends(sim: Make) -> None:
    """An unsettled row of an earlier life, whose file is gone by now, was tried once a second for ever."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.ledger.write(
        "INSERT INTO photos (inbox, path, key, state, settled, arrived) VALUES (?, ?, x'01', 'pending', 0, 0)",
        (str(one.inbox).encode(), b"gone.jpg"),
    )
    one.finish()
    assert one.states()["gone.jpg"] == "skipped"


def test_a_copy_owes_its_own_cutout_and_a_rename_none(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    (one.inbox / "b.jpg").hardlink_to(one.inbox / "a.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "b.png"]
    (one.inbox / "a.jpg").rename(one.inbox / "c.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "b.png"]
    assert one.states()["c.jpg"] == "done"


def test_a_photo_over_the_budget_is_handed_back_and_comes_through(sim: Make) -> None:
    one = sim()
    one.tables = {"limits": {"megapixels_in_flight": 10}}
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.refuse = OverBudget(50.0)
    _until_in_a_worker(one)
    one.turn()
    one.workers.refuse = None
    one.finish()
    row = one.rows()[0]
    assert (row["state"], row["megapixels"], row["attempts"]) == ("done", 50.0, 0)


def test_photos_of_removed_inboxes_hold_nothing_up(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    one.parts.ledger.write(
        "INSERT INTO photos (inbox, path, key, state, arrived) VALUES (x'2f78', x'79', x'02', 'pending', 0)"
    )
    for _ in range(60):
        one.turn()
    assert one.states() == {"a.jpg": "done", "y": "pending"}
    assert one.outputs() == {"a.png": cutout_of(ONE)}


def test_workers_that_may_not_read_what_the_daemon_may_are_renewed(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    renewed: list[object] = []
    vars(one.workers)["recycle"] = renewed.append
    one.workers.refuse = Refused(Reason.NO_PERMISSION, "Permission denied")
    _until_in_a_worker(one)
    renewed.clear()  # of the start
    one.run(3)
    one.workers.refuse = None
    one.finish()
    assert len(renewed) == 1
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.heard.failures == []


def test_a_photo_renamed_while_it_is_in_hand_gets_one_cutout(sim: Make) -> None:
    for turns in range(1, 12):
        one = sim()
        name, moved = f"{turns}.jpg", f"{turns}-renamed.jpg"
        one.put(name, ONE + b"%d" % turns)
        one.boot()
        _until_in_a_worker(one)
        one.run(turns)
        (one.inbox / name).rename(one.inbox / moved)
        one.finish()
        one.die()
        assert list(one.outputs().values()).count(cutout_of(ONE + b"%d" % turns)) == 1, turns


def test_a_photo_renamed_after_it_was_ordered_anew_follows_too(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.control.redo(None, since=None, overrides={})
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert list(one.outputs().values()) == [cutout_of(ONE)]


def test_a_photo_renamed_onto_the_name_of_one_that_was_removed_follows_too(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot().finish()
    (one.inbox / "a.jpg").unlink()
    (one.inbox / "b.jpg").rename(one.inbox / "a.jpg")
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE), "b.png": cutout_of(TWO)}


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


@pytest.mark.parametrize("moment", ["pending", "running", "done"])
def test_a_photo_that_was_renamed_and_touched_while_the_daemon_was_down_has_one_cutout(
    sim: Make, moment: str
) -> None:
    """Its time no longer tells that it is the same; its content does."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    for _ in range(200):
        if [row["state"] for row in one.rows()] == [moment]:
            break
        one.turn()
    one.die()
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    os.utime(one.inbox / "b.jpg", (5, 5))
    one.boot().finish()
    assert list(one.outputs().values()) == [cutout_of(ONE)]
    assert {name: state for name, state in one.states().items() if state != "skipped"} == {"b.jpg": "done"}


def test_photos_that_change_names_among_each_other_keep_one_cutout_each(sim: Make) -> None:
    """The name that one gave up is another's by the time anybody looks."""
    one = sim()
    one.put("a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot().finish()
    (one.inbox / "a.jpg").rename(one.inbox / "c.jpg")
    (one.inbox / "b.jpg").rename(one.inbox / "a.jpg")
    one.finish()
    assert sorted(one.outputs().values()) == sorted([cutout_of(ONE), cutout_of(TWO)])
    (one.inbox / "a.jpg").rename(one.inbox / "between.jpg")
    (one.inbox / "c.jpg").rename(one.inbox / "a.jpg")
    (one.inbox / "between.jpg").rename(one.inbox / "c.jpg")
    one.finish()
    assert sorted(one.outputs().values()) == sorted([cutout_of(ONE), cutout_of(TWO)])
    one.put("b.jpg", b"frame 3")
    one.finish()
    assert sorted(one.outputs().values()) == sorted([cutout_of(ONE), cutout_of(TWO), cutout_of(b"frame 3")])


def test_a_copy_whose_original_was_touched_owes_its_own_cutout(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    os.utime(one.inbox / "a.jpg", (7, 7))
    one.put("b.jpg", ONE)
    one.finish()
    assert list(one.outputs().values()) == [cutout_of(ONE)] * 2
