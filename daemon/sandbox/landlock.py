"""Landlock: this process may from now on reach only the files named; which ones is not decided here.

Written against the kernel's documented interface (landlock(7)), without a library. A rule binds the inode a
path has now: a folder that is later recreated or mounted anew lies outside, so workers are replaced then.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path
from typing import Final

from msgspec import Struct

from cutoutd.daemon.sandbox.seccomp import no_new_privileges


class Access(IntFlag):
    """`LANDLOCK_ACCESS_FS_*` of linux/landlock.h, in the kernel's order."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ: Final = Access.READ_FILE | Access.READ_DIR
# Create and write, but neither remove nor rename: a file that is there keeps its name. The kernel has no
# "write only what you made", so an existing file's content is not out of reach; emptying one's own leftover
# (TRUNCATE) adds nothing to that, and a full disk is eased by it.
CREATE: Final = READ | Access.WRITE_FILE | Access.TRUNCATE | Access.MAKE_REG | Access.MAKE_DIR
# In a folder of one's own also remove and rename; still no devices, links or sockets.
OWN: Final = CREATE | Access.REMOVE_FILE | Access.REMOVE_DIR | Access.REFER
# What the kernel lets a rule on a single file (not a folder) carry.
_FILE_ONLY: Final = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV

# Which rights a kernel of each ABI knows; asking for an unknown one is refused as a whole.
_FIRST_ABI: Final = {Access.REFER: 2, Access.TRUNCATE: 3, Access.IOCTL_DEV: 5}
_NETWORK_ABI: Final = 4
_SCOPE_ABI: Final = 6
_TCP_BIND_AND_CONNECT: Final = 0b11
# No signals to, and no abstract unix sockets of, any process outside.
_SCOPE_SOCKETS_AND_SIGNALS: Final = 0b11

# The same numbers on every architecture (they came after the tables were unified).
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1


class Confined(Struct, frozen=True):
    """What came of it: the kernel's ABI and the paths that could not be opened and so could not be allowed."""

    abi: int
    absent: tuple[Path, ...]


def abi() -> int:
    """The Landlock version this kernel speaks, 0 where it has none, was built without it, or has it off."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer: int = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_ASK_VERSION)
    )
    return max(answer, 0)


def handled(version: int) -> Access:
    """Every right that a kernel of this ABI can deny: all of them are, unless a rule allows them."""
    rights = Access(0)
    for right in Access:
        if version >= _FIRST_ABI.get(right, 1):
            rights |= right
    return rights


def confine(
    read: Iterable[Path],
    create: Iterable[Path],
    write_devices: Iterable[Path] = (),
    control_devices: Iterable[Path] = (),
    *,
    own: Iterable[Path] = (),
    execute: Iterable[Path] = (),
    network: bool = False,
) -> Confined:
    """Restricts the calling thread and every thread and process it starts later; there is no way back.

    Args:
        read: files and folders (with all beneath them) that stay readable.
        create: folders in which files and folders may also be created and written, not removed or renamed.
        write_devices: existing files that may be read and written, such as /dev/null.
        control_devices: device files that may also be controlled (ioctl), such as a graphics card's.
        own: folders in which everything may be done with files and folders.
        execute: what may be read and run.
        network: True leaves TCP alone; for a process whose work it is.

    Raises:
        OSError: the kernel has no Landlock (ENOSYS), or a rule was refused.
    """
    version = abi()
    if version == 0:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    libc = ctypes.CDLL(None, use_errno=True)
    ruleset = _create_ruleset(libc, version, network=network)
    absent: list[Path] = []
    try:
        for paths, rights in (
            (read, READ),
            (create, CREATE),
            (write_devices, Access.READ_FILE | Access.WRITE_FILE),
            (control_devices, Access.READ_FILE | Access.WRITE_FILE | Access.IOCTL_DEV),
            (own, OWN),
            (execute, READ | Access.EXECUTE),
        ):
            absent += [path for path in paths if not _allow(libc, ruleset, path, rights & handled(version))]
        no_new_privileges(libc)
        _checked(libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)))
    finally:
        os.close(ruleset)
    return Confined(version, tuple(absent))


def _create_ruleset(libc: ctypes.CDLL, version: int, *, network: bool) -> int:
    """A new ruleset that denies everything this kernel can deny, or all but TCP; `struct landlock_ruleset_attr`."""
    attributes = struct.pack("=Q", handled(version))
    if version >= _NETWORK_ABI:
        attributes += struct.pack("=Q", 0 if network else _TCP_BIND_AND_CONNECT)
    if version >= _SCOPE_ABI:
        attributes += struct.pack("=Q", _SCOPE_SOCKETS_AND_SIGNALS)
    return _checked(
        libc.syscall(
            ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)
        )
    )


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: Access) -> bool:
    """Adds one rule; False when the path cannot be opened. `struct landlock_path_beneath_attr` is packed."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # Not there, on a share that is gone, behind a folder one may not pass: whatever it is, it stays closed. An
        # error here must not be one of the whole, for that would leave every file open.
        return False
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _FILE_ONLY
        rule = struct.pack("=Qi", rights, handle)
        _checked(
            libc.syscall(
                ctypes.c_long(_ADD_RULE),
                ctypes.c_int(ruleset),
                ctypes.c_int(_RULE_PATH_BENEATH),
                rule,
                ctypes.c_uint(0),
            )
        )
    finally:
        os.close(handle)
    return True


def _checked(answer: int) -> int:
    """The answer of a system call, or its error raised."""
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
