"""Photos arrive in every way that cameras and people have; each ends as exactly one whole, clean cutout."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.conditions import wait_until
from tests.support.daemon_process import Daemon
from tests.support.photos import alpha_of, encoded, iou, pixels, small

Make = Callable[..., Daemon]


def _slowly(target: Path, content: bytes) -> None:
    third = len(content) // 3
    with target.open("wb") as file:
        for start in range(0, len(content), third):
            file.write(content[start : start + third])
            file.flush()
            time.sleep(0.7)  # longer than the settle time: a stall, as cameras over Wi-Fi make them


def _renamed_in(target: Path, content: bytes) -> None:
    part = target.with_suffix(".part")
    part.write_bytes(content)
    part.rename(target)


def _from_elsewhere(target: Path, content: bytes) -> None:
    outside = target.parents[1] / "outside.jpg"
    outside.write_bytes(content)
    outside.rename(target)


def _digikam(target: Path, content: bytes) -> None:
    part = target.with_name(f"Camera-tmp1-77.digikamtempfile.{target.name}")
    part.write_bytes(content)
    part.rename(target)


def _gphoto(target: Path, content: bytes) -> None:
    part = target.with_name("tmpfileA1b2C3")
    part.write_bytes(content)
    part.rename(target)
    target.chmod(0o640)
    os.utime(target, (1_000_000_000, 1_000_000_000))


def _closed_and_reopened(target: Path, content: bytes) -> None:
    target.write_bytes(content[: len(content) // 2])
    time.sleep(0.2)  # shorter than the settle time: the writer's own pause, not ours
    with target.open("ab") as file:
        file.write(content[len(content) // 2 :])


def _hard_link(target: Path, content: bytes) -> None:
    outside = target.parents[1] / "outside-link.jpg"
    outside.write_bytes(content)
    os.link(outside, target)


def _at_once(target: Path, content: bytes) -> None:
    target.write_bytes(content)


WAYS: dict[str, Callable[[Path, bytes], None]] = {
    "written at once": _at_once,
    "written slowly": _slowly,
    "renamed in": _renamed_in,
    "moved from elsewhere": _from_elsewhere,
    "digikam": _digikam,
    "gphoto2": _gphoto,
    "closed and reopened": _closed_and_reopened,
    "hard link": _hard_link,
}


def test_each_arrival_becomes_one_cutout(daemon: Make) -> None:
    one = daemon(config='quality = "fast"', anew=True).start()
    content = encoded("astronaut", size=(256, 256), exif=_exif())
    for number, way in enumerate(WAYS.values()):
        way(one.inbox / f"photo{number}.jpg", content)
    folder = one.inbox / "card" / "100"
    folder.mkdir(parents=True)
    (folder / "deep.jpg").write_bytes(content)
    expected = sorted([f"photo{n}.png" for n in range(len(WAYS))] + ["card/100/deep.png"])
    one.wait(lambda: one.outputs() == expected and one.settled(), f"the cutouts {expected}")
    for name in one.outputs():
        alpha = alpha_of(one.outbox / name)
        assert alpha.shape == (256, 256)
        assert 0.3 < (alpha > 127).mean() < 0.75, name
        _assert_clean(one.outbox / name)
    assert one.stop() == 0
    assert one.outputs() == expected
    assert one.leftovers() == []


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "SecretMaker"
    exif[0x9003] = "2024:01:01 00:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    return exif


def _assert_clean(path: Path) -> None:
    data = path.read_bytes()
    assert b"SecretMaker" not in data
    assert b"Exif" not in data
    with Image.open(path) as image:
        assert not image.info
        assert not image.getexif()
        rgba = np.asarray(image)
    assert not rgba[rgba[..., 3] == 0, :3].any()


def test_alpha_fits_the_photo(corner: Daemon) -> None:
    """The cutouts of two different photos agree with stored expectations and not with each other's."""
    one = corner
    for name in ("astronaut", "chelsea"):
        (one.inbox / f"{name}.jpg").write_bytes(encoded(name))
    one.wait(lambda: one.outputs() == ["astronaut.png", "chelsea.png"], "two cutouts")
    expected = Path(__file__).parent / "expected"
    for name in ("astronaut", "chelsea"):
        with Image.open(expected / f"{name}.png") as image:
            mask = np.asarray(image.convert("L"))
        assert iou(alpha_of(one.outbox / f"{name}.png"), mask) > 0.85, name


def test_orientations_give_the_same_upright_cutout(corner: Daemon) -> None:
    one = corner
    upright = Image.fromarray(pixels("astronaut")).resize((256, 256))
    undo = {
        1: None,
        3: Image.Transpose.ROTATE_180,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }
    for tag, turn in undo.items():
        exif = Image.Exif()
        exif[0x0112] = tag
        turned = upright if turn is None else upright.transpose(turn)
        turned.save(one.inbox / f"o{tag}.png", exif=exif)
    one.wait(lambda: len(one.outputs()) == 4 and one.settled(), "four cutouts")
    reference = alpha_of(one.outbox / "o1.png")
    for tag in (3, 6, 8):
        assert np.array_equal(alpha_of(one.outbox / f"o{tag}.png"), reference), tag


