"""Originals on their way: whatever call fails, each is either where it was or where it was going, byte for byte."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.digests import digest_of
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.filesystem import RealFileSystem, RenameUnsupported
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.ledger.records import Facts
from cutoutd.daemon.originals import move
from cutoutd.daemon.originals.giving_back import give_back
from cutoutd.daemon.originals.move import Step
from cutoutd.daemon.originals.notes import leave_note

PHOTO = b"a photo " * 500
DIGEST = digest_of(PHOTO)
REAL = RealFileSystem(b"/")


class Inbox:
    def __init__(self, root: Path) -> None:
        self.root, self.inbox, self.archive = root, root / "in", root / "archive"
        (self.inbox / "day").mkdir(parents=True)
        self.archive.mkdir()
        self.original = os.fsencode(self.inbox / "day" / "a.jpg")
        self.hidden = move.hidden_name(self.original, "ab12", 7)
        (self.inbox / "day" / "a.jpg").write_bytes(PHOTO)

        self.facts = self.seen()

    def seen(self) -> Facts:
        found = os.lstat(self.original)
        return Facts(found.st_size, found.st_mtime_ns, found.st_ino, 0, found.st_ctime_ns)

    def one(self, digest: str | None = DIGEST, *, patient: bool = True, leases: bool = True) -> move.Original:
        device = os.stat(self.root).st_dev if leases else None
        return move.Original(self.original, self.hidden, b"day/a.jpg", self.facts, digest, patient, device)

    def hide(
        self, planned: bytes = b"", fs: FileSystem = REAL, one: move.Original | None = None
    ) -> move.Ready:
        return move.hide(one or self.one(), folder=os.fsencode(self.archive), planned=planned, fs=fs)

    def move(self, target: bytes, fs: FileSystem = REAL, one: move.Original | None = None) -> bool:
        return move.move(one or self.one(), target, trash=False, fs=fs)

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


def test_names_that_the_archive_cannot_hold_are_made_plain(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a stick or a Windows share such an original was tried again for ever; the copy's own name is plain too."""
    path = inbox.inbox / "8:30" / "why?.jpg"
    path.parent.mkdir()
    os.rename(inbox.original, path)
    hidden = move.hidden_name(os.fsencode(path), "abcd", 1)
    one = replace(inbox.one(), path=os.fsencode(path), hidden=hidden, relative=b"8:30/why?.jpg")
    ready = move.hide(one, folder=os.fsencode(inbox.archive), plain=True, fs=REAL)
    assert ready == move.Ready(Step.READY, os.fsencode(inbox.archive / "8_30" / "why_.jpg"))
    copied: list[bytes] = []
    copy_file = move.copy_file

    def noted(source: bytes, target: bytes, fs: FileSystem, *, device: int | None) -> None:
        copied.append(os.path.basename(target))
        copy_file(source, target, fs, device=device)

    def elsewhere(*_arguments: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(move, "copy_file", noted)
    monkeypatch.setattr(move, "_move_to_folder", elsewhere)
    assert inbox.move(ready.target, one=one)
    assert inbox.copies() == ["archive/8_30/why_.jpg"]
    assert b":" not in copied[0]
    assert b"?" not in copied[0]


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
    fs = OtherDisk(b"/")
    assert inbox.move(inbox.hide(fs=fs).target, fs)
    assert inbox.copies() == ["archive/day/a.jpg"]
    facts = os.stat(inbox.archive / "day" / "a.jpg")
    assert (facts.st_mtime, facts.st_mode & 0o777) == (1_000_000_000, 0o640)


@pytest.mark.slow
@pytest.mark.parametrize("inner", [REAL, OtherDisk(b"/")])
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


@pytest.mark.parametrize("call", ["write", "fsync", "read", "rename_noreplace", "fsync_dir"])
def test_a_copy_that_cannot_be_finished_leaves_nothing_in_the_archive(inbox: Inbox, call: str) -> None:
    """A full disk once kept a part of each original, the first of which took all that was left of it."""
    target = inbox.hide(fs=OtherDisk(b"/")).target
    with pytest.raises(OSError, match="No space"):
        inbox.move(target, FaultyFileSystem(Fault(call, errno.ENOSPC), inner=OtherDisk(b"/")))
    assert not [path for path in inbox.archive.rglob("*") if path.name.endswith(".part")]
    assert Path(os.fsdecode(inbox.hidden)).read_bytes() == PHOTO


def test_a_copy_that_came_out_wrong_is_not_trusted(inbox: Inbox) -> None:
    class Liar(OtherDisk):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            return super().write(fd, bytes(len(data)))

    fs = Liar(b"/")
    target = inbox.hide(fs=fs).target
    with pytest.raises(OSError, match="other bytes"):
        inbox.move(target, fs)
    assert not os.path.exists(target)
    assert Path(os.fsdecode(inbox.hidden)).read_bytes() == PHOTO


def test_hidden_names_hold_the_photos_own_and_are_never_too_long(tmp_path: Path) -> None:
    assert move.hidden_name(b"day/a.jpg", "ab12", 7) == b"day/.cutoutd-ab12-7.original.a.jpg"
    name = os.path.basename(move.hidden_name(b"x" * 251 + b".jpg", "ab12", 123456789))
    assert len(name + b".part") <= 255
    assert name.endswith(b"x.jpg")


@pytest.mark.parametrize("fs", [REAL, OtherDisk(b"/")])
def test_a_failed_original_is_known_by_its_facts_and_moves_with_its_reason(
    inbox: Inbox, fs: FileSystem
) -> None:
    one = inbox.one(None)
    assert move.look(one, fs) is Step.READY
    target = inbox.hide(fs=fs, one=one).target
    assert inbox.move(target, fs, one)
    assert leave_note(target, "too-large: no", REAL) == ""
    assert inbox.copies() == ["archive/day/a.jpg"]
    assert (inbox.archive / "day" / "a.jpg.txt").read_text() == "too-large: no\n"
    assert move.look(one, fs) is Step.GONE


def test_a_photo_sent_again_while_its_broken_copy_is_moved_is_not_touched(inbox: Inbox) -> None:
    one, good = inbox.one(None), inbox.root / "good.jpg"

    class Camera(OtherDisk):
        """Sends the photo again in the middle of the move."""

        def link(self, source: bytes, target: bytes) -> None:
            if good.exists():
                good.rename(os.fsdecode(inbox.original))
            super().link(source, target)

    good.write_bytes(b"the good one")
    fs = Camera(b"/")
    assert inbox.move(inbox.hide(fs=fs, one=one).target, fs, one)
    assert Path(os.fsdecode(inbox.original)).read_bytes() == b"the good one"
    assert inbox.copies() == ["archive/day/a.jpg"]


def test_what_somebody_has_open_for_writing_stays_under_its_name(inbox: Inbox) -> None:
    with open(inbox.original, "r+b"):
        assert move.look(inbox.one(), REAL) is Step.WRITTEN
        assert inbox.hide().step is Step.WRITTEN
        assert inbox.copies() == ["in/day/a.jpg"]
        assert not os.path.exists(inbox.hidden)
    assert inbox.hide().step is Step.READY


def test_one_that_is_opened_for_writing_in_the_moment_of_the_rename_gets_its_name_back(inbox: Inbox) -> None:
    class Quick(RealFileSystem):
        """A program opens the file between the look and the rename."""

        def rename_noreplace(self, source: bytes, target: bytes) -> None:
            if source == inbox.original:
                self.writer = open(source, "r+b")  # noqa: SIM115 - it stays open
            super().rename_noreplace(source, target)

    fs = Quick(b"/")
    assert inbox.hide(fs=fs).step is Step.WRITTEN
    fs.writer.write(b"more")
    fs.writer.close()
    assert Path(os.fsdecode(inbox.original)).read_bytes().startswith(b"more")


def test_one_that_is_written_while_it_is_copied_is_not_taken_from_its_writer(inbox: Inbox) -> None:
    """On another disk the half that had been copied was once all that stayed of it."""
    target = inbox.hide(fs=OtherDisk(b"/")).target
    with open(inbox.hidden, "r+b"), pytest.raises(move.StillWritten):  # opened before it was hidden
        inbox.move(target, OtherDisk(b"/"))
    assert inbox.copies() == ["in/day/.cutoutd-ab12-7.original.a.jpg"]
    assert not [path for path in inbox.archive.rglob("*") if path.is_file()]


def test_where_nobody_can_tell_who_writes_patience_decides_and_changed_facts_begin_anew(
    inbox: Inbox,
) -> None:
    assert move.look(inbox.one(leases=False, patient=False), REAL) is Step.WRITTEN
    assert move.look(inbox.one(leases=False), REAL) is Step.READY
    os.chmod(inbox.original, 0o600)
    assert move.look(inbox.one(leases=False), REAL) is Step.WRITTEN
    assert move.look(inbox.one(None, leases=False), REAL) is Step.REPLACED


class NoNoreplace(RealFileSystem):
    """A network share: links, but no rename that refuses to replace."""

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        raise RenameUnsupported(errno.EINVAL, "no", os.fsdecode(target))


class NoLinksEither(NoNoreplace):
    def link(self, source: bytes, target: bytes) -> None:
        raise OSError(errno.EPERM, "no", os.fsdecode(target))


@pytest.mark.parametrize("fs", [NoNoreplace(b"/"), NoLinksEither(b"/")])
def test_without_an_exclusive_rename_nothing_is_replaced_and_nothing_of_others_unlinked(
    inbox: Inbox, fs: FileSystem
) -> None:
    inbox.hide(fs=fs)
    Path(os.fsdecode(inbox.original)).write_bytes(b"the next frame")
    assert not give_back(inbox.hidden, inbox.original, for_good=False, fs=fs)
    assert give_back(inbox.hidden, inbox.original, for_good=True, fs=fs)
    assert Path(os.fsdecode(inbox.original)).read_bytes() == b"the next frame"
    assert inbox.copies() == ["in/day/a (2).jpg"]
    (inbox.inbox / "day" / "a (2).jpg").rename(os.fsdecode(inbox.original))
    target = inbox.hide(fs=fs).target
    Path(os.fsdecode(target)).write_bytes(b"just now")
    assert inbox.move(target, fs) is False
    assert Path(os.fsdecode(target)).read_bytes() == b"just now"
    assert inbox.move(inbox.hide(fs=fs).target, fs)
    assert inbox.copies() == ["archive/day/a (2).jpg"]


def test_hundreds_of_namesakes_of_another_size_are_not_read(inbox: Inbox) -> None:
    (inbox.archive / "day").mkdir()
    for number in range(1, 301):
        name = "a.jpg" if number == 1 else f"a ({number}).jpg"
        with open(inbox.archive / "day" / name, "wb") as file:
            file.truncate(10**9 if number % 2 else len(PHOTO))  # of equal size: to the first difference

    read = list[int]()

    class Counting(RealFileSystem):
        def read(self, fd: int, count: int) -> bytes:
            data = super().read(fd, count)
            read.append(len(data))
            return data

    assert inbox.hide(fs=Counting(b"/")).target.endswith(b"/a (301).jpg")
    assert sum(read) < 1000 * len(PHOTO)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes here")
def test_to_another_disk_it_keeps_owner_group_mode_and_attributes(inbox: Inbox) -> None:
    os.chmod(inbox.original, 0o640)
    try:
        os.setxattr(inbox.original, "user.rating", b"5")
    except OSError:
        pytest.skip("no extended attributes on this disk")
    if os.geteuid() == 0:
        os.chown(inbox.original, 1234, 4321)
    before, fs = os.stat(inbox.original), OtherDisk(b"/")
    assert inbox.move(inbox.hide(fs=fs).target, fs)
    moved = inbox.archive / "day" / "a.jpg"
    after = moved.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert os.getxattr(moved, "user.rating") == b"5"


# --- neighbours ------------------------------------------------------------------------------------------------


def below(inbox: Inbox) -> RealFileSystem:
    return RealFileSystem(os.fsencode(inbox.inbox), os.fsencode(inbox.archive))


def lay(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_takes_the_name_in_the_archive_is_left_alone(inbox: Inbox, kind: str) -> None:
    (inbox.archive / "day").mkdir()
    lay(inbox.archive / "day" / "a.jpg", kind)
    ready = inbox.hide(fs=below(inbox))
    assert ready == move.Ready(Step.READY, os.fsencode(inbox.archive / "day" / "a (2).jpg"))
    lay(inbox.archive / "day" / "a (2).jpg", kind)  # between the look and the move
    assert not inbox.move(ready.target, below(inbox))
    again = inbox.hide(ready.target, below(inbox))
    assert inbox.move(again.target, below(inbox))
    assert inbox.copies() == ["archive/day/a (3).jpg"]


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
@pytest.mark.parametrize("name", ["original", "hidden"])
def test_what_lies_in_place_of_the_original_is_not_the_original(inbox: Inbox, kind: str, name: str) -> None:
    path = Path(os.fsdecode(getattr(inbox, name)))
    if name == "hidden":
        os.unlink(inbox.original)
    lay(path, kind)
    if name == "original":
        assert move.look(inbox.one(), below(inbox)) is Step.REPLACED
    assert inbox.hide(fs=below(inbox)).step is Step.REPLACED
    assert os.path.lexists(inbox.original)
    assert not os.path.lexists(inbox.hidden)


def test_a_folder_that_becomes_a_link_is_looked_behind_by_nobody(inbox: Inbox) -> None:
    theirs = inbox.root / "theirs"
    (inbox.inbox / "day").rename(theirs)
    (inbox.inbox / "day").symlink_to(theirs)
    assert move.look(inbox.one(), below(inbox)) is Step.BEHIND_LINK
    assert inbox.hide(fs=below(inbox)).step is Step.BEHIND_LINK
    assert [path.name for path in theirs.iterdir()] == ["a.jpg"]
    (inbox.inbox / "day").unlink()
    theirs.rename(inbox.inbox / "day")
    assert inbox.move(inbox.hide(fs=below(inbox)).target, below(inbox))


def test_a_link_in_the_archive_is_refused_before_anything_moves(inbox: Inbox) -> None:
    (inbox.root / "theirs").mkdir()
    (inbox.archive / "day").symlink_to(inbox.root / "theirs")
    with pytest.raises(UnsafePath):
        inbox.hide(fs=below(inbox))
    assert give_back(inbox.hidden, inbox.original, for_good=False, fs=below(inbox))
    assert inbox.copies() == ["in/day/a.jpg"]


def test_folders_on_the_way_are_synced_though_an_earlier_life_made_them(inbox: Inbox) -> None:
    (inbox.archive / "day").mkdir()
    fs = FaultyFileSystem()
    inbox.hide(fs=fs)
    assert ("fsync_dir", (os.fsencode(inbox.archive),)) in fs.calls


# Hours of reading.
SPARSE_BYTES = (1 << 43) + 1


def test_a_failed_original_with_huge_holes_is_moved_without_reading_it(inbox: Inbox) -> None:
    os.truncate(inbox.original, SPARSE_BYTES)
    inbox.facts = inbox.seen()
    fs = FaultyFileSystem()
    one = inbox.one(digest=None)
    ready = inbox.hide(one=one, fs=fs)
    assert ready.step is Step.READY
    assert inbox.move(ready.target, one=one, fs=fs)
    assert os.stat(ready.target).st_size == SPARSE_BYTES
    assert "read" not in fs.counts()


def test_one_that_was_made_huge_after_it_was_read_is_another_photo(inbox: Inbox) -> None:
    os.truncate(inbox.original, SPARSE_BYTES)
    fs = FaultyFileSystem()
    assert inbox.hide(fs=fs).step is Step.REPLACED
    assert os.stat(inbox.original).st_size == SPARSE_BYTES
    assert "read" not in fs.counts()


def test_what_does_not_fit_is_not_begun_to_be_copied(inbox: Inbox) -> None:
    class Full(FaultyFileSystem):
        def rename_noreplace(self, source: bytes, target: bytes) -> None:
            raise OSError(errno.EXDEV, "elsewhere")

        def link(self, source: bytes, target: bytes) -> None:
            raise OSError(errno.EXDEV, "elsewhere")

        def free_bytes(self, path: bytes) -> int:
            return len(PHOTO) - 1

    fs = Full()
    os.rename(inbox.original, inbox.hidden)
    with pytest.raises(OSError, match="space"):
        inbox.move(os.fsencode(inbox.archive / "a.jpg"), fs=fs)
    assert "write" not in fs.counts()
    assert os.listdir(inbox.archive) == []
    assert inbox.copies() == ["in/day/" + os.path.basename(os.fsdecode(inbox.hidden))]


def test_of_many_namesakes_of_equal_size_few_are_compared(inbox: Inbox) -> None:
    (inbox.archive / "day").mkdir()
    for number in range(3 * move.MOST_COMPARED):
        name = "a.jpg" if number == 0 else f"a ({number + 1}).jpg"
        (inbox.archive / "day" / name).write_bytes(b"X" * len(PHOTO))
    fs = FaultyFileSystem()
    ready = inbox.hide(fs=fs)
    assert ready.target.endswith(b"/a (%d).jpg" % (3 * move.MOST_COMPARED + 1))
    assert fs.counts()["open"] <= 2 * move.MOST_COMPARED + 4


@pytest.mark.parametrize("failed", [False, True])
def test_a_download_that_rests_stays_where_it_goes_on(inbox: Inbox, failed: bool) -> None:
    """Put among the failed ones overnight, it was begun anew."""
    one = inbox.one(None) if failed else inbox.one()
    notes = Path(os.fsdecode(inbox.original) + ".aria2")
    notes.touch()
    assert move.look(one, REAL) is Step.WRITTEN
    assert inbox.hide(one=one).step is Step.WRITTEN
    assert os.path.exists(inbox.original)
    notes.unlink()
    assert inbox.hide(one=one).step is Step.READY


def test_what_broke_off_a_moment_ago_is_left_to_its_writer(inbox: Inbox) -> None:
    one = replace(inbox.one(None), broken_off=True)
    assert move.look(one, REAL) is Step.READY  # no part of a photo: nobody goes on with it
    with open(inbox.original, "wb") as file:
        file.write(b"\xff\xd8\xff\xe0 the beginning of a photo")
    one = replace(one, facts=inbox.seen())
    assert move.look(one, REAL) is Step.WRITTEN
    assert inbox.hide(one=one).step is Step.WRITTEN
    assert move.look(replace(one, broken_off=False), REAL) is Step.READY
