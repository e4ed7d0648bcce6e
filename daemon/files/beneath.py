"""Names below a folder as descriptors, opened without following a link or leaving the folder; it knows no policy.

In a folder that others can write to, a path says nothing about what lies there a moment later: each part of it may
have become a link by then. So a folder that the user configured (a root) is opened once, and everything below is
reached from that descriptor: the kernel is told to resolve beneath it and to follow no link (`openat2`, Linux 5.6),
or each part is opened by itself and refused when it is a link. What is done to the last part is done relative to its
own folder's descriptor.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat as stat_module
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

# asm-generic/unistd.h (the same number everywhere) and linux/openat2.h.
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
# What the kernel says that has no such call, and a filter of system calls that does not know it.
_NO_OPENAT2 = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG})

# Enough to pass through a folder; Linux asks for no read permission then.
_PASS: int = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TO_WRITE = os.O_WRONLY | os.O_RDWR
# An open that does not wait is refused while a file server takes back the lease that it holds on a file: it is
# given a second for that, in twenty looks.
_LEASE_TRIES, _LEASE_PAUSE_S = 20, 0.05

_KINDS = {
    stat_module.S_IFLNK: "a link",
    stat_module.S_IFIFO: "a pipe",
    stat_module.S_IFSOCK: "a socket",
    stat_module.S_IFCHR: "a device",
    stat_module.S_IFBLK: "a device",
    stat_module.S_IFDIR: "a folder",
}


class UnsafePath(OSError):  # noqa: N818 - it says what lies there, and callers ask for it
    """A link lies where a folder should be, or something other than a plain file where a file should be.

    Its errno is always ELOOP, its strerror says what lies there. Nothing was opened, read or changed.
    """

    def __init__(self, what: str, path: bytes) -> None:
        super().__init__(errno.ELOOP, what, os.fsdecode(path))


class _OpenHow(ctypes.Structure):
    """`struct open_how` of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def parts_of(relative: bytes) -> list[bytes]:
    """The components of a path below a root; empty for the root itself.

    Raises:
        UnsafePath: one of them leads back up.
    """
    parts = [part for part in relative.split(b"/") if part not in (b"", b".")]
    if b".." in parts or b"\0" in relative:
        raise UnsafePath("a path that leaves its folder", relative)
    return parts


@contextmanager
def opened_root(root: bytes, inode: tuple[int, int] | None = None) -> Generator[int]:
    """A descriptor of a configured folder, which may itself be reached through links.

    Args:
        root: its absolute path.
        inode: device and inode that it must have; None for any.

    Raises:
        OSError: it cannot be opened; ESTALE: another folder lies in its place.
    """
    fd = os.open(root, _PASS)
    try:
        if inode is not None:
            facts = os.fstat(fd)
            if (facts.st_dev, facts.st_ino) != inode:
                raise OSError(errno.ESTALE, "another folder lies in its place", os.fsdecode(root))
        yield fd
    finally:
        os.close(fd)


def open_folder(root: int, parts: list[bytes], *, to_read: bool = False) -> int:
    """A descriptor of a folder below a root.

    Args:
        root: descriptor of the root.
        parts: from `parts_of`; empty for the root itself.
        to_read: to list it or sync it, not only to pass through.

    Raises:
        UnsafePath: a component is a link.
        OSError: it does not exist, is no folder, or may not be entered.
    """
    flags = _READ if to_read else _PASS
    if not parts:
        return os.open(b".", flags, dir_fd=root)
    native = _openat2()
    fd = -1 if native is None else native(root, b"/".join(parts), flags)
    return fd if fd >= 0 else _walk(root, parts, flags)  # which also says what is wrong


def _walk(root: int, parts: list[bytes], flags: int) -> int:
    """One component after the other, none of them a link."""
    folder = root
    try:
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            try:
                inner = os.open(part, (flags if last else _PASS) | os.O_NOFOLLOW, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK) and _is_link(folder, part):
                    raise UnsafePath("a link where a folder should be", b"/".join(parts)) from error
                raise
            if folder != root:
                os.close(folder)
            folder = inner
    except BaseException:
        if folder != root:
            os.close(folder)
        raise
    return folder