def test_what_lay_there_before_and_what_comes_during_the_scan(daemon: Make) -> None:
    one = daemon()
    one.inbox.mkdir(parents=True)
    for number in range(5):
        (one.inbox / f"old{number}.jpg").write_bytes(small())
    one.start(ready=False)
    for number in range(5):
        (one.inbox / f"new{number}.jpg").write_bytes(small())
    one.wait(lambda: len(one.outputs()) == 10 and one.settled(), "ten cutouts")
    assert one.stop() == 0


def test_touch_is_no_new_work_and_new_content_replaces_its_own_cutout(corner: Daemon) -> None:
    one = corner
    photo = one.inbox / "a.jpg"
    photo.write_bytes(small())
    one.wait(lambda: one.state_of("a.jpg") == "done", "the first cutout")
    cutout = one.outbox / "a.png"
    first = cutout.stat()
    os.utime(photo, (1_200_000_000, 1_200_000_000))
    one.wait(lambda: (one.row("a.jpg") or {}).get("mtime_ns") == 1_200_000_000 * 10**9, "the new time")
    one.wait(lambda: one.state_of("a.jpg") == "done", "the row to rest")
    assert cutout.stat().st_ino == first.st_ino
    assert len(one.rows("state = 'done'")) == 1
    photo.write_bytes(encoded("chelsea"))
    one.wait(lambda: cutout.stat().st_ino != first.st_ino and one.settled(), "the replaced cutout")
    assert one.outputs() == ["a.png"]
    assert alpha_of(cutout).shape == pixels("chelsea").shape[:2]
    assert [row["state"] for row in one.rows()] == ["superseded", "done"]


def test_two_sources_with_one_stem_and_a_stranger_in_the_outbox(corner: Daemon) -> None:
    one = corner
    one.outbox.mkdir(parents=True)
    (one.outbox / "a.png").write_bytes(b"the user's own file")
    (one.inbox / "a.jpg").write_bytes(small())
    (one.inbox / "A.png").write_bytes(small("chelsea", "PNG"))
    one.wait(lambda: len(one.outputs()) == 3 and one.settled(), "two cutouts beside the stranger's file")
    assert (one.outbox / "a.png").read_bytes() == b"the user's own file"
    ours = [name for name in one.outputs() if name != "a.png"]
    assert len({name.casefold() for name in ours}) == 2, ours


def test_renamed_inside_the_inbox_its_cutout_is_renamed_too(corner: Daemon) -> None:
    one = corner
    (one.inbox / "a.jpg").write_bytes(small())
    one.wait(lambda: one.state_of("a.jpg") == "done", "the cutout")
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.wait(lambda: one.outputs() == ["b.png"], "the cutout to follow")
    one.wait(lambda: one.state_of("b.jpg") == "done", "its row")


def test_restart_owes_exactly_what_was_owed(daemon: Make) -> None:
    one = daemon().start()
    for number in range(12):
        (one.inbox / f"p{number:02}.jpg").write_bytes(encoded("astronaut", size=(160 + number, 120)))
    one.wait(lambda: len(one.rows()) == 12 and len(one.outputs()) >= 1, "work to begin")
    one.kill()
    done_before = {name: (one.outbox / name).stat().st_ino for name in one.outputs()}
    one.start()
    one.wait(lambda: len(one.outputs()) == 12 and one.settled(), "the rest")
    assert {name: (one.outbox / name).stat().st_ino for name in done_before} == done_before
    assert one.stop() == 0
    assert one.leftovers() == []
    one.start()
    one.wait(lambda: one.live()["state"] == "idle", "rest")
    assert len(one.rows()) == 12
    one.stop()


def test_lost_ledger_costs_work_but_no_duplicates(daemon: Make) -> None:
    one = daemon().start()
    for name in ("astronaut", "chelsea"):
        (one.inbox / f"{name}.jpg").write_bytes(small(name))
    one.wait(lambda: len(one.outputs()) == 2 and one.settled(), "two cutouts")
    one.stop()
    before = {name: (one.outbox / name).read_bytes() for name in one.outputs()}
    for path in one.state.glob("ledger*"):
        path.unlink()
    one.start()
    one.wait(lambda: len(one.rows("state = 'done'")) == 2, "both adopted")
    assert {name: (one.outbox / name).read_bytes() for name in one.outputs()} == before
    one.stop()


def test_second_daemon_is_refused_with_the_pid_of_the_first(corner: Daemon) -> None:
    one = corner
    assert one.process is not None
    answer = one.cli("run", "-c", str(one.root / "cutoutd.toml"))
    assert answer.returncode == 5
    assert str(one.process.pid) in answer.stderr


