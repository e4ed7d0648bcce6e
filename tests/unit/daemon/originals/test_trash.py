"""The desktop's trash: the original can be found and restored from there."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from cutoutd.daemon.files.digest import digest_of
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.ledger.records import Facts
from cutoutd.daemon.originals import move, trash

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no FreeDesktop trash")


def test_the_home_trash_notes_where_the_photo_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    original = os.fsencode(tmp_path / "Käse ü.jpg")
    Path(os.fsdecode(original)).write_bytes(b"photo")
    target = trash.trash_target(original, RealFileSystem())
    assert target == os.fsencode(tmp_path / "data" / "Trash" / "files" / "Käse ü.jpg")
    trash.write_trash_info(original, target, RealFileSystem())
    info = (tmp_path / "data" / "Trash" / "info" / "Käse ü.jpg.trashinfo").read_text()
    assert info.startswith("[Trash Info]\nPath=/")
    assert "K%C3%A4se%20%C3%BC.jpg\n" in info
    assert "DeletionDate=2" in info


def test_a_namesake_in_the_trash_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    original = os.fsencode(tmp_path / "a.jpg")
    first = trash.trash_target(original, RealFileSystem())
    Path(os.fsdecode(first)).write_bytes(b"last week's")
    assert trash.trash_target(original, RealFileSystem()).endswith(b"/a (2).jpg")
    os.unlink(first)
    trash.write_trash_info(
        original, first, RealFileSystem()
    )  # only the note is left: restoring needs the pair
    assert trash.trash_target(original, RealFileSystem()).endswith(b"/a (2).jpg")


def test_a_place_that_a_crash_left_with_our_note_alone_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    fs, original, other = (
        RealFileSystem(),
        os.fsencode(tmp_path / "a.jpg"),
        os.fsencode(tmp_path / "b" / "a.jpg"),
    )
    planned = trash.trash_target(original, fs)
    assert trash.still_planned(original, planned, fs)
    trash.write_trash_info(original, planned, fs)
    assert trash.still_planned(original, planned, fs)
    assert not trash.still_planned(
        other, planned, fs
    )  # the note of another file of that name, on its way here
    Path(os.fsdecode(planned)).write_bytes(b"a photo")
    assert not trash.still_planned(original, planned, fs)
    shutil.rmtree(tmp_path / "data")  # the trash was emptied by hand: its folders are to be made anew
    assert not trash.still_planned(original, planned, fs)


@pytest.mark.parametrize("noted", [False, True])
def test_after_a_crash_the_original_goes_where_it_was_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    """A note without its file made the next life choose another name, and stayed behind."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    fs, original, hidden = RealFileSystem(), tmp_path / "a.jpg", tmp_path / ".hidden"
    hidden.write_bytes(b"a photo")
    planned = trash.trash_target(os.fsencode(original), fs)
    if noted:
        trash.write_trash_info(os.fsencode(original), planned, fs)
    one = move.Original(
        os.fsencode(original), os.fsencode(hidden), b"a.jpg", Facts(7, 1, 1), digest_of(b"a photo")
    )
    ready = move.hide(one, folder=None, planned=planned)
    assert ready == move.Ready(move.Step.READY, planned)


def test_another_disk_has_its_own_trash(tmp_path: Path) -> None:
    other = Path(os.sep, "dev", "shm")  # memory-backed, so never the disk that tests run on
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    found = trash.trash_folder(os.fsencode(other / "a.jpg"), {"XDG_DATA_HOME": str(tmp_path / "data")})
    assert found in (
        os.fsencode(other / f".Trash-{os.getuid()}"),
        os.fsencode(other / ".Trash" / str(os.getuid())),
    )
