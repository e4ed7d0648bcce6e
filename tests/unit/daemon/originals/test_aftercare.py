"""After-care in the machinery: archives full, away or no longer wanted; an original is always somewhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.simulation import BROKEN, Simulation, cutout_of

from cutoutd.config.errors import Reason
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.originals import aftercare, move
from cutoutd.daemon.originals.retry_queue import AT_ONCE
from cutoutd.daemon.workers.protocol import Refused
from cutoutd.models.decoding.refusals import AGAIN

pytestmark = pytest.mark.slow

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def _archiving(sim: Make, tmp_path: Path) -> Simulation:
    return sim(after={"action": "archive", "archive": tmp_path / "archive"})


def _until(sim: Simulation, aftercare: str) -> None:
    for _ in range(300):
        sim.turn()
        if any(row["aftercare"] == aftercare for row in sim.rows()):
            return
    raise AssertionError(sim.rows())


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """No name can be made in the archive while `full["now"]`, and never those in `full["names"]`."""
    real = RealFileSystem.link
    state: dict[str, Any] = {"now": False, "names": ()}

    def link(self: RealFileSystem, source: bytes, target: bytes) -> None:
        if b"/archive/" in target and (state["now"] or os.path.basename(target).decode() in state["names"]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, source, target)

    monkeypatch.setattr(RealFileSystem, "link", link)
    return state


def test_a_full_archive_gives_the_original_its_name_back_and_is_tried_again(
    sim: Make, tmp_path: Path, full: dict[str, Any]
) -> None:
    one = _archiving(sim, tmp_path)
    one.put("a.jpg", ONE)
    one.boot()
    full["now"] = True
    _until(one, "owed")
    one.run(60)
    assert (one.inbox / "a.jpg").read_bytes() == ONE
    assert one.leftovers() == []
    assert len([text for text in one.heard.warnings if "could not be moved" in text]) == 1
    (said,) = one.parts.control.aftercare_troubles()
    assert said.startswith(
        "a.jpg: its cutout is done, but the original could not be moved yet (No space left on device)"
    )
    full["now"] = False
    one.pass_time(600)
    one.finish()
    assert (one.archive / "a.jpg").read_bytes() == ONE
    assert not (one.inbox / "a.jpg").exists()
    assert one.outputs() == {"a.png": cutout_of(ONE)}


def _numbered(count: int) -> dict[str, bytes]:
    return {f"{number:02}.jpg": b"frame %d" % number for number in range(count)}


def _archived(sim: Simulation) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sim.archive.iterdir() if path.is_file()}


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Originals in the order in which they were taken up."""
    real, names = move.hide, list[bytes]()

    def hide(original: move.Original, **named: Any) -> move.Ready:
        names.append(os.path.basename(original.path))
        return real(original, **named)

    monkeypatch.setattr(move, "hide", hide)
    return names


def test_a_full_archive_is_asked_with_one_original_at_a_time_also_after_a_restart(
    sim: Make, tmp_path: Path, full: dict[str, Any], hidden: list[bytes]
) -> None:
    """All that were owed were once hidden, read and given back at each retry, and fresh photos waited for that."""
    one, photos = _archiving(sim, tmp_path), _numbered(20)
    one.boot()
    full["now"] = True
    for name, data in photos.items():
        one.put(name, data)
    one.until(lambda: len(one.outputs()) == len(photos))
    one.run(20)
    one.die()
    hidden.clear()
    one.boot().run(15)
    one.until(lambda: not one.parts.aftercare.busy())
    assert len(hidden) <= AT_ONCE + 1  # the first failure may be that original's own
    tried = set(hidden)
    for _ in range(len(photos)):
        hidden.clear()
        one.now = max(one.now, one.parts.aftercare.next_due())
        one.run(20)
        one.until(lambda: not one.parts.aftercare.busy())
        assert len(hidden) == 1
        tried.update(hidden)
    assert len(tried) == len(photos)  # none is for ever the one that is tried
    full["now"] = False
    one.pass_time(600)
    one.finish()
    assert _archived(one) == photos
    assert one.leftovers() == []


def test_an_original_that_cannot_be_archived_holds_up_no_other(
    sim: Make, tmp_path: Path, full: dict[str, Any]
) -> None:
    one, photos = _archiving(sim, tmp_path), _numbered(6)
    full["names"] = ("00.jpg",)
    one.boot()
    one.put("00.jpg", photos["00.jpg"])
    one.until(one.parts.control.aftercare_troubles)
    for name, data in photos.items():
        one.put(name, data)
    one.until(lambda: len(_archived(one)) == 5)
    assert len([text for text in one.heard.warnings if "could not be moved" in text]) == 1
    full["names"] = ()
    one.pass_time(600)
    one.finish()
    assert _archived(one) == photos