# The trash is test_aftercare_trash.py's as well.
@pytest.mark.parametrize("action", ["archive", pytest.param("trash", marks=pytest.mark.thorough)])
def test_originals_go_where_they_are_sent_after_the_cutout_is_safe(daemon: Make, action: str) -> None:
    one = daemon()
    target = one.root / "archive"
    one.config = f'[inbox.after]\naction = "{action}"\n' + (
        f'archive = "{target}"\n' if action == "archive" else ""
    )
    one.start()
    content = small()
    (one.inbox / "day").mkdir()
    (one.inbox / "day" / "a.jpg").write_bytes(content)
    place = target / "day" / "a.jpg" if action == "archive" else one.root / "home/data/Trash/files/a.jpg"
    one.wait(place.exists, f"the original at {place}")
    assert place.read_bytes() == content
    assert one.outputs() == ["day/a.png"]
    # The camera uses the name again: a new photo, and the earlier cutout stays.
    (one.inbox / "day" / "a.jpg").write_bytes(small("chelsea"))
    one.wait(lambda: one.outputs() == ["day/a (2).png", "day/a.png"] and one.settled(), "a second cutout")
    second = place.with_name("a (2).jpg")
    one.wait(second.exists, "the second original beside the first")
    assert place.read_bytes() == content
    one.stop()
    assert one.leftovers() == []


def test_raw_and_jpeg_of_one_shot_are_processed_once(corner: Daemon) -> None:
    one = corner
    (one.inbox / "DSC_1.NEF").write_bytes(b"II*\0" + bytes(4000))
    (one.inbox / "DSC_1.JPG").write_bytes(small())
    one.wait(lambda: one.state_of("DSC_1.NEF") == "skipped" and one.outputs() == ["DSC_1.png"], "one cutout")
    assert (one.row("DSC_1.NEF") or {})["reason"] == "raw-pair"


def test_pause_and_resume(corner: Daemon) -> None:
    one = corner
    assert one.cli("pause").returncode == 0
    one.wait(lambda: one.live()["state"] == "paused", "the pause")
    (one.inbox / "a.jpg").write_bytes(small())
    one.wait(lambda: one.state_of("a.jpg") == "pending", "the photo to be remembered")
    assert one.cli("resume").returncode == 0
    wait_until(lambda: one.outputs() == ["a.png"], "the cutout")


def test_redo_with_other_options_replaces_or_steps_aside(daemon: Make) -> None:
    one = daemon(config='quality = "fast"').start()
    for name in ("a", "b"):
        (one.inbox / f"{name}.jpg").write_bytes(encoded("astronaut", size=(256, 256)))
    one.wait(lambda: one.outputs() == ["a.png", "b.png"] and one.settled(), "two cutouts")
    before = (one.outbox / "a.png").read_bytes()
    (one.outbox / "b.png").write_bytes(b"edited by the user")
    answer = one.cli("redo", "--all", "--background", "#ff0000")
    assert answer.returncode == 0, answer.stderr
    one.wait(lambda: one.outputs() == ["a.png", "b (2).png", "b.png"] and one.settled(), "both done again")
    assert (one.outbox / "b.png").read_bytes() == b"edited by the user"
    one.wait(lambda: (one.outbox / "a.png").read_bytes() != before, "another picture")
    with Image.open(one.outbox / "a.png") as image:
        assert image.convert("RGB").getpixel((5, 5)) == (255, 0, 0)

    mask = one.root / "edited.png"  # no worker may read it there
    grey = Image.new("L", (256, 256))
    grey.paste(255, (10, 10, 60, 60))
    grey.save(mask)
    answer = one.cli("redo", "a.jpg", "--mask", str(mask))
    assert answer.returncode == 0, answer.stderr

    def follows_the_mask() -> bool:
        with Image.open(one.outbox / "a.png") as image:
            alpha = image.convert("RGBA").getchannel("A")
            return (alpha.getpixel((30, 30)), alpha.getpixel((128, 128))) == (255, 0)

    one.wait(follows_the_mask, "a cutout by the mask")
    (kept,) = (one.state / "masks").iterdir()  # a later redo is made with it too
    Image.new("L", (100, 200), 255).save(mask)
    assert one.cli("redo", "a.jpg", "--mask", str(mask)).returncode == 0
    one.wait(lambda: "another shape" in one.cli("review").stdout, "what is wrong with it")
    assert follows_the_mask()  # what was delivered stays
    assert one.state_of("a.jpg") == "done"
    one.wait(lambda: list((one.state / "masks").iterdir()) == [kept], "the copy of what cannot be used to go")
    assert one.cli("redo", "a.jpg", "--forget-points").returncode == 0
    one.wait(lambda: not follows_the_mask() and one.settled(), "a cutout by the network")
    one.wait(lambda: not list((one.state / "masks").iterdir()), "the copy to go")
    one.stop()
