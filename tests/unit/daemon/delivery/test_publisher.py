"""Delivery when outboxes, names, configs and photos change under it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.models import add_large_stand_in
from tests.support.simulation import Simulation, cutout_of

from cutoutd.config.errors import Reason
from cutoutd.daemon.delivery import publish
from cutoutd.daemon.delivery.publisher import MOST_ROUNDS
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.temporary import TemporaryError, write_temporary
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.plan import make_plan
from cutoutd.daemon.workers import protocol
from cutoutd.models.networks.doubt import Doubt

pytestmark = pytest.mark.slow

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def _until_delivering(sim: Simulation) -> None:
    for _ in range(200):
        sim.turn()
        if "delivering" in sim.states().values():
            return
    raise AssertionError(sim.rows())


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Publishing fails with an errno from now on; 0 ends that."""
    real = RealFileSystem.rename_noreplace
    state = {"code": 0}

    def rename(self: RealFileSystem, source: bytes, target: bytes) -> None:
        if state["code"] and b"/outbox/" in target:
            raise OSError(state["code"], os.strerror(state["code"]), os.fsdecode(target))
        real(self, source, target)

    monkeypatch.setattr(RealFileSystem, "rename_noreplace", rename)

    def order(code: int) -> None:
        state["code"] = code

    return order


def test_an_outbox_that_fails_in_the_middle_resumes_by_itself(
    sim: Make, broken: Callable[[int], None]
) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    broken(errno.EROFS)
    _until_delivering(one)
    one.run(60)
    assert one.states() == {"a.jpg": "delivering"}
    assert one.parts.dispatcher.in_hand == {}
    assert one.parts.publisher.in_transit() == 0
    assert one.parts.dispatcher.paused
    broken(0)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.parts.dispatcher.paused == {}
    assert one.leftovers() == []
    assert one.heard.failures == []


