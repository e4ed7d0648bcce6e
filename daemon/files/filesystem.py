"""The file-system calls that delivery and settling rely on, as a seam that tests can make fail; no policy."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import stat as stat_module
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

# linux/fs.h and sys/stdio.h: fail with EEXIST when the target exists, instead of replacing it.
RENAME_NOREPLACE = 1
RENAME_EXCL = 4
AT_FDCWD = -100

# What a file system answers that cannot rename without replacing (NFS, 9p, many FUSE, old kernels).
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


class RenameUnsupported(OSError):  # noqa: N818 - a fact about a file system that callers ask for, not a failure
    """This file system cannot rename without replacing; the caller needs another way."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a stat says about a file: hints that it changed, never proof that it did not.

    Attributes:
        size: bytes.
        mtime_ns: last modification by the file's own clock (a camera's, perhaps), nanoseconds.
        inode: changes when a name is given to another file.
        device: number of the file system it lies on.
        mode: type and permission bits.
    """

    size: int
    mtime_ns: int
    inode: int
    device: int
    mode: int

    @classmethod
    def of(cls, stat: os.stat_result) -> FileFacts:
        """The facts in a stat result."""
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev, stat.st_mode)

    @property
    def is_regular(self) -> bool:
        """Whether this is a plain file: no folder, link, FIFO, socket or device."""
        return stat_module.S_ISREG(self.mode)


class FileSystem(Protocol):
    """Everything cutoutd does to files outside its workers. Paths are bytes; every call may raise OSError."""

    def stat(self, path: bytes) -> os.stat_result:
        """Follow links and look."""
        ...

    def lstat(self, path: bytes) -> os.stat_result:
        """Look at the name itself."""
        ...

    def exists(self, path: bytes) -> bool:
        """Whether the name is taken, be it by a dangling link; errors other than absence are raised."""
        ...

    def open(self, path: bytes, flags: int, mode: int = 0o600) -> int:
        """A descriptor, closed on exec."""
        ...

    def read(self, fd: int, count: int) -> bytes:
        """Up to count bytes; empty at the end."""
        ...

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """How many bytes were taken: may be fewer than given."""
        ...

    def start_writing_back(self, fd: int, start: int, count: int) -> None:
        """Have these bytes on their way to the disk, so that a later fsync finds little to do; promises nothing."""
        ...

    def fsync(self, fd: int) -> None:
        """Return when the bytes would survive a power cut."""
        ...

    def fsync_dir(self, path: bytes) -> None:
        """Return when the folder's names would survive a power cut."""
        ...

    def close(self, fd: int) -> None:
        """Give the descriptor back; network file systems report late write errors here."""
        ...

    def chmod(self, path: bytes, mode: int) -> None:
        """Set permission bits."""
        ...

    def rename(self, source: bytes, target: bytes) -> None:
        """Rename, replacing the target."""
        ...

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        """Rename; FileExistsError when the target exists, RenameUnsupported where that cannot be promised."""
        ...

    def link(self, source: bytes, target: bytes) -> None:
        """A second name for a file; FileExistsError when taken."""
        ...

    def unlink(self, path: bytes) -> None:
        """Remove a name."""
        ...

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        """Make one folder, less the umask."""
        ...

    def rmdir(self, path: bytes) -> None:
        """Remove an empty folder."""
        ...

    def scandir(self, path: bytes) -> AbstractContextManager[Iterator[os.DirEntry[bytes]]]:
        """The entries of a folder, one at a time, in no order."""
        ...

    def free_bytes(self, path: bytes) -> int:
        """Space that this user may still fill on the file system of path."""
        ...


