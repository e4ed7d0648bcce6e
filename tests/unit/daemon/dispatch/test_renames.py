"""Renamed, copied, swapped: which cutout belongs to which file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.simulation import Simulation, cutout_of

from cutoutd.config.errors import Reason
from cutoutd.config.fixes import Fixes
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import name_key
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.overrides import Corrections, Overrides
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.shots import decided, versions
from cutoutd.daemon.workers.protocol import Refused

pytestmark = pytest.mark.slow

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def test_a_copy_owes_its_own_cutout_and_that_of_a_renamed_photo_is_called_like_it(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    (one.inbox / "b.jpg").hardlink_to(one.inbox / "a.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "b.png"]
    (one.inbox / "a.jpg").rename(one.inbox / "c.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["b.png", "c.png"]
    assert one.states()["c.jpg"] == "done"


@pytest.mark.parametrize("taken", [False, True])
def test_a_copy_that_was_deleted_is_not_taken_for_the_photo_that_was_renamed(sim: Make, taken: bool) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.put("copy.jpg", ONE)
    one.finish()
    (one.inbox / "copy.jpg").unlink()
    one.finish()
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["b.png", "copy.png"], (
        "the copy's cutout stays, the renamed one's is renamed"
    )


def test_a_photo_renamed_while_it_is_in_hand_gets_one_cutout(sim: Make) -> None:
    for turns in range(1, 12):
        one = sim()
        name, moved = f"{turns}.jpg", f"{turns}-renamed.jpg"
        one.put(name, ONE + b"%d" % turns)
        one.boot()
        one.until_in_a_worker()
        one.run(turns)
        (one.inbox / name).rename(one.inbox / moved)
        one.finish()
        one.die()
        assert list(one.outputs().values()).count(cutout_of(ONE + b"%d" % turns)) == 1, turns


def test_a_photo_renamed_after_it_was_ordered_anew_follows_too(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.control.redo()
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
    assert one.outputs() == {"a.png": cutout_of(TWO)}


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


def test_a_rename_that_changes_no_cutouts_name_is_no_work(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    before = one.rows()
    (one.inbox / "a.jpg").rename(one.inbox / "a.jpeg")
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert [row["id"] for row in one.rows()] == [row["id"] for row in before]


STORIES: dict[str, list[tuple[str, str]]] = {
    "shift": [("3", "4"), ("2", "3"), ("1", "2")],
    "shift that leaves no gap": [("1", "0"), ("2", "1"), ("3", "2")],
    "swap": [("1", "x"), ("2", "1"), ("x", "2")],
    "round of three": [("3", "x"), ("2", "3"), ("1", "2"), ("x", "1")],
    "onto one that is overwritten": [("1", "2")],
    "there and back": [("1", "x"), ("x", "1")],
    "one that changes only in case": [("1", "A"), ("A", "a")],
    "into a folder and one in its place": [("1", "day/1"), ("2", "1")],
}


# With two deliverables each rename is two: one pause is enough to see that, and all of them weekly.
@pytest.mark.parametrize(
    ("labels", "pause"),
    [
        *((1, pause) for pause in ("none", "turns", "all", "down")),
        (2, "turns"),
        *(pytest.param(2, pause, marks=pytest.mark.thorough) for pause in ("none", "all", "down")),
    ],
)
@pytest.mark.parametrize("name", STORIES)
def test_each_cutout_bears_the_name_of_its_photo(sim: Make, name: str, labels: int, pause: str) -> None:
    """However many of the renames one look at the inbox shows."""
    deliver = [{"label": "cutout"}, {"label": "web", "folder": "web"}][:labels]
    one = sim(deliver=deliver)
    for number in "123":
        one.put(f"{number}.jpg", b"frame " + number.encode())
    one.boot().finish()
    if pause == "down":
        one.die()
    for count, (old, new) in enumerate(STORIES[name]):
        target = one.inbox / f"{new}.jpg"
        target.parent.mkdir(exist_ok=True)
        (one.inbox / f"{old}.jpg").rename(target)
        if pause == "turns":
            one.run(6 + 5 * count)
        elif pause == "all":
            one.finish()
    if pause == "down":
        one.boot()
    one.finish()
    assert one.outputs() == expected(one, [each["label"] for each in deliver])
    assert one.leftovers() == []


def expected(one: Simulation, labels: list[str]) -> dict[str, bytes]:
    """What lies in an outbox in which each cutout is called like its photo, and no other lies there."""
    found: dict[str, bytes] = {}
    for photo in one.inbox.rglob("*.jpg"):
        for label in labels:
            name = photo.relative_to(one.inbox).with_suffix(".png")
            where = name if label == "cutout" else "web" / name
            found[str(where)] = cutout_of(photo.read_bytes(), label=label)
    return found


def test_names_that_shift_before_originals_are_archived(sim: Make) -> None:
    for turns in range(0, 30, 3):
        one = sim(after={"action": "archive", "archive": sim().root / f"archive{turns}"})
        one.root.joinpath("inbox").mkdir(exist_ok=True)
        names = [f"{turns}-{number}" for number in range(4)]
        for name in names[:3]:
            one.put(f"{name}.jpg", b"frame " + name.encode())
        one.boot().run(turns)
        for old, new in zip(names[2::-1], names[3:0:-1], strict=True):
            if (one.inbox / f"{old}.jpg").exists():  # not archived yet
                (one.inbox / f"{old}.jpg").rename(one.inbox / f"{new}.jpg")
        one.finish()
        for photo in (one.root / f"archive{turns}").rglob("*.jpg"):
            assert one.outputs()[f"{photo.stem}.png"] == cutout_of(photo.read_bytes()), turns
        assert list(one.inbox.rglob("*.jpg")) == []
        assert one.leftovers() == []
        one.die()


def test_a_cutout_that_its_owner_changed_stays_where_it_is(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot().finish()
    (one.outbox / "a.png").write_bytes(b"retouched")
    (one.inbox / "a.jpg").rename(one.inbox / "c.jpg")
    one.finish()
    (one.inbox / "b.jpg").rename(one.inbox / "a.jpg")
    one.finish()
    assert one.outputs() == {"a.png": b"retouched", "a (2).png": cutout_of(TWO), "c.png": cutout_of(ONE)}


def test_a_cutout_waits_for_its_successor_before_it_goes(sim: Make) -> None:
    """A renamed photo that cannot be cut out again keeps what it has."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    (one.inbox / "a.jpg").rename(one.inbox / "c.jpg")
    one.until_in_a_worker()
    one.workers.refuse = Refused(Reason.NO_SUBJECT, "nothing to be seen")
    one.until(lambda: one.states().get("c.jpg") == "failed")
    one.run(20)
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    one.workers.refuse = None
    one.parts.control.retry()
    one.finish()
    assert one.outputs() == {"c.png": cutout_of(ONE)}