def test_a_folder_that_has_its_name_in_the_archive_is_stepped_aside_for(sim: Make, tmp_path: Path) -> None:
    one = _archiving(sim, tmp_path)
    (one.archive / "a.jpg").mkdir(parents=True)
    one.put("a.jpg", ONE)
    one.boot().finish()
    assert _archived(one) == {"a (2).jpg": ONE}


def test_two_that_cannot_be_archived_hold_up_the_others_only_for_a_pause(
    sim: Make, tmp_path: Path, full: dict[str, Any]
) -> None:
    one, photos = _archiving(sim, tmp_path), _numbered(6)
    full["names"] = ("00.jpg", "01.jpg")
    for name, data in photos.items():
        one.put(name, data)
    one.boot()
    one.until(lambda: len(one.outputs()) == len(photos))
    one.pass_time(10)
    one.until(lambda: len(_archived(one)) == 4)
    full["names"] = ()
    one.pass_time(600)
    one.finish()
    assert _archived(one) == photos


def test_a_full_archive_holds_up_no_other_inbox(sim: Make, tmp_path: Path, full: dict[str, Any]) -> None:
    one = _archiving(sim, tmp_path)
    other = {"path": tmp_path / "other", "after": {"action": "archive", "archive": tmp_path / "kept"}}
    tables = [{**one.inbox_table, "path": one.inbox}, other]
    one.tables["inbox"] = [
        {"outbox": one.outbox, "events": "poll", "poll_every": 1, **table} for table in tables
    ]
    full["now"] = True
    (tmp_path / "other").mkdir()
    for name, data in _numbered(4).items():
        one.put(name, data)
    one.boot()
    one.until(one.parts.control.aftercare_troubles)
    (tmp_path / "other" / "x.jpg").write_bytes(TWO)
    one.until((tmp_path / "kept" / "x.jpg").exists)


def test_an_inbox_that_is_away_does_not_end_the_aftercare_of_its_photos(sim: Make, tmp_path: Path) -> None:
    """Its originals once counted as taken away by somebody, and stayed in the inbox for ever."""
    one = _archiving(sim, tmp_path)
    one.put("a.jpg", ONE)
    one.boot()
    _until(one, "hidden")
    one.die()
    one.inbox.rename(tmp_path / "away")
    one.boot()
    one.inbox.rmdir()  # the test's own boot made it
    one.run(40)
    (tmp_path / "away").rename(one.inbox)
    one.pass_time(60)
    one.finish()
    assert (one.archive / "a.jpg").read_bytes() == ONE
    assert one.leftovers() == []


def test_a_setting_back_to_keep_brings_hidden_originals_back(sim: Make, tmp_path: Path) -> None:
    one = _archiving(sim, tmp_path)
    one.put("a.jpg", ONE)
    one.boot()
    _until(one, "hidden")
    one.run(1)
    one.die()
    one.inbox_table.pop("after")
    one.boot().finish()
    one.stop()
    assert (one.inbox / "a.jpg").read_bytes() == ONE or (one.archive / "a.jpg").read_bytes() == ONE
    assert one.leftovers() == []


def test_a_lost_ledger_with_hidden_originals_loses_none(sim: Make, tmp_path: Path) -> None:
    one = _archiving(sim, tmp_path)
    one.put("day/a.jpg", ONE)
    one.boot()
    _until(one, "hidden")
    while not any(path.name.startswith(".cutoutd-") for path in one.inbox.rglob("*")):
        one.turn()
    one.die()
    for path in (one.root / "state").glob("ledger*"):
        path.unlink()
    one.boot().finish()
    one.pass_time(30)
    one.finish()
    assert (one.archive / "day" / "a.jpg").read_bytes() == ONE
    assert one.outputs() == {"day/a.png": cutout_of(ONE)}


def test_a_name_the_camera_uses_again_is_another_photo(sim: Make, tmp_path: Path) -> None:
    one = _archiving(sim, tmp_path)
    one.boot()
    for data in (ONE, TWO):
        one.put("a.jpg", data)
        one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE), "a (2).png": cutout_of(TWO)}
    assert sorted(path.read_bytes() for path in one.archive.iterdir()) == [ONE, TWO]


def test_a_stop_waits_for_originals_under_way(sim: Make, tmp_path: Path) -> None:
    one = _archiving(sim, tmp_path)
    one.put("a.jpg", ONE)
    one.boot()
    _until(one, "hidden")
    one.stop()
    assert one.leftovers() == []
    assert (one.archive / "a.jpg").read_bytes() == ONE


