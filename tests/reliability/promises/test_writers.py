"""Rest is not completion: writers that stall, resume, re-send and reuse names, against the real daemon.

Each story ends with one right cutout or one named failure, and with every original somewhere, byte for byte.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="leases are Linux's"),
]

Make = Callable[..., Daemon]
# Longer than a file rests before it counts as complete without a close (2 s), and than a second look at it (2 s more).
STALL_S = 7.0


# Across file systems after-care copies, which tests/unit/daemon/originals shows without a daemon.
@pytest.fixture(params=["same", pytest.param("other", marks=pytest.mark.thorough)])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder for originals on the same file system, and one on another."""
    if request.param == "same":
        yield tmp_path / "elsewhere"
        return
    memory = Path("/dev/shm")  # noqa: S108 - emptied below
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    folder = Path(tempfile.mkdtemp(prefix="originals-", dir=memory))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Daemon] = []

    def one(config: str) -> Daemon:
        made.append(Daemon(tmp_path / "one", config=config))
        made[-1].root.mkdir(parents=True)
        return made[-1].start()

    yield one
    for daemon in made:
        daemon.kill()


def _lying(*folders: Path) -> list[bytes]:
    return [
        path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".txt"
    ]


def _write_in_two(path: Path, data: bytes, *, reserved: bool, reopened: bool = False) -> None:
    """Half of a file, a pause with the file open, and the rest."""
    file = path.open("wb", buffering=0)
    if reserved:
        file.truncate(len(data))
    if reopened:
        file.close()
        file = path.open("r+b", buffering=0)
    file.write(data[: len(data) // 2])
    time.sleep(STALL_S)
    file.write(data[len(data) // 2 :])
    file.close()


def _all_at_once(*writes: Callable[[], None]) -> None:
    """Several writers who pause, side by side."""
    writers = [threading.Thread(target=write) for write in writes]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


def test_a_stalled_upload_is_cut_out_whole_and_archived_whole(make: Make, elsewhere: Path) -> None:
    data = {
        name: encoded("astronaut", "TIFF", size=(800, 600)) + name.encode()
        for name in ("grows", "reserved", "reopened")
    }
    one = make(
        f'[inbox.matte]\nno_subject = "pass"\n[inbox.after]\naction = "archive"\narchive = "{elsewhere}"'
    )
    _all_at_once(
        *(
            partial(
                _write_in_two,
                one.inbox / f"{how}.tif",
                content,
                reserved=how != "grows",
                reopened=how == "reopened",
            )
            for how, content in data.items()
        )
    )
    one.wait(lambda: len(list(elsewhere.glob("*.tif"))) == len(data), "the archive", 60)
    one.wait(lambda: not one.rows("aftercare IN ('owed', 'hidden')"), "the end of after-care")
    for how in data:
        *earlier, last = (row for row in one.rows() if row["path"] == f"{how}.tif".encode())
        assert (last["state"], last["reason"]) == ("done", "")
        # The reserved space was closed once, and so may be read before it is opened again; it is never delivered.
        assert all((row["state"], row["digest"]) == ("superseded", None) for row in earlier)
        assert not earlier or how == "reopened"
    assert (one.outputs(), one.leftovers()) == ([f"{how}.png" for how in sorted(data)], [])
    assert sorted(_lying(one.inbox, elsewhere)) == sorted(data.values())


def test_a_stalled_upload_is_no_failed_photo(make: Make, elsewhere: Path) -> None:
    data = {name: encoded("astronaut", size=(800, 600)) + name.encode() for name in ("grows", "reserved")}
    one = make(f'[inbox.after]\nfailed = "{elsewhere}"')
    _all_at_once(
        *(
            partial(_write_in_two, one.inbox / f"{how}.jpg", content, reserved=how == "reserved")
            for how, content in data.items()
        )
    )
    one.wait(lambda: one.outputs() == ["grows.png", "reserved.png"] and one.settled(), "the cutouts", 60)
    assert [(row["state"], row["reason"]) for row in one.rows()] == [("done", "")] * 2
    assert sorted(_lying(one.inbox, elsewhere)) == sorted(data.values())


def test_an_upload_that_broke_off_is_resumed_where_it_lies(make: Make, elsewhere: Path) -> None:
    """As a server does that closes the file with the connection; what was moved away would be lost to its rest."""
    kinds = {"a.jpg": "JPEG", "b.png": "PNG", "c.tif": "TIFF", "d.webp": "WEBP"}
    data = {name: encoded("astronaut", kind, size=(400, 300)) for name, kind in kinds.items()}
    one = make(f'[inbox.after]\nfailed = "{elsewhere}"')
    for name, content in data.items():
        (one.inbox / name).write_bytes(content[: len(content) // 2])
    (one.inbox / "e.jpg").write_bytes(bytes(range(128, 256)) * 99)
    one.wait(lambda: all(one.state_of(name) == "failed" for name in data), "failures", 60)
    one.wait((elsewhere / "e.jpg").exists, "what begins like no photo to be moved", 60)
    for name, content in data.items():
        with (one.inbox / name).open("ab") as file:
            file.write(content[len(content) // 2 :])
    one.wait(lambda: len(one.outputs()) == len(data) and one.settled(), "the cutouts", 60)
    assert sorted(_lying(one.inbox)) == sorted(data.values())


def test_a_download_that_rests_beside_its_notes_is_neither_taken_nor_failed(
    make: Make, elsewhere: Path
) -> None:
    photo = encoded("astronaut", size=(800, 600))
    one = make(f'[inbox.after]\nfailed = "{elsewhere}"')
    notes, arriving = one.inbox / "a.jpg.aria2", one.inbox / "a.jpg"
    notes.touch()
    arriving.write_bytes(photo[: len(photo) // 2] + bytes(len(photo) - len(photo) // 2))
    # The download was stopped: nobody has either file open.
    one.wait(lambda: one.live()["inboxes"][0]["being_written"] == 1, "status", 60)
    time.sleep(STALL_S)  # and so it stays
    assert one.live()["inboxes"][0]["being_written"] == 1
    assert one.outputs() == []
    assert not one.rows("state = 'failed'")
    arriving.write_bytes(photo)
    notes.unlink()
    one.wait(lambda: one.outputs() == ["a.png"] and one.settled(), "the cutout", 60)
    assert _lying(one.inbox, elsewhere) == [photo]


def test_a_file_that_is_held_open_is_said_in_status(make: Make) -> None:
    one = make("")
    with (one.inbox / "a.jpg").open("wb") as file:
        file.write(encoded("astronaut", size=(200, 150)))
        file.flush()
        one.wait(lambda: one.live()["inboxes"][0]["being_written"] == 1, "status", 60)
        assert one.outputs() == []
    one.wait(lambda: one.outputs() == ["a.png"], "the cutout", 60)


def test_a_photo_sent_again_while_its_broken_copy_is_moved_is_cut_out(make: Make, elsewhere: Path) -> None:
    good, broken = encoded("astronaut", size=(400, 300)), os.urandom(1 << 20) * 60
    one = make(f'[inbox.after]\nfailed = "{elsewhere}"')
    (one.root / "broken").write_bytes(broken)
    (one.root / "good").write_bytes(good)
    (one.root / "broken").rename(one.inbox / "a.jpg")

    def under_way() -> bool:
        # Its name is free: before that, the frame sent again would itself replace the broken copy.
        moving = one.rows("aftercare IN ('hidden', 'done')")
        return bool(moving) and not (one.inbox / "a.jpg").exists()

    one.wait(under_way, "the move", 90)
    (one.root / "good").rename(one.inbox / "a.jpg")
    one.wait(lambda: one.state_of("a.jpg") == "done", "the cutout", 60)
    one.wait(lambda: not one.rows("aftercare IN ('owed', 'hidden')"), "the end of after-care")
    assert one.outputs() == ["a.png"]
    assert sorted(_lying(one.inbox, elsewhere), key=len) == [good, broken]


def test_other_content_of_equal_size_and_time_is_a_new_photo(make: Make) -> None:
    one = make("")
    first, second = (encoded(name, "BMP", size=(320, 240)) for name in ("astronaut", "coffee"))
    assert len(first) == len(second)
    path = one.inbox / "a.bmp"

    def put(data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.utime(file.fileno(), (1_700_000_000, 1_700_000_000))

    put(first)
    one.wait(lambda: one.state_of("a.bmp") == "done", "the first cutout", 60)
    before = (one.outbox / "a.png").read_bytes()
    put(second)
    one.wait(lambda: len(one.rows()) == 2 and one.settled(), "the second cutout", 60)
    assert (one.outbox / "a.png").read_bytes() != before
    assert one.outputs() == ["a.png"]


def test_a_restored_ledger_finds_an_original_that_it_does_not_know_to_be_hidden(make: Make) -> None:
    one = make("")
    one.stop()
    data = encoded("astronaut", size=(200, 150))
    instance = next(path for path in one.state.iterdir() if path.name == "instance").read_text().strip()
    (one.inbox / "day").mkdir()
    (one.inbox / "day" / f".cutoutd-{instance}-7.original.a.jpg").write_bytes(data)
    one.start()
    one.wait(lambda: one.state_of("day/a.jpg") == "done", "the cutout", 60)
    assert (one.inbox / "day" / "a.jpg").read_bytes() == data
    assert (one.outputs(), one.leftovers()) == (["day/a.png"], [])
