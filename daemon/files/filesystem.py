"""The operating system's calls for files of users, below the folders that they were configured in; no policy."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import stat as stat_module
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Literal

from msgspec import Struct

from cutoutd.daemon.files import beneath
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.interface import Entry, FileSystem

# linux/fs.h and sys/stdio.h: fail with EEXIST when the target exists, instead of replacing it.
RENAME_NOREPLACE = 1
RENAME_EXCL = 4
# Linux's RENAME_EXCHANGE and macOS's RENAME_SWAP: the two names change places.
RENAME_EXCHANGE = 2

# What a file system answers that cannot rename without replacing (NFS, 9p, many FUSE, old kernels).
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
# What file systems without hard links, or that allow none here, say.
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class RenameUnsupported(OSError):  # noqa: N818 - a fact about a file system that callers ask for, not a failure
    """This file system cannot rename without replacing; the caller needs another way."""


class FileFacts(Struct, frozen=True):
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


class Root(Struct, frozen=True):
    """A folder that the user configured.

    Attributes:
        path: absolute; it may itself be reached through links.
        inode: device and inode that it must have: another folder in its place is refused with ESTALE. None for any.
    """

    path: bytes
    inode: tuple[int, int] | None = None


class RealFileSystem:
    """The operating system's calls, below the given folders.

    Args:
        root: an absolute path, or a root with the inode it must have.
        more: further ones. A path is looked for below the longest of them that it begins with.
    """

    def __init__(self, root: bytes | Root, *more: bytes | Root) -> None:
        known = [root if isinstance(root, Root) else Root(root) for root in (root, *more)]
        self._roots = sorted(known, key=lambda root: len(root.path), reverse=True)

    def _find(self, path: bytes) -> tuple[Root, bytes]:
        for root in self._roots:
            if path == root.path:
                return root, b""
            if path.startswith(root.path.rstrip(b"/") + b"/"):
                return root, path[len(root.path.rstrip(b"/")) + 1 :]
        raise UnsafePath("a path outside the folders that belong to this work", path)

    def _at(self, path: bytes) -> AbstractContextManager[tuple[int, bytes]]:
        """The folder of a name as a descriptor, and the name."""
        root, relative = self._find(path)
        return beneath.name_below(root.path, root.inode, relative)

    def _folder(self, path: bytes) -> AbstractContextManager[int]:
        """A folder's descriptor, to list or sync it."""
        root, relative = self._find(path)
        return beneath.folder_below(root.path, root.inode, relative)

    def stat(self, path: bytes) -> os.stat_result:
        """See FileSystem."""
        root, relative = self._find(path)
        if relative:
            return self.lstat(path)
        with beneath.opened_root(root.path, root.inode) as fd:
            return os.fstat(fd)

    def lstat(self, path: bytes) -> os.stat_result:
        """See FileSystem."""
        with self._at(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def exists(self, path: bytes) -> bool:
        """See FileSystem."""
        try:
            if self._find(path)[1]:
                self.lstat(path)
            else:
                self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def is_readable(self, path: bytes) -> bool:
        """See FileSystem."""
        try:
            with self._at(path) as (folder, name):
                facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
                return stat_module.S_ISREG(facts.st_mode) and os.access(name, os.R_OK, dir_fd=folder)
        except OSError:
            return False

    def open(self, path: bytes, flags: int, mode: int = 0o600) -> int:
        """See FileSystem."""
        with self._at(path) as (folder, name):
            return beneath.open_file(folder, name, flags, mode)

    def fstat(self, fd: int) -> os.stat_result:
        """See FileSystem."""
        return os.fstat(fd)

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

    def truncate(self, fd: int, size: int) -> None:
        """See FileSystem."""
        os.ftruncate(fd, size)

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
        with self._folder(path) as fd:
            sync_folder(fd)

    def close(self, fd: int) -> None:
        """See FileSystem."""
        os.close(fd)

    def fchmod(self, fd: int, mode: int) -> None:
        """See FileSystem."""
        os.fchmod(fd, mode)

    def inherits(self, folder: bytes) -> bool:
        """See FileSystem."""
        with self._folder(folder) as fd:
            return has_default_acl(fd)

    def chmod(self, path: bytes, mode: int) -> None:
        """See FileSystem."""
        with self._at(path) as (folder, name):
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat_module.S_ISDIR(facts.st_mode):
                fd = beneath.open_folder(folder, [name], to_read=True)
            else:
                fd = beneath.open_file(folder, name, os.O_RDONLY)
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)

    def rename(self, source: bytes, target: bytes) -> None:
        """See FileSystem."""
        with self._at(source) as (from_fd, old), self._at(target) as (to_fd, new):
            os.rename(old, new, src_dir_fd=from_fd, dst_dir_fd=to_fd)

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        """See FileSystem."""
        self._rename_by_flag(source, target, RENAME_EXCL if sys.platform == "darwin" else RENAME_NOREPLACE)

    def exchange(self, one: bytes, other: bytes) -> None:
        """See FileSystem."""
        self._rename_by_flag(one, other, RENAME_EXCHANGE)

    def _rename_by_flag(self, source: bytes, target: bytes, flag: int) -> None:
        native = _native_rename()
        if native is None:
            raise RenameUnsupported(
                errno.ENOSYS, "no exclusive rename in this C library", os.fsdecode(target)
            )
        with self._at(source) as (from_fd, old), self._at(target) as (to_fd, new):
            code = native(from_fd, old, to_fd, new, flag)
        if code == 0:
            return
        if code in _UNSUPPORTED:
            raise RenameUnsupported(code, os.strerror(code), os.fsdecode(target))
        raise OSError(code, os.strerror(code), os.fsdecode(source), None, os.fsdecode(target))

    def link(self, source: bytes, target: bytes) -> None:
        """See FileSystem."""
        with self._at(source) as (from_fd, old), self._at(target) as (to_fd, new):
            os.link(old, new, src_dir_fd=from_fd, dst_dir_fd=to_fd, follow_symlinks=False)

    def unlink(self, path: bytes) -> None:
        """See FileSystem."""
        with self._at(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        """See FileSystem."""
        with self._at(path) as (folder, name):
            os.mkdir(name, mode, dir_fd=folder)

    def rmdir(self, path: bytes) -> None:
        """See FileSystem."""
        with self._at(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    @contextmanager
    def scandir(self, path: bytes) -> Generator[Iterator[Entry]]:
        """See FileSystem."""
        with self._folder(path) as fd, os.scandir(fd) as entries:
            yield (_Entry(entry, path) for entry in entries)

    def free_bytes(self, path: bytes) -> int:
        """See FileSystem."""
        with self._folder(path) as fd:
            facts = os.fstatvfs(fd)
        return facts.f_bavail * facts.f_frsize


class _Entry:
    """An entry of a folder that is listed by its descriptor; what it is, most file systems say with its name."""

    __slots__ = ("_entry", "_folder", "_is_dir", "name")

    def __init__(self, entry: os.DirEntry[str], folder: bytes) -> None:
        self.name = os.fsencode(entry.name)
        self._entry = entry
        self._folder = folder
        self._is_dir: bool | OSError
        try:
            # Asked for now: by the time that a caller asks, the folder may be closed.
            self._is_dir = entry.is_dir(follow_symlinks=False)
        except OSError as error:
            self._is_dir = error

    @property
    def path(self) -> bytes:
        """See Entry."""
        return os.path.join(self._folder, self.name)

    def is_dir(self, *, follow_symlinks: Literal[False]) -> bool:  # noqa: ARG002 - never followed
        """See Entry."""
        if isinstance(self._is_dir, OSError):
            raise self._is_dir
        return self._is_dir

    def is_file(self, *, follow_symlinks: Literal[False]) -> bool:
        """See Entry."""
        return self._entry.is_file(follow_symlinks=follow_symlinks)

    def stat(self, *, follow_symlinks: Literal[False]) -> os.stat_result:
        """See Entry."""
        return self._entry.stat(follow_symlinks=follow_symlinks)


def has_default_acl(folder: int | bytes | os.PathLike[str]) -> bool:
    """Whether a folder gives what is made in it permissions of its own, for which no umask counts."""
    if sys.platform != "linux":  # macOS adds its lists to the permission bits, which stay the umask's
        return False
    try:
        os.getxattr(folder, "system.posix_acl_default")
    except OSError:  # it has none, or its file system knows none
        return False
    return True


def sync_folder(fd: int) -> None:
    """Sync an opened folder's names; file systems that cannot, say EINVAL and keep names safe otherwise."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def open_up(fd: int, path: bytes, mode: int, fs: FileSystem) -> None:
    """Gives a file that is still private the user's permissions, unless its folder gave it some when it was made."""
    if not fs.inherits(os.path.dirname(path)):
        fs.fchmod(fd, mode)


def write_all(fs: FileSystem, fd: int, data: bytes | memoryview) -> None:
    """Write every byte, however few each call takes; raises OSError (ENOSPC, EIO) when the disk refuses."""
    rest = memoryview(data)
    while rest:
        taken = fs.write(fd, rest)
        if taken <= 0:
            raise OSError(errno.EIO, "the disk took no bytes and gave no reason")
        rest = rest[taken:]


@functools.cache
def _native_rename() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The system's rename with flags as a function that returns 0 or an errno; None where it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        call = libc.renameatx_np if sys.platform == "darwin" else libc.renameat2
    except AttributeError:  # musl before 1.2.6, other systems
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int

    def rename(from_fd: int, source: bytes, to_fd: int, target: bytes, flags: int) -> int:
        return 0 if call(from_fd, source, to_fd, target, flags) == 0 else ctypes.get_errno()

    return rename
