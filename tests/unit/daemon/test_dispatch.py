"""Giving out and taking back: blame only where it belongs, nothing held for ever, bounds kept."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.simulation import Simulation, cutout_of

from cutoutd.daemon import workers as pool
from cutoutd.daemon.job import OverBudget, Reason, Refused

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


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


def test_a_refusal_of_bytes_that_are_gone_is_no_refusal_of_the_new_ones(sim: Make) -> None:
    """A photo replaced while it was read failed with the old one's reason, and was never looked at again."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    one.until_in_a_worker()
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


def test_a_photo_over_the_budget_is_handed_back_and_comes_through(sim: Make) -> None:
    one = sim()
    one.tables = {"limits": {"megapixels_in_flight": 10}}
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.refuse = OverBudget(50.0)
    one.until_in_a_worker()
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
    one.until_in_a_worker()
    renewed.clear()  # of the start
    one.run(3)
    one.workers.refuse = None
    one.finish()
    assert len(renewed) == 1
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.heard.failures == []