class RealFileSystem:
    """The operating system's calls, unchanged."""

    def stat(self, path: bytes) -> os.stat_result:
        """See FileSystem."""
        return os.stat(path)

    def lstat(self, path: bytes) -> os.stat_result:
        """See FileSystem."""
        return os.lstat(path)

    def exists(self, path: bytes) -> bool:
        """See FileSystem."""
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def open(self, path: bytes, flags: int, mode: int = 0o600) -> int:
        """See FileSystem."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def read(self, fd: int, count: int) -> bytes:
        """See FileSystem."""
        return os.read(fd, count)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """See FileSystem."""
        return os.write(fd, data)

    def start_writing_back(self, fd: int, start: int, count: int) -> None:
        """See FileSystem. Linux starts to write what it is told will not be needed; macOS has no such call."""
        if sys.platform == "linux":
            with suppress(OSError):  # a hint: what the file system thinks of it, fsync will tell
                os.posix_fadvise(fd, start, count, os.POSIX_FADV_DONTNEED)

    def fsync(self, fd: int) -> None:
        """See FileSystem. macOS's fsync stops at the drive's cache; F_FULLFSYNC goes through it."""
        full_fsync: int | None = getattr(fcntl, "F_FULLFSYNC", None)
        if full_fsync is not None:
            with suppress(OSError):  # shares and some external disks do not know it: plain fsync then
                fcntl.fcntl(fd, full_fsync)
                return
        os.fsync(fd)

    def fsync_dir(self, path: bytes) -> None:
        """See FileSystem. File systems that cannot sync a folder say EINVAL and keep names safe otherwise."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        """See FileSystem."""
        os.close(fd)

    def chmod(self, path: bytes, mode: int) -> None:
        """See FileSystem."""
        os.chmod(path, mode)

    def rename(self, source: bytes, target: bytes) -> None:
        """See FileSystem."""
        os.rename(source, target)

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        """See FileSystem."""
        native = _native_rename()
        if native is None:
            raise RenameUnsupported(
                errno.ENOSYS, "no exclusive rename in this C library", os.fsdecode(target)
            )
        code = native(source, target)
        if code == 0:
            return
        if code in _UNSUPPORTED:
            raise RenameUnsupported(code, os.strerror(code), os.fsdecode(target))
        raise OSError(code, os.strerror(code), os.fsdecode(source), None, os.fsdecode(target))

    def link(self, source: bytes, target: bytes) -> None:
        """See FileSystem."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: bytes) -> None:
        """See FileSystem."""
        os.unlink(path)

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        """See FileSystem."""
        os.mkdir(path, mode)

    def rmdir(self, path: bytes) -> None:
        """See FileSystem."""
        os.rmdir(path)

    def scandir(self, path: bytes) -> AbstractContextManager[Iterator[os.DirEntry[bytes]]]:
        """See FileSystem."""
        return os.scandir(path)

    def free_bytes(self, path: bytes) -> int:
        """See FileSystem."""
        facts = os.statvfs(path)
        return facts.f_bavail * facts.f_frsize


def write_all(fs: FileSystem, fd: int, data: bytes | memoryview) -> None:
    """Write every byte, however few each call takes; raises OSError (ENOSPC, EIO) when the disk refuses."""
    rest = memoryview(data)
    while rest:
        taken = fs.write(fd, rest)
        if taken <= 0:
            raise OSError(errno.EIO, "the disk took no bytes and gave no reason")
        rest = rest[taken:]


@functools.cache
def _native_rename() -> Callable[[bytes, bytes], int] | None:
    """The system's exclusive rename as a function that returns 0 or an errno; None where it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            call, before, between, flag = libc.renamex_np, (), (), RENAME_EXCL
            call.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
        else:
            here = ctypes.c_int(AT_FDCWD)
            call, before, between, flag = libc.renameat2, (here,), (here,), RENAME_NOREPLACE
            call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    except AttributeError:  # musl before 1.2.6, other systems
        return None
    call.restype = ctypes.c_int

    def rename(source: bytes, target: bytes) -> int:
        return 0 if call(*before, source, *between, target, flag) == 0 else ctypes.get_errno()

    return rename