def test_failed_originals_move_with_their_reason_and_can_be_tried_again(sim: Make, tmp_path: Path) -> None:
    one = sim(after={"failed": tmp_path / "failed"})
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.refuse = Refused(Reason.TOO_LARGE, f"It ends early. {AGAIN}")
    one.finish()
    one.run(5)
    assert (tmp_path / "failed" / "a.jpg").read_bytes() == ONE
    # There nobody looks at it again.
    assert (tmp_path / "failed" / "a.jpg.txt").read_text() == (
        "too-large: It ends early. Copy it again from the camera or card, into the inbox.\n"
    )
    assert [row.reason for row in one.parts.control.failures()] == ["too-large"]
    one.workers.refuse = None
    assert one.parts.control.retry() == 1
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    one.run(5)
    assert os.listdir(tmp_path / "failed") == ["a.jpg"]  # the note said what is no longer so


@pytest.mark.parametrize(("failed_after", "rest_s"), [(600.0, aftercare.RESUMED_S), (4.0, 4.0), (0.0, 0.0)])
def test_a_part_of_a_photo_is_put_aside_when_nobody_went_on_with_it(
    sim: Make, tmp_path: Path, failed_after: float, rest_s: float
) -> None:
    one = sim(after={"failed": tmp_path / "failed", "failed_after": failed_after})
    one.put("a.jpg", b"\xff\xd8\xff\xe0 the beginning of a photo")
    one.boot()
    one.workers.refuse = Refused(Reason.UNREADABLE, f"It ends early. {AGAIN}")
    one.until(lambda: "failed" in one.states().values())
    failed_at = one.now
    one.until((tmp_path / "failed" / "a.jpg").exists)
    assert rest_s <= one.now - failed_at <= rest_s + 10.0


