from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.daemon.files.writers import Writers
from cutoutd.daemon.watching.filters import NOTES_BESIDE, Kind, Rules
from cutoutd.daemon.watching.look import LISTING_GOOD_FOR_S, Looks


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fs() -> FaultyFileSystem:
    return FaultyFileSystem()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def looks(tmp_path: Path, clock: Clock, fs: FaultyFileSystem) -> Looks:
    return Looks(tmp_path, Rules(exclude=("*.png",)), clock, fs)


def test_a_look_shows_the_file_as_it_is_and_whether_it_is_there(tmp_path: Path, looks: Looks) -> None:
    (tmp_path / "a.jpg").write_bytes(b"data")
    here, gone = looks.take([b"a.jpg", b"b.jpg"])
    assert here.found is not None
    assert (here.found.kind, here.found.size, here.begun, here.at) == (Kind.PHOTO, 4, 1000.0, 1000.0)
    assert (gone.path, gone.found, gone.failed, gone.mistake) == (b"b.jpg", None, False, None)


def test_who_writes_is_asked_only_of_photos_and_only_where_the_kernel_knows(
    tmp_path: Path, looks: Looks
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"data")
    (tmp_path / "notes.txt").write_bytes(b"data")
    assert [one.writing for one in looks.take([b"a.jpg"])] == [Writers.UNKNOWN]
    looks.leases = os.stat(tmp_path).st_dev
    with (tmp_path / "a.jpg").open("ab"), (tmp_path / "notes.txt").open("ab"):
        written = [one.writing for one in looks.take([b"a.jpg", b"notes.txt"])]
    assert written == [Writers.SOMEBODY, Writers.UNKNOWN]
    assert [one.writing for one in looks.take([b"a.jpg"])] == [Writers.NOBODY]


@pytest.mark.parametrize("behind", NOTES_BESIDE)
def test_a_photo_beside_which_a_download_has_its_notes_is_being_written(
    tmp_path: Path, looks: Looks, behind: str
) -> None:
    looks.leases = os.stat(tmp_path).st_dev
    (tmp_path / "a.jpg").write_bytes(b"data")
    notes = tmp_path / f"a.jpg{behind}"
    notes.touch()
    assert [one.writing for one in looks.take([b"a.jpg"])] == [Writers.SOMEBODY]
    notes.unlink()
    assert [one.writing for one in looks.take([b"a.jpg"])] == [Writers.NOBODY]
    longest = b"b" * 251 + b".jpg"
    (tmp_path / os.fsdecode(longest)).write_bytes(b"data")
    assert [one.writing for one in looks.take([longest])] == [Writers.NOBODY], "nothing can lie beside it"


def test_what_one_file_brings_out_leaves_the_others_their_looks(
    tmp_path: Path, looks: Looks, fs: FaultyFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"data")
    fs.faults += [Fault("lstat", errno.EIO, path=b"a.jpg")]
    real = fs.lstat

    def odd(path: bytes) -> os.stat_result:
        if path.endswith(b"b.jpg"):
            raise ValueError("odd")
        return real(path)

    monkeypatch.setattr(fs, "lstat", odd)
    first, second, third = looks.take([b"a.jpg", b"b.jpg", b"c.jpg"])
    assert (first.failed, first.found) == (True, None)
    assert (str(second.mistake), second.found, second.failed) == ("odd", None, False)
    assert third.found is not None


def test_a_raw_has_its_jpeg_and_the_names_in_its_folder_are_asked_for_now_and_then(
    tmp_path: Path, looks: Looks, fs: FaultyFileSystem, clock: Clock
) -> None:
    for name in ("a.NEF", "b.NEF", "b.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"data")
    assert [one.partner for one in looks.take([b"a.NEF", b"b.NEF", b"a.jpg"])] == [True, False, False]
    (tmp_path / "b.jpg").write_bytes(b"data")
    clock.now += LISTING_GOOD_FOR_S / 2
    assert [one.partner for one in looks.take([b"b.NEF"])] == [False]
    assert fs.counts()["scandir"] == 1
    clock.now += LISTING_GOOD_FOR_S / 2
    assert [one.partner for one in looks.take([b"b.NEF"])] == [True]
    assert fs.counts()["scandir"] == 2
