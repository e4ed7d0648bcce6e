"""A file under another name that nobody held: renamed, linked or copied whole; it decides nothing and unlinks nothing
but names that are ours alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.digest import BLOCK_BYTES, digest_opened, new_digest
from cutoutd.daemon.files.filesystem import NO_LINKS, RenameUnsupported, write_all
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.writers import Writers, writers


class StillWritten(OSError):  # noqa: N818 - a fact about a file that callers ask for, not a failure
    """Somebody wrote the file while it was being read, or may do so now."""


def facts_of(facts: os.stat_result) -> tuple[int, ...]:
    """What tells one moment of one file from another."""
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def digest_at_rest(path: bytes, fs: FileSystem, device: int | None) -> str:
    """BLAKE2b-256 of a file that nobody writes meanwhile.

    Args:
        path: of the file.
        fs: the file system.
        device: whose leases are believed (`writers`).

    Raises:
        StillWritten: somebody does.
        OSError: it cannot be read.
    """
    fd = fs.open(path, os.O_RDONLY)
    try:
        before = facts_of(fs.fstat(fd))
        digest = digest_opened(fd, fs)
        if facts_of(fs.fstat(fd)) != before or writers(fd, device) is Writers.SOMEBODY:
            raise StillWritten(errno.EBUSY, "another program is writing it", os.fsdecode(path))
    finally:
        fs.close(fd)
    return digest


def same_content(one: bytes, other: bytes, fs: FileSystem) -> bool:
    """Whether two files hold the same bytes: sizes first, then block by block to the first difference."""
    facts = [fs.lstat(path) for path in (one, other)]
    if facts[0].st_size != facts[1].st_size or not all(stat.S_ISREG(fact.st_mode) for fact in facts):
        return False
    if os.path.samestat(*facts):
        return True
    left = fs.open(one, os.O_RDONLY)
    try:
        try:
            right = fs.open(other, os.O_RDONLY)
        except UnsafePath:
            return False  # swapped since the look at it
        try:
            while True:
                block = fs.read(left, BLOCK_BYTES)
                if block != fs.read(right, BLOCK_BYTES):
                    return False
                if not block:
                    return True
        finally:
            fs.close(right)
    finally:
        fs.close(left)


def take_name(source: bytes, target: bytes, fs: FileSystem) -> None:
    """Gives a file whose name is ours alone another name in the same file system, and replaces nothing.

    One rename that refuses to replace; where the file system has none (NFS, some FUSE), a link, which refuses too, and
    then our own name goes; where it has neither, a copy into a file that is made exclusively.

    Raises:
        FileExistsError: the name is taken.
        OSError: the folder cannot be changed now.
    """
    try:
        fs.rename_noreplace(source, target)
    except RenameUnsupported:
        try:
            fs.link(source, target)
        except FileExistsError:
            if not _is_one_file(source, target, fs):  # else a crash came between the link and our name's end
                raise
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            copy_file(source, target, fs)
        fs.unlink(source)


def _is_one_file(one: bytes, other: bytes, fs: FileSystem) -> bool:
    first, second = fs.lstat(one), fs.lstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def copy_file(source: bytes, target: bytes, fs: FileSystem, *, device: int | None = None) -> None:
    """Copies to a name that must be free: whole, on the disk and read back, with owner, group, mode, times and xattrs.

    Args:
        source: a name that is ours alone.
        target: made exclusively.
        fs: the file system.
        device: whose leases are believed (`writers`).

    Raises:
        FileExistsError: the target is taken; it was not touched.
        StillWritten: somebody wrote the source meanwhile. As with every other error, nothing of the copy stays.
        OSError: the place cannot take it now.
    """
    reading = fs.open(source, os.O_RDONLY)
    try:
        try:
            copy = fs.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except UnsafePath as error:
            if not fs.exists(target):  # raises again when it is a folder on the way that became a link
                raise
            raise FileExistsError(errno.EEXIST, error.strerror, os.fsdecode(target)) from error
        try:
            _fill(reading, copy, target, fs, device)
        except OSError:
            # On a full disk each original would leave what fitted.
            with contextlib.suppress(OSError):
                fs.unlink(target)
            raise
    finally:
        fs.close(reading)


def _fill(reading: int, copy: int, target: bytes, fs: FileSystem, device: int | None) -> None:
    """Closes the copy. Raises OSError when it is not the whole file, or not on the disk."""
    total = new_digest()
    try:
        before = fs.fstat(reading)
        # A file with holes may seem to hold terabytes.
        if before.st_size > fs.free_bytes(os.path.dirname(target)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(target))
        while block := fs.read(reading, BLOCK_BYTES):
            total.update(block)
            write_all(fs, copy, block)
        keep_metadata(reading, copy, before)
        fs.fsync(copy)
    finally:
        fs.close(copy)
    if digest_at_rest(target, fs, None) != total.hexdigest():
        raise OSError(errno.EIO, "the disk gave back other bytes than were written")
    if facts_of(fs.fstat(reading)) != facts_of(before) or writers(reading, device) is Writers.SOMEBODY:
        raise StillWritten(errno.EBUSY, "another program is writing it", os.fsdecode(target))


def keep_metadata(source: int, copy: int, facts: os.stat_result) -> None:
    """Owner, group, extended attributes, mode and times, each as far as the file system and our rights allow.

    Shares refuse some of them, and only root gives files away: the photo itself counts.
    """
    for owner, group in ((-1, facts.st_gid), (facts.st_uid, -1)):
        with contextlib.suppress(OSError):
            os.fchown(copy, owner, group)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            for name in os.listxattr(source):
                with contextlib.suppress(OSError):  # `security.` and `trusted.` are not ours to give
                    os.setxattr(copy, name, os.getxattr(source, name))
    with contextlib.suppress(OSError):  # after the owner, whose change clears bits
        os.fchmod(copy, stat.S_IMODE(facts.st_mode))
    with contextlib.suppress(OSError):
        os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
