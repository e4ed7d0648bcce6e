"""From a worker's result to a published photo: what changes or vanishes on the way ends or is done again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.simulation import PretendedWorkers, Simulation, cutout_of

from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import Facts
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.watching import arrivals
from cutoutd.daemon.workers import pool, protocol

pytestmark = pytest.mark.slow

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def _work_counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    worked: list[object] = []
    work = PretendedWorkers.work

    def counted(self: PretendedWorkers, job: Any) -> Any:
        worked.append(work(self, job))
        return worked[-1]

    monkeypatch.setattr(PretendedWorkers, "work", counted)
    return worked


def _touched_while_in_hand(one: Simulation, touch: Callable[[Path], object]) -> tuple[int, object]:
    """A worker has read the photo; before its answer is in, something happens to the file and a walk sees it."""
    one.boot()
    one.until_in_a_worker()
    ((tag, job),) = one.workers.jobs
    one.workers.jobs.clear()
    answer = one.workers.work(job)
    one.workers.size = 0  # nothing else starts meanwhile
    touch(one.inbox / "a.jpg")
    one.run(40)
    one.workers.size = 2
    return tag, answer


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


def test_a_mode_that_is_set_after_the_last_byte_costs_no_second_run(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `install`, rsync and many cameras' programs do."""
    one = sim()
    worked = _work_counted(monkeypatch)
    one.put("a.jpg", ONE)
    tag, answer = _touched_while_in_hand(one, lambda path: path.chmod(0o600))
    one.daemon.post(pool.Finished(tag, answer))
    one.finish()
    assert [row["state"] for row in one.rows()] == ["done"]
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert len(worked) == 1
    assert one.leftovers() == []


def _rewritten(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.write(TWO[: len(ONE)])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    same = (after.st_size, after.st_mtime_ns, after.st_ino)
    assert same == (before.st_size, before.st_mtime_ns, before.st_ino)


def test_other_content_of_equal_size_and_time_is_not_taken_for_a_changed_mode(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim()
    worked = _work_counted(monkeypatch)
    one.put("a.jpg", ONE)
    tag, answer = _touched_while_in_hand(one, _rewritten)
    one.daemon.post(pool.Finished(tag, answer))
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO[: len(ONE)])}
    assert len(worked) == 2
    assert one.leftovers() == []


def _in_whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ext3, HFS+ and many shares tell times; the change time falls into the same second each time."""
    exact = arrivals.facts_of

    def coarse(found: Any) -> Facts:
        return replace(exact(found), ctime_ns=0)

    monkeypatch.setattr(arrivals, "facts_of", coarse)


@pytest.mark.parametrize(("rewritten", "times"), [(True, 2), (False, 1)])
def test_where_times_are_coarse_the_content_tells_whether_it_was_written_again(
    sim: Make, monkeypatch: pytest.MonkeyPatch, *, rewritten: bool, times: int
) -> None:
    """A second version of the same size within the same second: its cutout showed the first."""
    _in_whole_seconds(monkeypatch)
    one = sim()
    worked = _work_counted(monkeypatch)
    one.put("a.jpg", ONE)
    second = int(one.wall)
    os.utime(one.inbox / "a.jpg", (second, second))
    tag, answer = _touched_while_in_hand(one, _rewritten if rewritten else Path.stat)
    one.daemon.post(pool.Finished(tag, answer))
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO[: len(ONE)] if rewritten else ONE)}
    assert len(worked) == times
    assert one.leftovers() == []


def test_a_photo_that_is_removed_while_its_content_is_compared_leaves_nothing_behind(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    tag, answer = _touched_while_in_hand(one, lambda path: path.chmod(0o600))
    (one.inbox / "a.jpg").unlink()
    one.daemon.post(pool.Finished(tag, answer))
    one.finish()
    assert one.states() == {"a.jpg": "skipped"}
    assert (one.outputs(), one.leftovers()) == ({}, [])


def test_a_photo_read_before_a_link_took_its_place_ends_when_its_result_comes(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)

    def replace(path: Path) -> None:
        one.parts.ledger.write("UPDATE photos SET settled = 0")  # as after an early start
        path.unlink()
        path.symlink_to("/nonexistent")

    tag, answer = _touched_while_in_hand(one, replace)
    one.workers.post(pool.Finished(tag, answer))
    one.run(3)
    assert one.states() == {"a.jpg": "skipped"}
    assert one.outputs() == {}
    assert one.leftovers() == []


def test_a_second_answer_about_a_photo_that_is_being_read_again_is_ignored(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    tag, answer = _touched_while_in_hand(one, lambda _path: None)
    one.workers.post(pool.Finished(tag, protocol.Unchanged("not its digest", 7)))
    one.workers.post(pool.Finished(tag, answer))
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}


@pytest.mark.parametrize("in_hand", [False, True])
def test_what_a_redo_asked_for_is_not_done_to_another_picture(sim: Make, in_hand: bool) -> None:
    """One deliverable of two was to be made again: it showed the new picture, and the other the old one for ever."""
    one = sim(deliver=[{"label": "one"}, {"label": "two", "folder": "two"}])
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.control.redo(overrides=Overrides(deliverable="two"))
    if in_hand:
        one.until_in_a_worker()
    one.put("a.jpg", TWO)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO, label="one"), "two/a.png": cutout_of(TWO, label="two")}


@pytest.mark.parametrize("owed", ["a final", "a redo"])
def test_what_was_owed_when_a_file_went_away_is_owed_when_it_is_back(sim: Make, owed: str) -> None:
    """It counted as done then, with its draft."""
    one = sim()
    one.boot().run(20)
    one.workers.variant = b"first"
    if owed == "a final":
        for inbox_watcher in one.parts.inbox_watchers.values():
            inbox_watcher.arrivals.make(Stage.DRAFT)
        vars(one.parts.publisher)["_routes"][os.fsencode(one.inbox)].final_stage = True
        one.put("a.jpg", ONE)
        one.until(lambda: [row["stage"] for row in one.rows()] == ["final"])
    else:
        one.put("a.jpg", ONE)
        one.finish()
        one.parts.control.redo()
    (one.inbox / "a.jpg").rename(one.root / "a.jpg")
    one.workers.variant = b"second"
    one.until(lambda: one.states() == {"a.jpg": "skipped"})
    (one.root / "a.jpg").rename(one.inbox / "a.jpg")
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"second")}


@pytest.mark.parametrize("with_its_worker", [False, True])
@pytest.mark.parametrize("back", [False, True])
def test_a_photo_that_waits_for_its_file_is_let_go_when_its_inbox_leaves(
    sim: Make, with_its_worker: bool, back: bool
) -> None:
    """Nobody said any more that its file was complete: it took its place among those in hand until the next start."""
    one = sim()
    one.boot().run(20)
    one.put("a.jpg", ONE)
    one.until_in_a_worker()
    one.parts.ledger.write("UPDATE photos SET settled = 0")  # an event started it early
    if not with_its_worker:
        one.workers.step()
        one.daemon.turn(one.now)
        assert [hand.delivering for hand in one.parts.hands.photos.values() if hand.finished] == [False]
    one.tables["inbox"] = [{"path": one.root / "other", "outbox": one.outbox, "events": "poll"}]
    one.reload()
    one.run(30)
    assert one.parts.hands.photos == {}
    assert one.leftovers() == []
    assert [(row["state"], row["attempts"]) for row in one.rows()] == [("pending", 0)]
    if back:
        del one.tables["inbox"]
        one.reload()
        one.finish()
        assert one.outputs() == {"a.png": cutout_of(ONE)}
