"""Originals on their way: whatever call fails, each is either where it was or where it was going, byte for byte."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.daemon.files.digest import digest_of
from cutoutd.daemon.files.filesystem import FileSystem, RealFileSystem
from cutoutd.daemon.originals import move
from cutoutd.daemon.originals.move import Step

PHOTO = b"a photo " * 500
DIGEST = digest_of(PHOTO)
REAL = RealFileSystem()


class Inbox:
    def __init__(self, root: Path) -> None:
        self.root, self.inbox, self.archive = root, root / "in", root / "archive"
        (self.inbox / "day").mkdir(parents=True)
        self.archive.mkdir()
        self.original = os.fsencode(self.inbox / "day" / "a.jpg")
        self.hidden = move.hidden_name(self.original, "ab12", 7)
        (self.inbox / "day" / "a.jpg").write_bytes(PHOTO)

    def hide(self, planned: bytes = b"", fs: FileSystem = REAL, *, digest: str = DIGEST) -> move.Ready:
        return move.hide(
            self.original, self.hidden, digest, archive=os.fsencode(self.archive), relative=b"day/a.jpg",
            planned=planned, fs=fs,
        )  # fmt: skip

    def move(self, target: bytes, fs: FileSystem = REAL) -> bool:
        return move.move(self.original, self.hidden, target, DIGEST, trash=False, fs=fs)

    def copies(self) -> list[str]:
        found = [path for path in self.root.rglob("*") if path.is_file() and path.read_bytes() == PHOTO]
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def test_the_archive_mirrors_the_tree(inbox: Inbox) -> None:
    ready = inbox.hide()
    assert ready == move.Ready(Step.READY, os.fsencode(inbox.archive / "day" / "a.jpg"))
    assert inbox.move(ready.target)
    assert inbox.copies() == ["archive/day/a.jpg"]


def test_an_archived_namesake_is_never_replaced(inbox: Inbox) -> None:
    (inbox.archive / "day").mkdir()
    (inbox.archive / "day" / "a.jpg").write_bytes(b"last week's")
    assert inbox.move(inbox.hide().target)
    assert inbox.copies() == ["archive/day/a (2).jpg"]
    assert (inbox.archive / "day" / "a.jpg").read_bytes() == b"last week's"


def test_a_namesake_that_comes_in_between_is_noticed(inbox: Inbox) -> None:
    target = inbox.hide().target
    Path(os.fsdecode(target)).write_bytes(b"just now")
    assert inbox.move(target) is False
    assert inbox.move(inbox.hide().target)
    assert inbox.copies() == ["archive/day/a (2).jpg"]


def test_a_frame_that_replaced_the_original_gets_its_name_back(inbox: Inbox) -> None:
    Path(os.fsdecode(inbox.original)).write_bytes(b"the next frame")
    assert inbox.hide().step is Step.REPLACED
    assert Path(os.fsdecode(inbox.original)).read_bytes() == b"the next frame"
    assert not os.path.exists(inbox.hidden)


def test_it_takes_a_free_name_when_yet_another_frame_came(inbox: Inbox) -> None:
    Path(os.fsdecode(inbox.hidden)).write_bytes(b"second frame")
    Path(os.fsdecode(inbox.original)).write_bytes(b"third frame")
    assert inbox.hide().step is Step.REPLACED
    assert (inbox.inbox / "day" / "a (2).jpg").read_bytes() == b"second frame"
    assert Path(os.fsdecode(inbox.original)).read_bytes() == b"third frame"


def test_what_somebody_took_away_is_gone(inbox: Inbox) -> None:
    os.unlink(inbox.original)
    assert inbox.hide().step is Step.GONE


def test_what_lies_at_its_planned_place_was_moved(inbox: Inbox) -> None:
    target = inbox.hide().target
    inbox.move(target)
    Path(os.fsdecode(inbox.original)).write_bytes(b"the next frame")
    assert inbox.hide(planned=target) == move.Ready(Step.MOVED, target)
    assert Path(os.fsdecode(inbox.original)).read_bytes() == b"the next frame"


class OtherDisk(RealFileSystem):
    """Renames into the archive cross to another file system."""

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        if (b"/archive/" in source) != (b"/archive/" in target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        super().rename_noreplace(source, target)

    def link(self, source: bytes, target: bytes) -> None:
        if (b"/archive/" in source) != (b"/archive/" in target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        super().link(source, target)


def test_to_another_disk_it_is_copied_compared_and_keeps_its_time(inbox: Inbox) -> None:
    os.utime(inbox.original, (1_000_000_000, 1_000_000_000))
    os.chmod(inbox.original, 0o640)
    fs = OtherDisk()
    assert inbox.move(inbox.hide(fs=fs).target, fs)
    assert inbox.copies() == ["archive/day/a.jpg"]
    facts = os.stat(inbox.archive / "day" / "a.jpg")
    assert (facts.st_mtime, facts.st_mode & 0o777) == (1_000_000_000, 0o640)


@pytest.mark.parametrize("inner", [REAL, OtherDisk()])
def test_dying_at_any_call_keeps_the_photo_and_the_next_try_ends_well(
    tmp_path: Path, inner: FileSystem
) -> None:
    for nth in range(1, 200):
        inbox = Inbox(tmp_path / str(nth))
        fs = FaultyFileSystem(Fault("*", errno.EIO, nth=nth, times=-1), inner=inner)
        planned = b""
        try:
            planned = inbox.hide(fs=fs).target
            inbox.move(planned, fs)
        except OSError:
            pass
        assert inbox.copies(), f"lost at call {nth}: {fs.calls[-1]}"
        ready = inbox.hide(planned, inner)
        if ready.step is Step.READY:
            assert inbox.move(ready.target, inner)
        assert inbox.copies() == ["archive/day/a.jpg"], f"after call {nth}: {fs.calls[-1]}"
        if len(fs.calls) < nth:
            return
    raise AssertionError("after-care has fewer calls than that")


@pytest.mark.parametrize("call", ["write", "fsync", "read", "chmod", "rename_noreplace", "fsync_dir"])
def test_a_copy_that_cannot_be_finished_leaves_nothing_in_the_archive(inbox: Inbox, call: str) -> None:
    """A full disk once kept a part of each original, the first of which took all that was left of it."""
    target = inbox.hide(fs=OtherDisk()).target
    with pytest.raises(OSError, match="No space"):
        inbox.move(target, FaultyFileSystem(Fault(call, errno.ENOSPC), inner=OtherDisk()))
    assert not [path for path in inbox.archive.rglob("*") if path.name.endswith(".part")]
    assert Path(os.fsdecode(inbox.hidden)).read_bytes() == PHOTO


def test_a_copy_that_came_out_wrong_is_not_trusted(inbox: Inbox) -> None:
    class Liar(OtherDisk):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            return super().write(fd, bytes(len(data)))

    fs = Liar()
    target = inbox.hide(fs=fs).target
    with pytest.raises(OSError, match="other bytes"):
        inbox.move(target, fs)
    assert not os.path.exists(target)
    assert Path(os.fsdecode(inbox.hidden)).read_bytes() == PHOTO


def test_giving_back_replaces_nothing(inbox: Inbox) -> None:
    assert not move.give_back(inbox.hidden, inbox.original, for_good=False)
    inbox.hide()
    assert move.give_back(inbox.hidden, inbox.original, for_good=False)
    inbox.hide()
    Path(os.fsdecode(inbox.original)).write_bytes(b"the next frame")
    assert not move.give_back(inbox.hidden, inbox.original, for_good=False)
    assert move.give_back(inbox.hidden, inbox.original, for_good=True)
    assert inbox.copies() == ["in/day/a (2).jpg"]


def test_hidden_names_hold_the_photos_own_and_are_never_too_long(tmp_path: Path) -> None:
    assert move.hidden_name(b"day/a.jpg", "ab12", 7) == b"day/.cutoutd-ab12-7.original.a.jpg"
    name = os.path.basename(move.hidden_name(b"x" * 251 + b".jpg", "ab12", 123456789))
    assert len(name + b".part") <= 255
    assert name.endswith(b"x.jpg")


def test_originals_hidden_by_a_lost_ledger_get_their_names_back(inbox: Inbox) -> None:
    inbox.hide()
    known = os.fsencode(inbox.inbox / ".cutoutd-ab12-9.original.known.jpg")
    foreign = os.fsencode(inbox.inbox / ".cutoutd-ffff-9.original.theirs.jpg")
    for path in (known, foreign):
        Path(os.fsdecode(path)).write_bytes(b"")
    assert move.restore_orphans(os.fsencode(inbox.inbox), "ab12", frozenset({known})) == 1
    assert inbox.copies() == ["in/day/a.jpg"]
    assert os.path.exists(known)
    assert os.path.exists(foreign)


def test_a_failed_original_moves_with_its_reason_beside_it(inbox: Inbox) -> None:
    target = move.move_failed(inbox.original, os.fsencode(inbox.archive), b"day/a.jpg", "too-large: no")
    assert target == move.Aside(os.fsencode(inbox.archive / "day" / "a.jpg"))
    assert inbox.copies() == ["archive/day/a.jpg"]
    assert (inbox.archive / "day" / "a.jpg.txt").read_text() == "too-large: no\n"
    assert move.move_failed(inbox.original, os.fsencode(inbox.archive), b"day/a.jpg", "") is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault("open", errno.ENOSPC, path=b".txt"),
        Fault("write", errno.ENOSPC, keep=3, path=b".txt"),
        Fault("close", errno.ENOSPC, path=b".txt"),
    ],
)
def test_a_failed_original_is_moved_though_there_is_no_room_for_its_note(inbox: Inbox, fault: Fault) -> None:
    """It once counted as not moved, and as vanished soon after."""
    fs = FaultyFileSystem(fault)
    aside = move.move_failed(inbox.original, os.fsencode(inbox.archive), b"day/a.jpg", "too-large: no", fs)
    assert aside == move.Aside(os.fsencode(inbox.archive / "day" / "a.jpg"), os.strerror(errno.ENOSPC))
    assert inbox.copies() == ["archive/day/a.jpg"]
    assert not (inbox.archive / "day" / "a.jpg.txt").exists()
    assert fs.open_descriptors == 0
