"""Delivery: whole files under names that nobody else holds, by one rename each; it never opens the ledger.

The caller commits every name to the ledger before it calls `publish` with it. Others may write to an outbox: what
lies under one of our names a moment after it was looked at may be theirs, so a temporary is published by what its
descriptor says, and what a rename brought away from under a name is looked at before it is removed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Container, Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from cutoutd.daemon.delivery import placeholder
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.digest import has_content
from cutoutd.daemon.files.filesystem import NO_LINKS, RenameUnsupported, open_up
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.names import name_key
from cutoutd.daemon.files.writers import Writers, writers

NOTHING_GIVEN_UP: Mapping[str, Mapping[str, int]] = {}

# Of so many files that somebody gave our cutout's name and size the content is compared; beyond, names are only free
# or taken: a folder full of them must not be read for each cutout.
MOST_COMPARED = 20


class How(StrEnum):
    """How a name is to be taken."""

    NEW = "new"
    ADOPT = "adopt"
    REPLACE = "replace"


class Place(Struct, frozen=True):
    """A name found for a cutout: relative to the outbox, with its collision key and how to take it.

    `replaces` is the digest of the cutout of ours that lies there and may go, or empty.
    """

    name: bytes
    key: str
    how: How
    replaces: str = ""


class Content(Struct, frozen=True):
    """What a file of ours holds: digest and size in bytes, 0 when that is not known."""

    digest: str
    size: int


class Published(StrEnum):
    """What became of a publication."""

    DONE = "done"
    TAKEN = "taken"
    GONE = "gone"


def find_place(
    outbox: bytes,
    names: Iterable[bytes],
    *,
    taken: Container[str],
    digest: str,
    size: int,
    fs: FileSystem,
    given_up: Mapping[str, Mapping[str, int]] = NOTHING_GIVEN_UP,
) -> Place:
    """The first name that is free, holds exactly this cutout and belongs to nobody, or holds one that is to go.

    Args:
        outbox: absolute path.
        names: relative candidates, in order.
        taken: collision keys that live rows hold.
        digest: of the finished cutout.
        size: of the finished cutout, bytes.
        fs: the file system, with the outbox as its root.
        given_up: by collision key, digests of cutouts of ours whose photo has another name now, each with its
            size; unset, none.

    Raises:
        UnsafePath: the name's folder is a link, or lies behind one.
        OSError: the outbox cannot be looked at.
    """
    compared = 0
    for name in names:
        key = name_key(name)
        if key in taken:
            continue
        path = os.path.join(outbox, name)
        if not fs.exists(path):
            return Place(name, key, How.NEW)
        if compared < MOST_COMPARED and _has_size(path, size, fs):
            compared += 1
            if _holds(path, digest, size, fs):
                return Place(name, key, How.ADOPT)
        for gone, its_size in given_up.get(key, {}).items():
            if _holds(path, gone, its_size, fs):
                return Place(name, key, How.REPLACE, gone)
    raise AssertionError("candidate names never end")


def may_replace(outbox: bytes, name: bytes, ours: str, size: int, fs: FileSystem) -> How | None:
    """How our own earlier cutout may be replaced: None when the user has changed the file since."""
    path = os.path.join(outbox, name)
    if not fs.exists(path):
        return How.NEW
    return How.REPLACE if _holds(path, ours, size, fs) else None


def holds(outbox: bytes, name: bytes, digest: str, size: int, fs: FileSystem) -> bool:
    """Whether a cutout lies whole under a name. Raises OSError when the outbox cannot be looked at."""
    return _holds(os.path.join(outbox, name), digest, size, fs)


def _has_size(path: bytes, size: int, fs: FileSystem) -> bool:
    """Whether a plain file of this size lies there; what is gone again has none. Raises OSError."""
    try:
        facts = fs.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_size == size


def _holds(path: bytes, digest: str, size: int, fs: FileSystem) -> bool:
    try:
        facts = fs.lstat(path)
        if not stat.S_ISREG(facts.st_mode) or (size and facts.st_size != size):
            return False
        fd = fs.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        return False  # just removed by somebody, or so much theirs that we may not even read it
    except UnsafePath:
        if fs.exists(path):  # its folder is still one: what lies under the name has become something else
            return False
        raise
    try:
        return has_content(fd, digest, size, fs)
    finally:
        fs.close(fd)


def publish(
    outbox: bytes,
    name: bytes,
    temporary: bytes,
    digest: str,
    *,
    fs: FileSystem,
    size: int = 0,
    fresh: bool = False,
    replaces: str = "",
    replaces_size: int = 0,
    mode: int = 0o644,
    leases: bool = False,
    to_sync: Callable[[bytes], None] | None = None,
) -> Published:
    """Gives a finished temporary its name; repeating it after a crash at any point is safe.

    Args:
        outbox: absolute path.
        name: relative; already committed to the ledger.
        temporary: absolute path of the finished file, in the outbox.
        digest: of its content.
        fs: the file system, with the outbox as its root.
        size: of its content, bytes; 0 when not known.
        fresh: it was made in this life by a worker that has read it back: then a file of ours that has this size, which
            must be known, is not read once more.
        replaces: digest of our own earlier cutout that may lie under the name, or empty.
        replaces_size: of that one, bytes; 0 when not known.
        mode: permission bits of the published file.
        leases: whether the outbox's file system knows who has a file open (`files/writers.py`).
        to_sync: takes the folders whose names the caller is to make durable; unset, that is done here.

    Returns:
        DONE when the name holds the cutout; TAKEN when somebody else's file lies there (nothing was changed);
        GONE when neither the name nor the temporary holds it.

    Raises:
        UnsafePath: the name's folder is a link, or lies behind one.
        OSError: the outbox cannot be written now.
    """
    final = os.path.join(outbox, name)
    made, earlier = Content(digest, size), Content(replaces, replaces_size) if replaces else None
    sync = to_sync or fs.fsync_dir
    fd = _open_ours(temporary, made, fs, fresh=fresh)
    if fd is None:
        outcome = _published_before(final, temporary, made, earlier, fs, leases=leases)
        if outcome is Published.DONE:  # by a life that may have ended before its name was durable
            sync(os.path.dirname(final))
        return outcome
    try:
        outcome = _publish_opened(fd, temporary, final, made, earlier, mode, fs, leases=leases)
    except FileNotFoundError:
        if fs.exists(temporary):
            raise
        outcome = Published.GONE  # somebody took it away in this moment
    finally:
        fs.close(fd)
    if outcome is Published.DONE:
        sync(os.path.dirname(final))
        if os.path.dirname(temporary) != os.path.dirname(final):
            sync(os.path.dirname(temporary))
    return outcome


def _open_ours(temporary: bytes, made: Content, fs: FileSystem, *, fresh: bool) -> int | None:
    """The finished temporary as a descriptor; None when there is none, or something else lies in its place."""
    try:
        fd = fs.open(temporary, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except UnsafePath:
        if fs.exists(temporary):  # raises again when it is the folder that became a link
            return None
        raise
    facts = fs.fstat(fd)
    # It was made for us alone to read and write, so that a file of our own with the right size and no other name is
    # the one that its worker read back. Where a share gives it another owner, or it was swapped, its content decides.
    ours = fresh and facts.st_uid == os.geteuid() and facts.st_nlink == 1 and facts.st_size == made.size
    if ours or has_content(fd, made.digest, made.size, fs):
        return fd
    fs.close(fd)
    return None


def _published_before(
    final: bytes, temporary: bytes, made: Content, earlier: Content | None, fs: FileSystem, *, leases: bool
) -> Published:
    """There is no finished temporary: an earlier life may have published it, and have died before the end."""
    if not _holds(final, made.digest, made.size, fs):
        return Published.GONE
    if earlier is None or not fs.exists(temporary):
        return Published.DONE
    # The names had changed places: what lay under the final one still lies under the temporary's.
    if is_at_rest(temporary, earlier.digest, fs, size=earlier.size, leases=leases):
        fs.unlink(temporary)
        return Published.DONE
    fs.exchange(temporary, final)
    return Published.TAKEN


def _publish_opened(
    fd: int,
    temporary: bytes,
    final: bytes,
    made: Content,
    earlier: Content | None,
    mode: int,
    fs: FileSystem,
    *,
    leases: bool,
) -> Published:
    if not fs.exists(final):
        open_up(fd, final, mode, fs)
        return _take_free_name(fd, temporary, final, fs)
    if _holds(final, made.digest, made.size, fs):
        fs.unlink(temporary)
        return Published.DONE
    if earlier is not None and _holds(final, earlier.digest, earlier.size, fs):
        open_up(fd, final, mode, fs)
        return _replace(fd, temporary, final, earlier, fs, leases=leases)
    if placeholder.is_ours(final, temporary, fs):
        open_up(fd, final, mode, fs)
        fs.rename(temporary, final)
        return _seen(fd, final, fs)
    return Published.TAKEN


def _take_free_name(fd: int, temporary: bytes, final: bytes, fs: FileSystem) -> Published:
    """Never over another file: an exclusive rename, where there is none a link, where there is none a placeholder."""
    try:
        fs.rename_noreplace(temporary, final)
    except FileExistsError:
        return Published.TAKEN
    except RenameUnsupported:
        try:
            fs.link(temporary, final)
        except FileExistsError:
            return Published.TAKEN
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if not placeholder.publish_over(temporary, final, fs):
                return Published.TAKEN
        else:
            fs.unlink(temporary)
    return _seen(fd, final, fs)


def _seen(fd: int, final: bytes, fs: FileSystem) -> Published:
    """Whether the file that was opened is the one that got the name: the temporary's may have been swapped since."""
    try:
        there, ours = fs.lstat(final), fs.fstat(fd)
    except FileNotFoundError:
        return Published.GONE
    same = (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
    return Published.DONE if same else Published.GONE


def _replace(
    fd: int, temporary: bytes, final: bytes, earlier: Content, fs: FileSystem, *, leases: bool
) -> Published:
    """Our earlier cutout makes room, unless somebody just opened it to save a version of their own.

    The two change places, so that what lay under the name can be looked at when no program can reach it by that name
    any more; a program that has it open for writing is seen there. If it is not ours alone, they change back.
    """
    try:
        fs.exchange(temporary, final)
    except RenameUnsupported:
        # Between this look and the rename lies no more than a moment, but it lies there.
        if not is_at_rest(final, earlier.digest, fs, size=earlier.size, leases=leases):
            return Published.TAKEN
        fs.rename(temporary, final)
        return _seen(fd, final, fs)
    at_rest = is_at_rest(temporary, earlier.digest, fs, size=earlier.size, leases=leases)
    if at_rest and _seen(fd, final, fs) is Published.DONE:
        fs.unlink(temporary)
        return Published.DONE
    fs.exchange(temporary, final)
    return Published.TAKEN


def is_at_rest(path: bytes, digest: str, fs: FileSystem, *, size: int = 0, leases: bool) -> bool:
    """Whether a file has this content, and no program that the system knows of has it open for writing.

    `size` is that of the content; 0 when not known, then the whole file is read.
    """
    try:
        fd = fs.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError, UnsafePath):
        return False
    try:
        device = fs.fstat(fd).st_dev if leases else None
        return writers(fd, device) is not Writers.SOMEBODY and has_content(fd, digest, size, fs)
    finally:
        fs.close(fd)


def discard(temporaries: Iterable[bytes], fs: FileSystem) -> None:
    """Removes temporaries that are no longer wanted. Raises OSError.

    Missing ones are fine, and those whose folder was swapped for a link: there is none of ours behind it. A folder
    under such a name, which only a worker that was taken over makes, goes when it is empty.
    """
    for temporary in temporaries:
        try:
            fs.unlink(temporary)
        except IsADirectoryError:
            with contextlib.suppress(OSError):
                fs.rmdir(temporary)
        except (FileNotFoundError, NotADirectoryError, UnsafePath):
            continue
