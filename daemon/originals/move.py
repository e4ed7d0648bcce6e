"""What happens to an original once its cutout is safe: archive, trash, or the failed folder; never a deletion.

Each step is one I/O call whose plan was committed to the ledger before (`courier.py` does that), so that a
crash between any two leaves the original either where it was or where it was going.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from dataclasses import dataclass
from enum import StrEnum

from cutoutd.daemon.files.digest import digest_file
from cutoutd.daemon.files.filesystem import FileSystem, RealFileSystem, RenameUnsupported, write_all
from cutoutd.daemon.files.names import LONGEST_NAME, candidates
from cutoutd.daemon.originals.trash import still_planned, trash_target, write_trash_info

REAL = RealFileSystem()
# What file systems without hard links, or that allow none here, say.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_HIDDEN = re.compile(rb"^\.cutoutd-([0-9a-f]+)-\d+\.original\.(.+)$", re.DOTALL)


class Step(StrEnum):
    """What a look at an original before its move showed."""

    READY = "ready"
    MOVED = "moved"
    REPLACED = "replaced"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Ready:
    """The outcome of `hide`: with READY, `target` is where the original is to go."""

    step: Step
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Aside:
    """A failed original that lies in the folder for such; `noteless` says why its reason is not beside it."""

    target: bytes
    noteless: str = ""


def hidden_name(path: bytes, instance: str, photo: int) -> bytes:
    """The name, beside the original, under which it waits while it is identified and moved.

    It holds the original's own name, so that even a lost ledger loses no photo; one that is too long is cut.
    """
    head = f".cutoutd-{instance}-{photo}.original.".encode()
    stem, extension = os.path.splitext(os.path.basename(path))
    # Room for `.part` behind it, which a copy to another file system is called.
    room = LONGEST_NAME - len(head) - len(b".part") - len(extension)
    return os.path.join(os.path.dirname(path), head + stem[:room] + extension)


def hide(
    original: bytes,
    hidden: bytes,
    digest: str,
    *,
    archive: bytes | None,
    relative: bytes,
    planned: bytes = b"",
    fs: FileSystem = REAL,
) -> Ready:
    """Takes the original out of the camera's way, makes sure it is the photo that was cut out, and finds its place.

    Repeating it after a crash is safe.

    Args:
        original: absolute path in the inbox.
        hidden: absolute path from `hidden_name`, committed to the ledger.
        digest: what the cutout was made from.
        archive: archive folder, or None for the trash.
        relative: the original's path inside the inbox, mirrored in the archive.
        planned: where an earlier life meant to put it, if it got that far.
        fs: the file system.

    Returns:
        READY with a target; MOVED when it lies at the planned place already; REPLACED when the file is another
        photo (it is back under its name); GONE when there is nothing to move.

    Raises:
        OSError: the folder cannot be used now; the original is untouched or hidden, never lost.
    """
    if not fs.exists(hidden):
        if planned and fs.exists(planned) and digest_file(planned, fs) == digest:
            return Ready(Step.MOVED, planned)
        try:
            _move_without_replacing(original, hidden, fs)
        except FileNotFoundError:
            return Ready(Step.GONE)
        # Before it leaves the folder: a power cut that brought the old name back beside the archived photo would
        # make a new photo of it.
        fs.fsync_dir(os.path.dirname(hidden))
    if digest_file(hidden, fs) != digest:
        _give_back(hidden, original, fs)
        return Ready(Step.REPLACED)
    if archive is None:
        if planned and fs.exists(planned) and digest_file(planned, fs) == digest:
            fs.unlink(hidden)  # a crash came between its arrival there and its going here
            return Ready(Step.MOVED, planned)
        if planned and still_planned(original, planned, fs):
            return Ready(Step.READY, planned)
        return Ready(Step.READY, trash_target(original, fs))
    folder = os.path.join(archive, os.path.dirname(relative))
    os.makedirs(folder, exist_ok=True)
    stem, extension = os.path.splitext(os.path.basename(relative))
    for name in candidates(folder, os.fsdecode(stem), os.fsdecode(extension)):
        if not fs.exists(name):
            return Ready(Step.READY, name)
        if digest_file(name, fs) == digest:  # the very same photo was archived before
            fs.unlink(hidden)
            return Ready(Step.MOVED, name)
    raise AssertionError("candidate names never end")


def move(
    original: bytes, hidden: bytes, target: bytes, digest: str, *, trash: bool, fs: FileSystem = REAL
) -> bool:
    """Moves the hidden original to its committed place.

    Returns:
        False when something else took that place meanwhile: ask `hide` again.

    Raises:
        OSError: the place cannot take it now; the original stays hidden beside its old name.
    """
    if trash:
        write_trash_info(original, target, fs)
    try:
        _move_to_folder(hidden, target, fs)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return _copy_across(hidden, target, digest, fs)
    return True


def _copy_across(hidden: bytes, target: bytes, digest: str, fs: FileSystem) -> bool:
    """To another file system: copy, sync, compare, publish without replacing, and only then let go."""
    part = os.path.join(os.path.dirname(target), os.path.basename(hidden) + b".part")
    try:
        _copy(hidden, part, digest, fs)
        _move_without_replacing(part, target, fs)
    except OSError as error:
        # On a full disk each original would leave what fitted; the copy that is still wanted lies under its name.
        with contextlib.suppress(OSError):
            fs.unlink(part)
        if isinstance(error, FileExistsError):
            return False
        raise
    fs.fsync_dir(os.path.dirname(target))
    fs.unlink(hidden)
    return True


def _copy(source: bytes, part: bytes, digest: str, fs: FileSystem) -> None:
    """Whole, on the disk, read back, with the mode and times of the source."""
    facts = fs.lstat(source)
    reading = fs.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        copy = fs.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            while block := fs.read(reading, 1 << 20):
                write_all(fs, copy, block)
            fs.fsync(copy)
        finally:
            fs.close(copy)
    finally:
        fs.close(reading)
    if digest_file(part, fs) != digest:
        raise OSError(errno.EIO, "the archive gave back other bytes than were written")
    fs.chmod(part, stat.S_IMODE(facts.st_mode))
    with contextlib.suppress(OSError):  # some shares refuse times; the photo's own EXIF date stays
        os.utime(part, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def give_back(hidden: bytes, original: bytes, *, for_good: bool, fs: FileSystem = REAL) -> bool:
    """Puts a hidden original back under its name.

    Args:
        hidden: where it lies, if it does.
        original: its name.
        for_good: take the next free name when another file has taken its own; else it then stays hidden.
        fs: the file system.

    Returns:
        Whether it is back; False when nothing was hidden, or its name is taken.

    Raises:
        OSError: the folder cannot be changed now.
    """
    try:
        if for_good:
            _give_back(hidden, original, fs)
        else:
            _move_without_replacing(hidden, original, fs)
    except (FileNotFoundError, FileExistsError):
        return False
    return True


def restore_orphans(root: bytes, instance: str, known: frozenset[bytes], fs: FileSystem = REAL) -> int:
    """Gives the names back to originals that an earlier life with another ledger had hidden.

    Args:
        root: the inbox.
        instance: this state folder's id; others' files are left alone.
        known: absolute hidden names that the ledger knows.
        fs: the file system.

    Returns:
        How many there were.

    Raises:
        OSError: a folder cannot be read.
    """
    found = 0
    folders = [root]
    while folders:
        folder = folders.pop()
        with fs.scandir(folder) as entries:
            listed = list(entries)
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
                continue
            match = _HIDDEN.match(entry.name)
            if match is not None and match[1].decode() == instance and entry.path not in known:
                _give_back(entry.path, os.path.join(folder, match[2]), fs)
                found += 1
    return found


def _give_back(hidden: bytes, original: bytes, fs: FileSystem) -> None:
    """The file is a newer photo: back to its name, or to a free one beside it if the name is taken again."""
    stem, extension = os.path.splitext(os.path.basename(original))
    folder = os.path.dirname(original)
    for name in candidates(folder, os.fsdecode(stem), os.fsdecode(extension)):
        try:
            _move_without_replacing(hidden, name, fs)
        except FileExistsError:
            continue
        return


def _move_to_folder(source: bytes, target: bytes, fs: FileSystem) -> None:
    """Into another folder of the same file system, without replacing; there on the disk before it goes from here.

    A rename between folders is two changes to a disk that promises no more than it must, and a power cut may keep
    the one that takes the name away alone. Where the file system has no links, a rename has to do.
    """
    try:
        fs.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _move_without_replacing(source, target, fs)
        fs.fsync_dir(os.path.dirname(target))
    else:
        fs.fsync_dir(os.path.dirname(target))
        fs.unlink(source)
    fs.fsync_dir(os.path.dirname(source))


def _move_without_replacing(source: bytes, target: bytes, fs: FileSystem) -> None:
    """One rename that never replaces; where the file system has none, a link and an unlink, or a checked rename."""
    try:
        fs.rename_noreplace(source, target)
    except RenameUnsupported:
        try:
            fs.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if fs.exists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            fs.rename(source, target)
        else:
            fs.unlink(source)


def move_failed(
    original: bytes, folder: bytes, relative: bytes, reason: str, fs: FileSystem = REAL
) -> Aside | None:
    """Moves a failed original to the folder for such, mirrored, with the reason in a text file beside it.

    Returns:
        Where it lies now, or None when it was gone.

    Raises:
        OSError: it could not be moved; it stays where it was.
    """
    target_folder = os.path.join(folder, os.path.dirname(relative))
    os.makedirs(target_folder, exist_ok=True)
    stem, extension = os.path.splitext(os.path.basename(relative))
    for target in candidates(target_folder, os.fsdecode(stem), os.fsdecode(extension)):
        try:
            _move_to_folder(original, target, fs)
        except FileExistsError:
            continue
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EXDEV or not _copy_across(
                original, target, digest_file(original, fs), fs
            ):
                raise
        return Aside(target, _leave_note(target + b".txt", reason, fs))
    raise AssertionError("candidate names never end")


def _leave_note(path: bytes, text: str, fs: FileSystem) -> str:
    """A whole text file or none. Returns why there is none: that unsays nothing of what was done before."""
    try:
        fd = fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        return error.strerror or str(error)
    try:
        try:
            write_all(fs, fd, text.encode() + b"\n")
        finally:
            fs.close(fd)
    except OSError as error:
        with contextlib.suppress(OSError):
            fs.unlink(path)
        return error.strerror or str(error)
    return ""
