"""The desktop's trash: the original can be found and restored from there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cutoutd.daemon import trash
from cutoutd.daemon.filesystem import RealFileSystem

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


def test_another_disk_has_its_own_trash(tmp_path: Path) -> None:
    other = Path(os.sep, "dev", "shm")  # memory-backed, so never the disk that tests run on
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    found = trash.trash_folder(os.fsencode(other / "a.jpg"), {"XDG_DATA_HOME": str(tmp_path / "data")})
    assert found in (
        os.fsencode(other / f".Trash-{os.getuid()}"),
        os.fsencode(other / ".Trash" / str(os.getuid())),
    )
