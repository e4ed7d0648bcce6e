"""The desktop's trash: the original can be found and restored from there."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.digests import digest_of

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.ledger.records import Facts
from cutoutd.daemon.originals import move, trash

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no FreeDesktop trash")


def target_of(original: bytes) -> bytes:
    found = trash.find_trash(os.path.dirname(original))
    return trash.trash_target(original, found, RealFileSystem(os.path.dirname(original), found.root))


def test_the_home_trash_notes_where_the_photo_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    original = os.fsencode(tmp_path / "Käse ü.jpg")
    Path(os.fsdecode(original)).write_bytes(b"photo")
    target = target_of(original)
    assert target == os.fsencode(tmp_path / "data" / "Trash" / "files" / "Käse ü.jpg")
    trash.write_trash_info(original, target, RealFileSystem(b"/"))
    info = (tmp_path / "data" / "Trash" / "info" / "Käse ü.jpg.trashinfo").read_text()
    assert info.startswith("[Trash Info]\nPath=/")
    assert "K%C3%A4se%20%C3%BC.jpg\n" in info
    assert "DeletionDate=2" in info


@pytest.mark.parametrize("stem", ["n" * 251, "ü" * 125])
def test_a_name_as_long_as_names_may_be_leaves_room_for_the_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stem: str
) -> None:
    """Such originals were tried for ever, and held up the after-care of others."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    original = os.fsencode(tmp_path / f"{stem}.jpg")
    target = target_of(original)
    trash.write_trash_info(original, target, RealFileSystem(b"/"))
    (note,) = (tmp_path / "data" / "Trash" / "info").iterdir()
    assert note.name == os.path.basename(os.fsdecode(target)) + ".trashinfo"
    assert os.path.basename(target).endswith(b".jpg")
    assert urllib.parse.quote(original) in note.read_text()


def test_a_namesake_in_the_trash_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    original = os.fsencode(tmp_path / "a.jpg")
    first = target_of(original)
    Path(os.fsdecode(first)).write_bytes(b"last week's")
    assert target_of(original).endswith(b"/a (2).jpg")
    os.unlink(first)
    # Only the note is left: restoring needs the pair.
    trash.write_trash_info(original, first, RealFileSystem(b"/"))
    assert target_of(original).endswith(b"/a (2).jpg")


def test_a_place_that_a_crash_left_with_our_note_alone_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    fs, original, other = (
        RealFileSystem(b"/"),
        os.fsencode(tmp_path / "a.jpg"),
        os.fsencode(tmp_path / "b" / "a.jpg"),
    )
    planned = target_of(original)
    assert trash.still_planned(original, planned, fs)
    trash.write_trash_info(original, planned, fs)
    assert trash.still_planned(original, planned, fs)
    # That is the note of another file of the name, on its way here.
    assert not trash.still_planned(other, planned, fs)
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
    fs, original, hidden = RealFileSystem(b"/"), tmp_path / "a.jpg", tmp_path / ".hidden"
    hidden.write_bytes(b"a photo")
    planned = target_of(os.fsencode(original))
    if noted:
        trash.write_trash_info(os.fsencode(original), planned, fs)
    one = move.Original(
        os.fsencode(original), os.fsencode(hidden), b"a.jpg", Facts(7, 1, 1), digest_of(b"a photo")
    )
    ready = move.hide(one, folder=trash.find_trash(os.fsencode(tmp_path)), planned=planned, fs=fs)
    assert ready == move.Ready(move.Step.READY, planned)


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    memory = Path(os.sep, "dev", "shm")  # memory-backed, so never the disk that tests run on
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="trash-", dir=memory))
    yield folder
    shutil.rmtree(folder)


def test_another_disk_has_its_own_trash(tmp_path: Path, other_disk: Path) -> None:
    found = trash.find_trash(os.fsencode(other_disk), {"XDG_DATA_HOME": str(tmp_path / "data")})
    top = os.fsencode(other_disk.parent)
    assert found == trash.Trash(top, top + f"/.Trash-{os.getuid()}".encode())


@pytest.mark.parametrize("shared", ["sticky", "open to all", "a link", "none"])
def test_the_trash_of_all_users_counts_when_nobody_can_swap_folders_in_it(
    tmp_path: Path, shared: str
) -> None:
    top = os.fsencode(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    uid = str(os.getuid())
    if shared == "a link":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere").chmod(0o1777)
        (tmp_path / "disk" / ".Trash").symlink_to(tmp_path / "elsewhere")
    elif shared != "none":
        (tmp_path / "disk" / ".Trash").mkdir()
        (tmp_path / "disk" / ".Trash").chmod(0o1777 if shared == "sticky" else 0o777)
    own = trash.Trash(top, os.path.join(top, f".Trash-{uid}".encode()))
    target = trash.trash_target(b"/in/a.jpg", own, RealFileSystem(top))
    expected = f".Trash/{uid}" if shared == "sticky" else f".Trash-{uid}"
    assert os.fsdecode(target) == str(tmp_path / "disk" / expected / "files" / "a.jpg")
    assert (tmp_path / "disk" / expected / "info").stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_our_trash_is_refused(tmp_path: Path) -> None:
    top = os.fsencode(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / ".Trash-7").symlink_to("theirs")
    with pytest.raises(UnsafePath):
        trash.trash_target(b"/in/a.jpg", trash.Trash(top, top + b"/.Trash-7"), RealFileSystem(top))
    assert list((tmp_path / "theirs").iterdir()) == []