def test_a_failed_original_without_its_note_is_known_to_be_moved(
    sim: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk it was once said to stay in the inbox; the next walk missed it there, and no retry found it."""
    real = RealFileSystem.open

    def no_notes(self: RealFileSystem, path: bytes, flags: int, mode: int = 0o600) -> int:
        if path.endswith(b".txt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, path, flags, mode)

    monkeypatch.setattr(RealFileSystem, "open", no_notes)
    one = sim(after={"failed": tmp_path / "failed"})
    for name, data in (("a.jpg", ONE), ("b.jpg", TWO)):
        one.put(name, data)
    one.boot()
    one.workers.refuse = Refused(Reason.TOO_LARGE, "no")
    one.finish()
    assert (tmp_path / "failed" / "a.jpg").read_bytes() == ONE
    assert [row.reason for row in one.parts.control.failures()] == ["too-large", "too-large"]
    assert not [text for text in one.heard.warnings if "stays in the inbox" in text]
    assert len([text for text in one.heard.warnings if "No space left on device" in text]) == 1
    one.workers.refuse = None
    assert one.parts.control.retry() == 2
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE), "b.png": cutout_of(TWO)}


def test_a_failure_moves_no_photo_that_came_after_it(sim: Make, tmp_path: Path) -> None:
    one = sim(after={"failed": tmp_path / "failed"})
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.refuse = Refused(Reason.TOO_LARGE, "no")
    while "failed" not in one.states().values():
        one.turn()
        if one.workers.jobs:
            one.workers.step()
            one.put("a.jpg", TWO)  # between the worker's answer and the move
            one.workers.refuse = None
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(TWO)}
    assert (one.inbox / "a.jpg").read_bytes() == TWO


@pytest.mark.parametrize("moment", ["delivering", "done"])
def test_a_photo_renamed_before_its_aftercare_is_archived_under_its_new_name(
    sim: Make, tmp_path: Path, moment: str
) -> None:
    """The daemon died between cutout and after-care, and the user renamed the original while it was down."""
    archived = {"after": {"action": "archive", "archive": tmp_path / "archive"}}
    one = sim(**archived).boot()
    one.put("a.jpg", ONE)
    for _ in range(200):
        one.turn()
        if [row["state"] for row in one.rows()] == [moment]:
            break
    else:
        raise AssertionError(one.rows())
    one.die()
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.boot()
    one.finish()
    assert (tmp_path / "archive" / "b.jpg").read_bytes() == ONE
    assert list(one.inbox.iterdir()) == []
    assert one.outputs() == {"b.png": cutout_of(ONE)}, "a cutout is called like its photo"


def test_an_original_replaced_between_done_and_aftercare_stays_and_is_a_photo_of_its_own(
    sim: Make, tmp_path: Path
) -> None:
    one = sim(after={"action": "archive", "archive": tmp_path / "archive"}).boot()
    one.put("a.jpg", ONE)
    for _ in range(200):
        one.turn()
        if [row["state"] for row in one.rows()] == ["done"]:
            break
    one.put("a.jpg", TWO)  # in the very instant before the I/O thread hides the first
    one.finish()
    archived = {path.name: path.read_bytes() for path in (tmp_path / "archive").iterdir()}
    assert archived == {"a.jpg": TWO}
    assert list(one.inbox.iterdir()) == []
    assert cutout_of(TWO) in one.outputs().values()


def test_a_mistake_with_one_original_puts_off_that_one(
    sim: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, mistaken = move.hide, [True]

    def hide(original: move.Original, **rest: Any) -> move.Ready:
        if mistaken and original.relative == b"bad.jpg":
            raise KeyError("ours")
        return real(original, **rest)

    monkeypatch.setattr(move, "hide", hide)
    one = _archiving(sim, tmp_path)
    one.put("bad.jpg", b"bad")
    one.put("good.jpg", b"good")
    one.boot().run(120)
    assert (one.archive / "good.jpg").exists()
    assert "made a mistake" in one.heard.warnings[-1]
    mistaken.clear()
    one.pass_time(700)
    one.finish()
    assert (one.archive / "bad.jpg").read_bytes() == b"bad"


def test_a_file_too_large_to_be_a_photo_is_not_copied_and_holds_up_no_other(
    sim: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its inbox would wait for hours; beside it a failed photo of ordinary size goes where it is to go."""
    one = sim(after={"failed": tmp_path / "failed"})
    one.tables = {"limits": {"max_bytes": "1MB"}}
    one.put("b.jpg", BROKEN)
    one.put("a.jpg", BROKEN)
    os.truncate(one.inbox / "a.jpg", 1 << 40)

    def yes(_folder: Path, _device: int) -> bool:
        return True

    monkeypatch.setattr(aftercare, "lies_elsewhere", yes)
    one.boot()

    def work(job: Any) -> Refused:
        return Refused(Reason.TOO_LARGE, "too large")

    vars(one.workers)["work"] = work
    one.until((tmp_path / "failed" / "b.jpg").exists)
    one.run(20)
    one.pass_time(700)
    one.run(20)
    assert os.stat(one.inbox / "a.jpg").st_size == 1 << 40
    assert os.listdir(one.inbox) == ["a.jpg"]
    assert len([text for text in one.heard.warnings if "too large to be copied" in text]) == 1


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("failed", [False, True])
def test_a_photo_ordered_anew_while_its_original_is_on_its_way_is_done_again(
    sim: Make, tmp_path: Path, turns: int, crash: bool, failed: bool
) -> None:
    """Its worker found nothing under its name and it counted as gone; after a crash its original stayed hidden."""
    put_aside = {"failed": tmp_path / "archive"}
    one = sim(after=put_aside if failed else {"action": "archive", "archive": tmp_path / "archive"})
    one.put("a.jpg", ONE)
    one.boot()
    if failed:
        one.workers.refuse = Refused(Reason.TOO_LARGE, "no")
    _until(one, "owed")
    one.run(turns)
    if crash:
        one.die()
        one.boot()
    control = one.parts.control
    assert (control.retry() if failed else control.redo()) == 1
    one.parts.ledger.commit()
    if crash:  # it was ordered before the daemon ran again
        one.die()
        one.boot()
    one.workers.refuse, one.workers.variant = None, b"better"
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"better")}
    assert one.leftovers() == []
    assert [row["state"] for row in one.rows()] == ["done"]
    assert [path.read_bytes() for box in (one.inbox, one.archive) for path in box.rglob("a.jpg")] == [ONE]


def test_an_original_that_came_back_is_looked_for_where_it_lies(sim: Make, tmp_path: Path) -> None:
    """It was once looked for in the archive, for which it had been meant."""
    one = _archiving(sim, tmp_path)
    one.put("a.jpg", ONE)
    one.boot()
    one.until(lambda: any(row["archived_to"] for row in one.rows()))
    one.die()
    one.inbox_table.pop("after")
    one.boot().finish()
    assert (one.inbox / "a.jpg").read_bytes() == ONE
    one.workers.variant = b"better"
    one.parts.control.redo()
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"better")}


def test_a_clock_that_was_set_back_makes_no_original_wait_for_years(
    sim: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody tells who writes it, an original is moved once it has rested."""

    def nobody_tells(_kind: str) -> bool:
        return True

    monkeypatch.setattr(aftercare, "needs_polling", nobody_tells)
    one = sim(after={"action": "archive", "archive": tmp_path / "archive", "rest": "1m"})
    one.put("a.jpg", ONE)
    one.boot()
    one.until(lambda: one.states() == {"a.jpg": "running"})
    one.parts.ledger.write("UPDATE photos SET proven = 0")
    _until(one, "owed")
    one.parts.ledger.write("UPDATE photos SET proven = 0")
    one.run(20)
    assert not one.archive.exists()
    one.wall -= 1e8
    one.now += 120
    one.until((one.archive / "a.jpg").exists)
