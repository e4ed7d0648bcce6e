"""Giving out and taking back: a fault counted only where it lies, nothing held for ever, bounds kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from tests.support.models import add_large_stand_in
from tests.support.simulation import Simulation, cutout_of
from tests.unit.daemon.dispatch.dishonest_workers import always

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.workers import pool
from cutoutd.daemon.workers.protocol import OverBudget, Refused
from cutoutd.models.networks.catalog import FAST
from cutoutd.models.networks.doubt import Doubt

pytestmark = pytest.mark.slow

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
    assert one.parts.hands.budget.in_hand == 0


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
    one.daemon.post(pool.Finished(held[0][0], answer))
    one.workers.size = 2
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO)}


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


def test_a_photo_that_grows_with_each_answer_ends(sim: Make) -> None:
    one = sim()
    one.put("evil.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()
    sizes = itertools.count(10_000)
    always(one, "evil.jpg", lambda: OverBudget(float(next(sizes))))
    one.finish()
    assert one.states() == {"evil.jpg": "failed", "good.jpg": "done"}
    assert one.heard.failures == [Reason.CRASHED]


def _with_a_large_network(sim: Make) -> Simulation:
    add_large_stand_in(sim().root / "models")
    return sim(model="large", draft_then_final=True)


def _model_in(one: Simulation, slot: int) -> str:
    """The network of the photo that a slot has in hand, or nothing."""
    found = [job.model for tag, job in one.workers.jobs if one.workers.slot_of[tag] == slot]
    return found[0] if found else ""


def test_a_new_draft_does_not_wait_for_the_final_in_hand(sim: Make) -> None:
    one = _with_a_large_network(sim)
    one.put("a.jpg", ONE)
    one.boot()
    while _model_in(one, 0) != "large":
        assert _model_in(one, 0) == ""  # the first draft left the large network's slot alone
        one.turn()
    final, one.workers.jobs = one.workers.jobs[0], type(one.workers.jobs)()
    one.workers.taken = {0}  # it stays in hand for a while
    one.put("b.jpg", TWO)
    one.run(80)
    assert one.outputs() == {"a.png": cutout_of(ONE), "b.png": cutout_of(TWO)}
    by_path = {row["path"]: row for row in one.rows()}
    assert (by_path[b"a.jpg"]["state"], by_path[b"a.jpg"]["model"]) == ("running", "large")
    # The second final waits for the slot of the first, and for no other.
    assert (by_path[b"b.jpg"]["state"], by_path[b"b.jpg"]["stage"]) == ("pending", "final")
    one.workers.variant = b"better"
    one.workers.taken = set()
    one.daemon.post(pool.Finished(final[0], one.workers.work(final[1])))
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"better"), "b.png": cutout_of(TWO, b"better")}
    assert {row["model"] for row in one.rows()} == {"large"}


def test_drafts_use_every_slot_and_finals_only_theirs(sim: Make) -> None:
    one = _with_a_large_network(sim)
    for number in range(6):
        one.put(f"{number}.jpg", b"frame %d" % number)
    one.boot()
    seen: set[tuple[int, str]] = set()
    for _ in range(300):
        seen |= {(slot, _model_in(one, slot)) for slot in (0, 1)}
        one.turn()
    assert seen - {(0, ""), (1, "")} == {(0, FAST), (1, FAST), (0, "large")}
    assert set(one.states().values()) == {"done"}


def test_a_reload_brings_and_takes_a_large_network_without_losing_a_photo(sim: Make) -> None:
    one = sim()
    add_large_stand_in(one.root / "models")
    for number in range(4):
        one.put(f"{number}.jpg", b"frame %d" % number)
    one.boot()
    one.until_in_a_worker()
    one.inbox_table = {"model": "large", "draft_then_final": True}
    one.reload()
    assert one.workers.size == 2
    for number in range(4, 8):
        one.put(f"{number}.jpg", b"frame %d" % number)
    one.until(lambda: any(row["stage"] == "final" and row["model"] == "large" for row in one.rows()))
    one.inbox_table = {}
    one.reload()
    one.finish()
    assert one.outputs() == {f"{n}.png": cutout_of(b"frame %d" % n) for n in range(8)}
    assert set(one.states().values()) == {"done"}


def test_a_worker_that_dies_as_a_photo_is_given_out_costs_nothing(sim: Make) -> None:
    """It went unnoticed until the photo was on its way: an error that nobody expected ended the daemon."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    submit, refused = one.workers.submit, list[int]()

    def dies(tag: int, *rest: object, **named: object) -> None:
        if not refused:
            refused.append(tag)
            raise pool.NoFreeSlotError("No worker is free")
        submit(tag, *rest, **named)  # type: ignore[arg-type]

    vars(one.workers)["submit"] = dies
    one.finish()
    assert len(refused) == 1
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.rows()[0]["attempts"] == 0


def test_a_redo_that_a_newer_configuration_contradicts_says_so_and_holds_nothing_up(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    overrides = {"output": {"background": "transparent"}}
    assert one.parts.control.redo(overrides=Overrides.of(overrides)) == 1
    one.inbox_table = {
        **one.inbox_table,
        "output": {"preset": "product-white", "format": "jpeg", "background": "#fff"},
    }
    one.reload()
    one.put("b.jpg", TWO)
    one.finish()
    assert one.states() == {"a.jpg": "done", "b.jpg": "done"}
    (row,) = one.parts.control.to_review()
    assert row.needs_review == (Doubt.NOT_REDONE,)
    assert "JPEG has no transparency" in row.detail
    assert "Give `redo`" not in row.detail  # it means finished photos only
    assert (one.inbox / "a.jpg").read_bytes() == ONE
    assert one.outputs()["a.png"] == cutout_of(ONE)


def test_a_list_that_comes_later_and_is_mended_decides_what_its_photos_become(sim: Make) -> None:
    one = sim()
    listed = one.root / "orders.csv"
    one.inbox_table = {"rule": [{"csv": str(listed)}]}
    one.put("a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot().run(40)
    assert one.states() == {"a.jpg": "pending", "b.jpg": "pending"}
    assert all("orders.csv" in row["detail"] for row in one.rows())
    listed.write_text("stem,name\na,red shoe\nb,x/y\n")
    one.finish()
    assert one.states() == {"a.jpg": "done", "b.jpg": "failed"}
    assert one.outputs() == {"red shoe.png": cutout_of(ONE)}
    row = next(row for row in one.rows() if row["path"] == b"b.jpg")
    assert row["reason"] == "cannot-render"
    assert "orders.csv:3: " in row["detail"]
    listed.write_text("stem,name\na,red shoe\nb,hat\n")
    assert one.parts.control.retry() == 1
    one.finish()
    assert one.outputs() == {"red shoe.png": cutout_of(ONE), "hat.png": cutout_of(TWO)}


def test_a_photo_that_is_renamed_under_another_rule_becomes_what_that_says(sim: Make) -> None:
    one = sim()
    one.inbox_table = {"rule": [{"match": "shoes/**", "deliver": [{"label": "shoe", "folder": "s"}]}]}
    one.put("a.jpg", ONE)
    one.boot().finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    (one.inbox / "shoes").mkdir()
    (one.inbox / "a.jpg").rename(one.inbox / "shoes/a.jpg")
    one.finish()
    assert one.outputs() == {"s/shoes/a.png": cutout_of(ONE, label="shoe")}
