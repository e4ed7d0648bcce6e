"""What bad input gets: each row of the table of promises, on the real daemon, with the original untouched."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded, small

Make = Callable[..., Daemon]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which takes root")


def _flat() -> bytes:
    target = io.BytesIO()
    Image.fromarray(np.full((300, 400, 3), 178, np.uint8)).save(target, "JPEG")
    return target.getvalue()


def fill(ballast: Path) -> None:
    """Takes every byte that is left on a small file system."""
    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(handle, bytes(4096)):
            pass
    with contextlib.suppress(OSError):
        os.close(handle)


def _row(one: Daemon, name: str) -> dict[str, object]:
    found = one.row(name)
    assert found is not None, one.rows()
    return found


UNREADABLE = {
    "empty.jpg": b"",
    "truncated.jpg": encoded("astronaut")[:9000],
    "text.jpg": b"this is not a photo at all\n" * 50,
}


def test_unreadable_files_fail_by_name_and_stay(corner: Daemon) -> None:
    one = corner
    for name, content in UNREADABLE.items():
        (one.inbox / name).write_bytes(content)
    one.wait(lambda: all(one.state_of(name) == "failed" for name in UNREADABLE), "three failures", 60)
    for name, content in UNREADABLE.items():
        row = _row(one, name)
        assert row["reason"] == "unreadable"
        assert len(str(row["detail"])) > 20
        assert (one.inbox / name).read_bytes() == content
    assert one.outputs() == []
    listed = one.cli("failures").stdout
    assert all(name in listed for name in UNREADABLE)
    # It runs again whenever it changes.
    (one.inbox / "truncated.jpg").write_bytes(small())
    one.wait(lambda: one.outputs() == ["truncated.png"], "the repaired photo")


def test_content_decides_and_not_the_extension(corner: Daemon) -> None:
    one = corner
    (one.inbox / "a.png").write_bytes(small())
    one.wait(lambda: one.outputs() == ["a.png"], "the cutout")


def test_too_many_pixels_and_too_many_bytes_name_the_setting(daemon: Make) -> None:
    one = daemon(tables="[limits]\nmax_megapixels = 0.1\nmax_bytes = '60KB'").start()
    (one.inbox / "pixels.jpg").write_bytes(encoded("astronaut", size=(400, 400), quality=30))
    (one.inbox / "bytes.png").write_bytes(encoded("astronaut", "PNG", size=(300, 300)))
    one.wait(lambda: one.state_of("pixels.jpg") == one.state_of("bytes.png") == "failed", "two failures")
    for name, setting in (("pixels.jpg", "max_megapixels"), ("bytes.png", "max_bytes")):
        row = _row(one, name)
        assert row["reason"] == "too-large"
        assert setting in str(row["detail"])
        assert (one.inbox / name).exists()
    one.stop()


def test_a_raw_without_its_decoder_says_what_to_install(daemon: Make) -> None:
    one = daemon()
    blocker = one.root / "blocked"
    blocker.mkdir()
    (blocker / "rawpy.py").write_text("raise ImportError('not installed')\n")
    one.environment["PYTHONPATH"] = str(blocker)
    one.start()
    (one.inbox / "a.dng").write_bytes(_tiny_raw())
    one.wait(lambda: one.state_of("a.dng") == "failed", "the failure", 60)
    row = _row(one, "a.dng")
    assert row["reason"] == "needs-decoder"
    assert "-m pip install rawpy" in str(row["detail"])
    one.stop()


def _tiny_raw() -> bytes:
    """The beginning of a DNG: a TIFF whose first folder has the DNG version tag."""
    entries = [(0x0106, 3, 1, 32803), (0xC612, 1, 4, 0x00000401)]
    body = b"".join(
        tag.to_bytes(2, "little")
        + kind.to_bytes(2, "little")
        + count.to_bytes(4, "little")
        + value.to_bytes(4, "little")
        for tag, kind, count, value in entries
    )
    return b"II*\0\x08\0\0\0" + len(entries).to_bytes(2, "little") + body + bytes(4) + bytes(4000)


def test_what_is_no_photo_is_skipped_unopened(corner: Daemon) -> None:
    one = corner
    names = ("film.mp4", "paper.pdf", "notes.txt")
    for name in names:
        (one.inbox / name).write_bytes(small())
    one.wait(lambda: all(one.state_of(name) == "skipped" for name in names), "three skips")
    assert {_row(one, name)["reason"] for name in names} == {"not-a-photo"}
    assert one.status()["skipped"]["not-a-photo"] >= 3  # of others' photos too
    assert one.outputs() == []


def test_no_subject_is_an_answer(corner: Daemon) -> None:
    one = corner
    (one.inbox / "wall.jpg").write_bytes(_flat())
    one.wait(lambda: one.state_of("wall.jpg") == "failed", "the answer")
    row = _row(one, "wall.jpg")
    assert row["reason"] == "no-subject"
    assert "no_subject" in str(row["detail"])
    assert "--keep x,y" in one.cli("failures").stdout
    assert one.outputs() == []

    photo = str(one.inbox / "wall.jpg")
    assert one.cli("redo", photo, "--keep", "50%,50%").returncode == 0
    one.wait(lambda: "sees nothing at 50%,50%" in str(_row(one, "wall.jpg")["detail"]), "an answer to that")
    assert one.state_of("wall.jpg") == "failed"
    mask = one.root / "wall-mask.png"
    grey = Image.new("L", (400, 300))
    grey.paste(255, (100, 75, 300, 225))
    grey.save(mask)
    answer = one.cli("redo", photo, "--mask", str(mask))
    assert answer.returncode == 0, answer.stderr
    one.wait(lambda: one.outputs() == ["wall.png"] and one.settled(), "the subject that the mask names")
    with Image.open(one.outbox / "wall.png") as image:
        alpha = image.getchannel("A")
        assert alpha.getpixel((alpha.width // 2, alpha.height // 2)) == 255
        assert alpha.getpixel((2, 2)) == 0
    assert len(list((one.state / "masks").iterdir())) == 1, "a later redo is made with it too"


@pytest.mark.thorough  # tests/unit/models/test_cutout.py passes photos on as well
def test_no_subject_may_be_passed_on(daemon: Make) -> None:
    one = daemon(config='[inbox.matte]\nno_subject = "pass"').start()
    (one.inbox / "wall.jpg").write_bytes(_flat())
    one.wait(lambda: one.outputs() == ["wall.png"], "the photo passed on")
    one.stop()


def test_links_and_pipes_are_skipped(daemon: Make) -> None:
    one = daemon()
    one.inbox.mkdir(parents=True)
    outside = one.root / "outside.jpg"
    outside.write_bytes(small())
    (one.inbox / "link.jpg").symlink_to(outside)
    (one.inbox / "loop").symlink_to(one.inbox)
    os.mkfifo(one.inbox / "pipe.jpg")
    one.start()
    one.wait(lambda: one.state_of("link.jpg") == one.state_of("pipe.jpg") == "skipped", "two skips")
    assert _row(one, "link.jpg")["reason"] == "not-a-regular-file"
    assert one.outputs() == []
    one.stop()


def test_junk_is_never_touched(corner: Daemon) -> None:
    one = corner
    for name in (".DS_Store", "._a.jpg", "a.jpg.part", "~a.jpg", "Thumbs.db", "a.xmp"):
        (one.inbox / name).write_bytes(small())
    (one.inbox / "CaptureOne").mkdir()
    (one.inbox / "CaptureOne" / "cache.jpg").write_bytes(small())
    (one.inbox / "z.jpg").write_bytes(small())
    one.wait(lambda: one.outputs() == ["z.png"] and one.settled(), "the one photo")
    assert [row["path"] for row in one.rows()] == [b"z.jpg"]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_no_permission_is_named_and_mended(daemon: Make) -> None:
    # Root reads everything; without these two capabilities it is refused like anybody else.
    wrapper = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    one = daemon(wrapper=wrapper)
    one.inbox.mkdir(parents=True)
    photo = one.inbox / "locked.jpg"
    photo.write_bytes(small())
    photo.chmod(0)
    one.start()
    one.wait(lambda: one.state_of("locked.jpg") == "failed", "the failure", 60)
    row = _row(one, "locked.jpg")
    assert row["reason"] == "no-permission"
    assert "permission" in str(row["detail"]).lower() or "may not" in str(row["detail"])
    photo.chmod(0o644)
    assert one.cli("rescan").returncode == 0
    one.wait(lambda: one.outputs() == ["locked.png"], "the cutout after chmod")
    one.stop()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.parametrize("shut", [("inbox",), pytest.param(("folder", "photo"), marks=pytest.mark.thorough)])
def test_what_was_shut_for_a_while_is_done_once_it_is_open(daemon: Make, shut: tuple[str, ...]) -> None:
    """Seen from the photo nothing has changed by then: same bytes, times and permissions as when it was noticed."""
    wrapper = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    one = daemon(wrapper=wrapper).start()
    one.cli("pause")
    closed: dict[Path, int] = {}
    for what in shut:
        photo = one.inbox / what / "a.jpg"
        photo.parent.mkdir()
        photo.write_bytes(small())
        place = {"inbox": one.inbox, "folder": photo.parent, "photo": photo}[what]
        closed[place] = place.stat().st_mode & 0o777
    one.wait(lambda: len(one.rows("state = 'pending' AND settled = 1")) == len(shut), "the rows")
    for place in closed:
        place.chmod(0)
    one.cli("resume")
    failed = "state = 'failed' AND reason = 'no-permission'"
    one.wait(lambda: len(one.rows(failed)) == len(shut), "the failures", 60)
    for place, mode in closed.items():
        place.chmod(mode)
    assert one.cli("rescan").returncode == 0
    one.wait(lambda: one.outputs() == [f"{what}/a.png" for what in shut], "the cutouts")
    one.stop()


def test_vanished_and_back_again(corner: Daemon) -> None:
    one = corner
    one.cli("pause")
    photo = one.inbox / "a.jpg"
    photo.write_bytes(small())
    one.wait(lambda: one.state_of("a.jpg") == "pending", "the row")
    photo.unlink()
    one.cli("resume")
    one.wait(lambda: one.state_of("a.jpg") == "skipped", "the skip")
    assert _row(one, "a.jpg")["reason"] == "vanished"
    photo.write_bytes(small())
    one.wait(lambda: one.outputs() == ["a.png"], "the cutout")


def test_an_outbox_inside_an_inbox_is_refused(daemon: Make) -> None:
    one = daemon(tables='[[inbox]]\npath = "/tmp/cutoutd-other"\noutbox = "/tmp/cutoutd-other/out"')
    one.inbox.mkdir(parents=True)
    config = one.write_config()
    answer = one.cli("run", "-c", str(config))
    assert answer.returncode == 4
    assert "cutoutd.toml:" in answer.stderr
    assert "outbox" in answer.stderr


def test_a_missing_inbox_waits_while_the_others_go_on(daemon: Make, tmp_path: Path) -> None:
    other = tmp_path / "other"
    one = daemon(tables=f'[[inbox]]\npath = "{other / "in"}"\noutbox = "{other / "out"}"')
    one.start()
    shutil.rmtree(other / "in")
    one.wait(lambda: any(i["trouble"] for i in one.live()["inboxes"]), "the missing inbox to be noticed")
    (one.inbox / "a.jpg").write_bytes(small())
    one.wait(lambda: one.outputs() == ["a.png"], "the other inbox to go on")
    (other / "in").mkdir()
    (other / "in" / "b.jpg").write_bytes(small())
    one.wait((other / "out" / "b.png").exists, "the inbox to be taken up again", 90)
    one.stop()


@root_only
def test_a_full_outbox_pauses_and_goes_on_by_itself(daemon: Make) -> None:
    one = daemon()
    one.outbox.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(one.outbox)], check=True)
    try:
        one.start()
        ballast = one.outbox / "ballast"
        ballast.write_bytes(bytes(2_900_000))
        (one.inbox / "a.jpg").write_bytes(encoded("astronaut"))  # whose cutout is too large for what is left
        one.wait(lambda: one.live()["inboxes"][0]["trouble"], "the pause")
        assert one.state_of("a.jpg") in ("pending", "running")
        assert one.rows("state = 'failed'") == []
        ballast.unlink()
        one.wait(lambda: one.outputs() == ["a.png"], "the cutout", 90)
        assert one.stop() == 0
        assert one.leftovers() == []
    finally:
        one.kill()
        subprocess.run(["umount", "-l", str(one.outbox)], check=True)


@root_only
def test_a_full_ledger_disk_pauses_and_goes_on_by_itself(daemon: Make) -> None:
    one = daemon()
    one.state.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(one.state)], check=True)
    try:
        one.start()
        ballast = one.state / "ballast"
        fill(ballast)
        for number in range(30):
            (one.inbox / f"p{number}.jpg").write_bytes(encoded("rocket", size=(120, 80)))
        one.wait(lambda: one.said("cannot be written"), "the daemon to say so", 60)
        ballast.unlink()
        one.wait(lambda: len(one.outputs()) == 30 and one.settled(), "all cutouts", 110)
        assert one.stop() == 0
    finally:
        one.kill()
        subprocess.run(["umount", "-l", str(one.state)], check=True)


def test_an_outbox_that_goes_and_comes_back(daemon: Make) -> None:
    one = daemon().start()
    one.outbox.rename(one.root / "away")
    (one.inbox / "a.jpg").write_bytes(small())
    one.wait(lambda: one.live()["inboxes"][0]["trouble"], "the pause")
    assert not one.outbox.exists()
    (one.root / "away").rename(one.outbox)
    one.wait(lambda: one.outputs() == ["a.png"], "the cutout", 90)
    one.stop()


def test_too_slow_twice_is_a_failure_that_names_the_setting(daemon: Make) -> None:
    one = daemon(tables='[limits]\ntime_per_photo = "5ms"').start()
    (one.inbox / "a.jpg").write_bytes(encoded("astronaut", size=(1000, 1000)))
    one.wait(lambda: one.state_of("a.jpg") == "failed", "the failure", 110)
    row = _row(one, "a.jpg")
    assert (row["reason"], row["attempts"]) == ("too-slow", 2)
    assert "time_per_photo" in str(row["detail"])
    one.stop()


def _plain_png(width: int, height: int) -> bytes:
    """One colour with alpha, without 3 s of packing: its rows are packed by hundreds, and all hundreds are alike."""
    rows = (b"\0" + bytes((200, 60, 40, 255)) * width) * 100
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    hundred = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)  # after which nothing looks back
    check = 1
    for _ in range(height // 100):
        check = zlib.adler32(rows, check)
    packed = b"\x78\x01" + hundred * (height // 100) + packer.flush() + check.to_bytes(4, "big")
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in parts
    )


def test_out_of_memory_twice_is_a_failure_that_names_the_setting(daemon: Make) -> None:
    one = daemon(tables='[limits]\nworker_memory = "800MB"').start()
    # Unpacked it takes 528 MB, and as much again without its alpha: more than a worker may use.
    (one.inbox / "huge.png").write_bytes(_plain_png(12000, 11000))
    (one.inbox / "small.jpg").write_bytes(small())
    one.wait(lambda: one.state_of("huge.png") == "failed", "the failure", 110)
    row = _row(one, "huge.png")
    assert row["reason"] == "out-of-memory"
    assert "worker_memory" in str(row["detail"])
    one.wait(lambda: one.outputs() == ["small.png"], "the rest to go on")
    one.stop()


def test_a_photo_whose_workers_die_fails_and_blocks_nobody(daemon: Make) -> None:
    one = daemon(tables="[engine]\nworkers = 1").start()
    (one.inbox / "a.jpg").write_bytes(encoded("astronaut", size=(3000, 3000)))

    def kill_its_worker() -> bool:
        if one.state_of("a.jpg") == "running":
            for pid in one.workers():
                os.kill(pid, signal.SIGSEGV)
        return one.state_of("a.jpg") == "failed"

    one.wait(kill_its_worker, "the failure", 110)
    assert _row(one, "a.jpg")["reason"] in ("crashed", "out-of-memory")
    (one.inbox / "b.jpg").write_bytes(small())
    one.wait(lambda: one.outputs() == ["b.png"], "the next photo", 60)
    one.stop()