def test_what_was_ordered_anew_under_the_old_name_is_made_under_the_new_one(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.control.redo(overrides=Overrides(output={"format": "png"}))
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.run(1)
    one.until(lambda: any(row["path"] == b"b.jpg" and row["overrides"] for row in one.rows()))
    one.finish()
    assert one.outputs() == {"b.png": cutout_of(ONE)}


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("finished", [True, False])
def test_points_and_verdicts_stay_with_a_photo_that_is_renamed(sim: Make, finished: bool, turns: int) -> None:
    """It was made again without them under its new name, as if nobody had corrected it."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    fixes = Fixes(("1%,2%",), ("3,4",))
    with one.parts.ledger.durably():
        one.parts.control.redo(overrides=Overrides(fixes=fixes))
    corrected = cutout_of(ONE, b"1%,2% - 3,4")
    if finished:
        one.finish()
        assert one.outputs() == {"a.png": corrected}
        with one.parts.ledger.durably():
            ((photo, version),) = versions(one.parts.ledger).items()
            Remarks(one.parts.ledger).mark(photo, EventKind.ACCEPTED, version)
    one.run(turns)
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert one.outputs() == {"b.png": corrected}
    (row,) = (row for row in one.rows() if row["path"] == b"b.jpg" and row["live"])
    assert Remarks(one.parts.ledger).corrections() == {row["id"]: Corrections(fixes)}
    assert decided(one.parts.ledger) == ({row["id"]: "accepted"} if finished else {})
    (one.inbox / "b.jpg").rename(one.inbox / "c.jpg")  # and once more
    one.finish()
    assert one.outputs() == {"c.png": corrected}


def test_points_stay_where_the_rename_shows_only_when_the_cutout_is_made(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    with one.parts.ledger.durably():
        one.parts.control.redo(overrides=Overrides(fixes=Fixes(("1%,2%",))))
    one.finish()

    def nothing(_intake: Intake, _row: PhotoRow) -> dict[str, int]:
        return {}

    monkeypatch.setattr(Intake, "known_digests", nothing)
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert one.outputs() == {"b.png": cutout_of(ONE, b"1%,2% -")}


def test_a_copy_has_no_points_of_its_own(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    with one.parts.ledger.durably():
        one.parts.control.redo(overrides=Overrides(fixes=Fixes(("1%,2%",))))
    one.finish()
    one.put("b.jpg", ONE)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE, b"1%,2% -"), "b.png": cutout_of(ONE)}


def test_a_mask_waits_for_a_photo_that_was_renamed_before_it_was_done_again_and_stays_with_it(
    sim: Make,
) -> None:
    """It was dropped with the old name, and the photo failed under the new one; later ones asked the network again."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    (one.root / "edited.png").write_bytes(b"edited")
    with one.parts.ledger.durably():
        mask = masks.copied(one.state, one.root / "edited.png")
        masks.keep(one.parts.ledger, mask)
        one.parts.control.redo(overrides=Overrides(mask=mask))
    (one.inbox / "a.jpg").rename(one.root / "a.jpg")
    one.until(lambda: one.states() == {"a.jpg": "skipped"})
    one.pass_time(10)
    one.run(40)
    (one.root / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert one.outputs() == {"b.png": cutout_of(ONE, b"edited")}
    (one.inbox / "b.jpg").rename(one.inbox / "c.jpg")
    one.finish()
    assert one.outputs() == {"c.png": cutout_of(ONE, b"edited")}
    for overrides, then in (
        (Overrides(), cutout_of(ONE, b"edited")),
        (Overrides(forget_points=True), cutout_of(ONE)),
    ):
        with one.parts.ledger.durably():
            one.parts.control.redo(overrides=overrides)
        one.finish()
        assert one.outputs() == {"c.png": then}
    assert list(masks.folder_of(one.state).iterdir()) == []


def _is_linked(path: Path) -> None:
    path.symlink_to("b.jpg")


@pytest.mark.parametrize("takes_its_name", [Path.mkdir, _is_linked])
def test_a_photo_at_whose_old_name_lies_no_file_follows_at_once(
    sim: Make, takes_its_name: Callable[[Path], None]
) -> None:
    """It waited to be told what that is, which nobody would tell, and then kept both cutouts."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    takes_its_name(one.inbox / "a.jpg")
    one.finish()
    assert one.outputs() == {"b.png": cutout_of(ONE)}


def _ignoring_case(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Looks into a folder find a file by any spelling of its name, as on a Mac's disk."""
    exactly = RealFileSystem.lstat

    def lstat(fs: RealFileSystem, path: bytes) -> os.stat_result:
        above, name = os.path.split(path)
        if above == os.fsencode(folder) and not os.path.lexists(path):
            alike = [one for one in os.listdir(above) if name_key(one) == name_key(name)]
            path = os.path.join(above, (alike or [name])[0])
        return exactly(fs, path)

    monkeypatch.setattr(RealFileSystem, "lstat", lstat)


@pytest.mark.parametrize(("before", "after"), [("img.jpg", "IMG.JPG"), ("caf\u00e9.jpg", "cafe\u0301.jpg")])
def test_a_name_that_is_only_spelled_anew_where_spelling_is_ignored_is_a_rename(
    sim: Make, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    one = sim()
    _ignoring_case(monkeypatch, one.inbox)
    one.put(before, ONE)
    one.boot().finish()
    (one.inbox / before).rename(one.inbox / after)
    one.finish()
    assert list(one.outputs()) == [f"{Path(after).stem}.png"]
    assert [name for name, state in one.states().items() if state == "done"] == [after]


def test_two_links_that_differ_in_case_alone_are_two_photos(sim: Make) -> None:
    one = sim()
    one.put("img.jpg", ONE)
    one.boot().finish()
    (one.inbox / "IMG.JPG").hardlink_to(one.inbox / "img.jpg")
    one.finish()
    assert len(one.outputs()) == 2