def test_a_photo_replaced_while_its_outbox_is_away_is_cut_out_too(
    sim: Make, broken: Callable[[int], None]
) -> None:
    """The row in delivery once took over the new file's facts, and the new photo was never looked at."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    broken(errno.EROFS)
    _until_delivering(one)
    one.put("a.jpg", TWO)
    one.run(80)
    broken(0)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO)}


def test_a_lost_temporary_is_made_again_over_the_old_cutout(sim: Make, broken: Callable[[int], None]) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.workers.variant = b"better"
    one.parts.control.redo()
    real = RealFileSystem.exists
    try:
        # The replacing rename never happens and the temporary is gone, as after a power cut that ate it.
        RealFileSystem.exists = lambda self, path: False if path.endswith(b".part") else real(self, path)  # type: ignore[method-assign]
        _until_delivering(one)
        one.run(8)
    finally:
        RealFileSystem.exists = real  # type: ignore[method-assign]
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"better")}


def test_a_name_the_file_system_refuses_is_made_plain(sim: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RealFileSystem.rename_noreplace

    def picky(self: RealFileSystem, source: bytes, target: bytes) -> None:
        if b":" in target:
            raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ))
        real(self, source, target)

    monkeypatch.setattr(RealFileSystem, "rename_noreplace", picky)
    one = sim()
    one.put("12:30.jpg", ONE)
    one.boot().finish()
    assert one.outputs() == {"12_30.png": cutout_of(ONE)}


def test_a_name_that_is_too_long_fails_its_photo_and_holds_up_no_other(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RealFileSystem.rename_noreplace

    def short(self: RealFileSystem, source: bytes, target: bytes) -> None:
        if len(os.path.basename(target)) > 20:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        real(self, source, target)

    monkeypatch.setattr(RealFileSystem, "rename_noreplace", short)
    one = sim()
    one.put("a-name-that-is-much-too-long.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot().finish()
    assert one.outputs() == {"b.png": cutout_of(TWO)}
    assert one.heard.failures == [Reason.CANNOT_RENDER]
    assert one.leftovers() == []
    assert one.parts.dispatcher.paused == {}


def test_what_lies_in_the_old_outbox_counts_when_the_config_names_another(
    sim: Make, broken: Callable[[int], None], tmp_path: Path
) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    broken(errno.EROFS)
    _until_delivering(one)
    one.run(4)
    broken(0)
    one.inbox_table["outbox"] = tmp_path / "elsewhere"
    one.parts.apply(make_plan(one.settings(), tmp_path / "models", None))
    one.finish()
    assert (tmp_path / "elsewhere" / "a.png").read_bytes() == cutout_of(ONE)
    assert one.parts.dispatcher.in_hand == {}


def test_a_config_that_names_another_outbox_mid_burst_loses_nothing(sim: Make, tmp_path: Path) -> None:
    for turns in range(10, 26):
        root = tmp_path / str(turns)
        one = Simulation(root)
        for number in range(4):
            one.put(f"{number}.jpg", ONE + b"%d" % number)
        one.boot().run(turns)
        one.inbox_table["outbox"] = root / "elsewhere"
        one.parts.apply(make_plan(one.settings(), root / "models", None))
        one.finish()
        one.stop()
        found = [
            path.read_bytes() for folder in ("outbox", "elsewhere") for path in (root / folder).glob("*.png")
        ]
        assert sorted(found) == [cutout_of(ONE + b"%d" % number) for number in range(4)], turns


def test_an_outbox_that_comes_back_empty_gets_what_was_in_hand(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    _until_delivering(one)
    shutil.rmtree(one.outbox)
    one.run(20)
    assert not one.outbox.exists(), "an outbox that was there once is never made anew"
    one.outbox.mkdir()
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}


def test_two_photos_of_one_stem_get_two_names(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.put("a.jpeg", TWO)
    one.put("A.JPG", ONE + TWO)
    one.boot().finish()
    assert sorted(name.lower() for name in one.outputs()) == ["a (2).png", "a (3).png", "a.png"]
    assert sorted(one.outputs().values()) == sorted(map(cutout_of, (ONE, TWO, ONE + TWO)))


def test_a_lost_ledger_costs_work_and_makes_no_second_cutout(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.put("sub/a.jpg", TWO)
    one.boot().finish()
    before = one.outputs()
    one.stop()
    for path in (one.root / "state").glob("ledger*"):
        path.unlink()
    one.boot().finish()
    assert one.outputs() == before
    assert set(one.states().values()) == {"done"}


def test_drafts_are_followed_by_finals_unless_the_photo_was_replaced(sim: Make) -> None:
    one = sim()
    one.boot().run(20)
    for inbox_watcher in one.parts.inbox_watchers.values():
        inbox_watcher.arrivals.make(Stage.DRAFT)
    vars(one.parts.publisher)["_routes"][os.fsencode(one.inbox)].final_stage = True
    one.put("a.jpg", ONE)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert [(row["state"], row["stage"]) for row in one.rows()] == [("done", "final")]


def test_no_worker_writes_below_a_mount_point(tmp_path: Path) -> None:
    """The share went away after its outbox was opened; what lies in its place is not the outbox."""
    opened, beneath = tmp_path / "share", tmp_path / "outbox"
    opened.mkdir()
    beneath.mkdir()
    facts = opened.stat()
    inode = (facts.st_dev, facts.st_ino)
    with pytest.raises(TemporaryError) as caught:
        write_temporary(bytes(beneath), bytes(beneath / "t"), b"a cutout", inode=inode)
    assert caught.value.code == errno.ESTALE
    assert list(beneath.iterdir()) == []
    write_temporary(bytes(opened), bytes(opened / "t"), b"a cutout", inode=inode)


def test_a_mistake_after_publication_fails_its_photo_alone_and_makes_no_second_cutout(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim()
    one.put("bad.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()
    real = Transitions.delivered

    def delivered(self: Transitions, row: PhotoRow, **rest: Any) -> None:
        if row.path == b"bad.jpg":
            raise KeyError("ours")
        real(self, row, **rest)

    monkeypatch.setattr(Transitions, "delivered", delivered)
    one.finish()
    assert one.states() == {"bad.jpg": "failed", "good.jpg": "done"}
    assert one.outputs() == {"bad.png": cutout_of(ONE), "good.png": cutout_of(TWO)}
    assert one.parts.publisher.in_transit() == 0
    assert one.heard.failures == [Reason.CRASHED]
    assert one.leftovers() == []
    assert not one.parts.dispatcher.paused


def test_a_mistake_while_publishing_is_not_the_outboxs(sim: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = sim()
    one.put("bad.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()
    real = publish.publish

    def publishing(outbox: bytes, name: bytes, *rest: Any, **more: Any) -> Any:
        if name == b"bad.png":
            raise UnicodeDecodeError("utf-8", b"x", 0, 1, "ours")
        return real(outbox, name, *rest, **more)

    monkeypatch.setattr(publish, "publish", publishing)
    one.finish()
    assert one.states() == {"bad.jpg": "failed", "good.jpg": "done"}
    assert one.outputs() == {"good.png": cutout_of(TWO)}
    assert one.heard.warnings == []
    assert one.leftovers() == []


def test_new_content_in_a_format_that_was_configured_since_takes_the_earlier_cutout_away(sim: Make) -> None:
    """It would show what the photo no longer is, beside the one that shows what it is."""
    one = sim()
    one.put("a.jpg", ONE)
    one.put("same.jpg", b"stays as it is")
    one.boot().finish()
    one.inbox_table = {"output": {"format": "webp"}}
    one.reload()
    one.put("a.jpg", TWO)
    one.finish()
    assert one.outputs() == {"a.webp": cutout_of(TWO), "same.png": cutout_of(b"stays as it is")}
    assert one.leftovers() == []


def test_one_that_its_owner_retouched_stays_beside_the_one_in_a_new_format(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    (one.outbox / "a.png").write_bytes(b"retouched")
    one.inbox_table = {"output": {"format": "webp"}}
    one.reload()
    one.put("a.jpg", TWO)
    one.finish()
    assert one.outputs() == {"a.webp": cutout_of(TWO), "a.png": b"retouched"}


# --- the folder for doubtful ones


def _again(one: Simulation, variant: bytes, *doubts: Doubt) -> None:
    one.workers.variant, one.workers.doubts = variant, doubts
    one.parts.control.redo()
    one.finish()


def test_doubtful_cutouts_go_to_their_folder_and_leave_it_when_a_better_one_is_made(sim: Make) -> None:
    one = sim(review="review")
    one.put("day/a.jpg", ONE)
    one.boot()
    one.workers.doubts = (Doubt.FRAME,)
    one.finish()
    assert one.outputs() == {"review/day/a.png": cutout_of(ONE)}
    _again(one, b"as doubtful", Doubt.INSIDE)
    assert one.outputs() == {"review/day/a.png": cutout_of(ONE, b"as doubtful")}
    _again(one, b"better")
    assert one.outputs() == {"day/a.png": cutout_of(ONE, b"better")}
    _again(one, b"worse", Doubt.FRAME)
    assert one.outputs() == {"review/day/a.png": cutout_of(ONE, b"worse")}
    assert one.leftovers() == []


def test_without_the_option_they_lie_with_the_others(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.doubts = (Doubt.FRAME,)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    one.inbox_table = {"review": "review"}
    one.reload()
    _again(one, b"doubtful", Doubt.FRAME)
    assert one.outputs() == {"review/a.png": cutout_of(ONE, b"doubtful")}


def test_one_that_its_owner_retouched_in_the_folder_stays_there(sim: Make) -> None:
    one = sim(review="review")
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.doubts = (Doubt.FRAME,)
    one.finish()
    (one.outbox / "review" / "a.png").write_bytes(b"retouched")
    _again(one, b"better")
    assert one.outputs() == {"a.png": cutout_of(ONE, b"better"), "review/a.png": b"retouched"}


def test_the_cutout_of_a_changed_photo_takes_the_earlier_ones_place_on_either_side(sim: Make) -> None:
    one = sim(review="review")
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.workers.doubts = (Doubt.FRAME,)
    one.put("a.jpg", TWO)
    one.finish()
    assert one.outputs() == {"review/a.png": cutout_of(TWO)}
    one.workers.doubts = ()
    one.put("a.jpg", ONE)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}


def test_no_names_kept_and_still_none_is_left_on_the_wrong_side(sim: Make) -> None:
    one = sim(review="review")
    one.tables = {"history": {"filenames": False}}
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.doubts = (Doubt.FRAME,)
    one.finish()
    one.workers.doubts = ()
    one.put("a.jpg", TWO)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO)}
    assert {row["name"] for row in one.parts.ledger.read("SELECT name FROM deliverables")} == {None}


def test_what_was_to_leave_stays_the_photos_own_if_the_better_one_does_not_come(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim(review="review")
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.doubts = (Doubt.FRAME,)
    one.finish()
    real = RealFileSystem.rename_noreplace
    refused: list[bytes] = []

    def refuse_once(self: RealFileSystem, source: bytes, target: bytes) -> None:
        if target.endswith(b"/outbox/a.png") and not refused:
            refused.append(target)
            os.unlink(source)  # so that it has to be made again, which fails
            one.workers.refuse = protocol.Refused(Reason.TOO_LARGE, "it grew")
            raise FileNotFoundError(errno.ENOENT, "gone", os.fsdecode(source))
        real(self, source, target)

    monkeypatch.setattr(RealFileSystem, "rename_noreplace", refuse_once)
    _again(one, b"better")
    assert refused
    assert one.states() == {"a.jpg": "failed"}
    assert one.outputs() == {"review/a.png": cutout_of(ONE)}
    assert one.parts.control.outputs(one.rows()[0]["id"]) == [os.fsencode(one.outbox / "review" / "a.png")]
    one.workers.refuse = None
    one.parts.control.retry()
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"better")}


def test_a_draft_in_hand_when_drafts_are_given_up_is_followed_by_its_final(sim: Make) -> None:
    """It stayed: the small network's cutout counted as the photo's."""
    add_large_stand_in(sim().root / "models")
    one = sim(model="large", draft_then_final=True)
    one.boot().run(20)
    one.put("a.jpg", ONE)
    one.until_in_a_worker()
    one.workers.variant = b"draft"
    one.inbox_table["draft_then_final"] = False
    one.reload()
    one.until(one.outputs)
    one.workers.variant = b"final"
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"final")}


def test_of_two_deliverables_the_one_that_came_through_stays_the_photos(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other was refused, and what the photo was made into later lay down beside it."""
    one = sim(deliver=[{"label": "one"}, {"label": "two", "folder": "two"}])
    one.put("a.jpg", ONE)
    one.boot().finish()
    real = RealFileSystem.exchange

    def refused(self: RealFileSystem, name: bytes, other: bytes) -> None:
        if b"/two/" in other:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        real(self, name, other)

    with monkeypatch.context() as patch:
        patch.setattr(RealFileSystem, "exchange", refused)
        one.workers.variant = b"better"
        one.parts.control.redo()
        one.until(lambda: one.outputs()["a.png"] == cutout_of(ONE, b"better", "one"))
        one.run(8)
    one.workers.variant = b"best"
    one.finish()
    assert one.outputs() == {
        "a.png": cutout_of(ONE, b"best", "one"),
        "two/a.png": cutout_of(ONE, b"best", "two"),
    }


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("before", [b"", b"earlier"])
@pytest.mark.parametrize("turns", range(4))
def test_of_two_deliverables_one_keeps_its_name_when_the_others_is_taken(
    sim: Make, crash: bool, before: bytes, turns: int
) -> None:
    """Both names were looked for anew: what had its own already stayed there as nobody's, and the photo ran again."""
    one = sim(deliver=[{"label": "master"}, {"label": "web", "folder": "web"}])
    stranger, theirs = one.outbox / "a.png", one.outbox / "web" / "a.png"
    theirs.parent.mkdir(parents=True)
    stranger.write_bytes(b"a stranger's")
    one.put("a.jpg", ONE)
    one.boot()
    if before:
        one.workers.variant = before
        one.finish()
        one.workers.variant = b""
        one.parts.control.redo()
    _until_delivering(one)
    stranger.unlink()
    theirs.write_bytes(b"theirs, saved in this moment")
    one.run(turns)
    if crash:
        one.die()
        one.boot()
    one.finish(400)
    made = {label: cutout_of(ONE, label=label) for label in ("master", "web")}
    assert one.outputs() == {
        "a (2).png": made["master"],
        "web/a (2).png": made["web"],
        "web/a.png": theirs.read_bytes(),
    }
    held = one.parts.ledger.read("SELECT name FROM deliverables WHERE state = 'done'")
    assert sorted(row["name"] for row in held) == [b"a (2).png", b"web/a (2).png"]
    assert theirs.read_bytes() == b"theirs, saved in this moment"
    assert one.leftovers() == []


def test_a_photo_that_never_gets_a_name_fails_and_holds_up_no_other(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was looked for without an end, as fast as the outbox answered."""
    real, asked = Transitions.delivering, list[int]()

    def delivering(self: Transitions, row: PhotoRow, *arguments: Any, **named: Any) -> bool:
        if row.path != b"bad.jpg":
            return real(self, row, *arguments, **named)
        asked.append(row.id)
        return False

    monkeypatch.setattr(Transitions, "delivering", delivering)
    one = sim()
    one.put("bad.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot().finish()
    assert one.states() == {"bad.jpg": "failed", "good.jpg": "done"}
    assert one.heard.failures == [Reason.CRASHED]
    assert len(asked) % MOST_ROUNDS == 0
    assert one.leftovers() == []