def _is_link(folder: int, name: bytes) -> bool:
    try:
        return stat_module.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


@contextmanager
def name_below(root: bytes, inode: tuple[int, int] | None, relative: bytes) -> Generator[tuple[int, bytes]]:
    """The folder of a name below a root as a descriptor, and the name in it.

    Args:
        root: absolute path of a configured folder.
        inode: as of `opened_root`.
        relative: the path below it.

    Raises:
        UnsafePath: a component of the folder is a link, or the path names the root itself.
        OSError: the folder does not exist or may not be entered.
    """
    *folders, name = parts_of(relative) or [b""]
    if not name:
        raise UnsafePath("the folder itself", relative)
    with opened_root(root, inode) as top:
        if not folders:
            yield top, name
            return
        folder = open_folder(top, folders)
        try:
            yield folder, name
        finally:
            os.close(folder)


@contextmanager
def folder_below(root: bytes, inode: tuple[int, int] | None, relative: bytes) -> Generator[int]:
    """A descriptor of a folder below a root, or of the root itself, to list or sync it; arguments as `name_below`.

    Raises:
        UnsafePath: a component is a link.
        OSError: it does not exist, is no folder, or may not be read.
    """
    with opened_root(root, inode) as top:
        folder = open_folder(top, parts_of(relative), to_read=True)
    try:
        yield folder
    finally:
        os.close(folder)


def open_file(folder: int, name: bytes, flags: int, mode: int = 0o600) -> int:
    """A descriptor of a plain file by its name in a folder; it waits for nobody, and truncates only a plain file.

    Raises:
        UnsafePath: a link, pipe, socket, device or folder has that name; or, to write, a file with a second name.
        OSError: as open(2) does.
    """
    _refuse_others(folder, name)
    wanted = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = _open_leased(folder, name, wanted, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # swapped since the look at it
            _refuse_others(folder, name)
        raise
    try:
        _must_be_plain(os.fstat(fd), name, alone=bool(flags & _TO_WRITE))
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_leased(folder: int, name: bytes, flags: int, mode: int) -> int:
    for _ in range(_LEASE_TRIES - 1):
        try:
            return os.open(name, flags, mode, dir_fd=folder)
        except BlockingIOError:
            time.sleep(_LEASE_PAUSE_S)
    return os.open(name, flags, mode, dir_fd=folder)


def _refuse_others(folder: int, name: bytes) -> None:
    """Before it is opened: merely opening some devices does something."""
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return  # open says so, or makes it
    _must_be_plain(facts, name)


def _must_be_plain(facts: os.stat_result, name: bytes, *, alone: bool = False) -> None:
    if not stat_module.S_ISREG(facts.st_mode):
        kind = _KINDS.get(stat_module.S_IFMT(facts.st_mode), "no plain file")
        raise UnsafePath(f"{kind} where a file should be", name)
    if alone and facts.st_nlink > 1:
        raise UnsafePath("a file that has a second name elsewhere", name)


@functools.cache
def _openat2() -> Callable[[int, bytes, int], int] | None:
    """The call as a function that returns a descriptor or a negative errno; None where the system has none."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    syscall = libc.syscall
    syscall.argtypes = [
        ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t,
    ]  # fmt: skip
    syscall.restype = ctypes.c_long

    def call(root: int, path: bytes, flags: int) -> int:
        """The descriptor, or the negative errno; a signal in between starts it anew."""
        how = _OpenHow(flags, 0, _RESOLVE)
        while True:
            fd = int(syscall(_SYS_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how)))
            if fd >= 0:
                return fd
            code = ctypes.get_errno()
            if code != errno.EINTR:
                return -code

    here = os.open(b"/", _PASS)
    try:
        probe = call(here, b".", _PASS)
    finally:
        os.close(here)
    if probe >= 0:
        os.close(probe)
    return None if -probe in _NO_OPENAT2 else call
