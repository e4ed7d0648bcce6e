"""Folders of users: made on first use, asked whether they answer; what lies in them is not looked at.

Those that the user configured go by path, through links too: where they lie is the user's choice. What lies below
them is reached by `filesystem.py` alone.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cutoutd.daemon.files.filesystem import has_default_acl, sync_folder
from cutoutd.daemon.files.interface import FileSystem

# What the owner may do is never masked away: a folder that not even we may write takes no cutout, and nobody could
# look at one that its owner may not read.
OTHERS = 0o077


def take_umask() -> int:
    """Makes what this process makes private; returns the user's own mask, for what is theirs."""
    return os.umask(OTHERS) & OTHERS


def make_folder(path: Path, mode: int) -> None:
    """Makes a folder and its parents with the user's own mode bits, though this process's umask is private.

    They are on the disk when it returns: the ledger remembers them, and would wait for ever for one that a power
    cut took.

    Raises:
        OSError: it cannot be made.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        if not has_default_acl(one.parent):
            one.chmod(mode)
        fd = os.open(one.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_folder(fd)
        finally:
            os.close(fd)


def make_below(fs: FileSystem, top: bytes, folder: bytes, mode: int) -> None:
    """Makes the folders that are missing between `top` and `folder`; all of them are on the disk when it returns.

    Those that were there are synced too: whoever made them may have been ended before it came to that.

    Args:
        fs: the file system.
        top: an absolute path that exists and is not made here.
        folder: the same, or a path below it.
        mode: permission bits of what is made: the process's own umask is private.

    Raises:
        OSError: one of them cannot be made.
    """
    levels: list[bytes] = []
    while folder != top:
        levels.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(levels):
        if not fs.exists(path):
            # By the umask, not by chmod: that is a call that no worker may make.
            before = os.umask(0o777 & ~mode)
            try:
                with contextlib.suppress(FileExistsError):
                    fs.mkdir(path)
            finally:
                os.umask(before)
        fs.fsync_dir(os.path.dirname(path))


def device_of(path: bytes) -> int:
    """Number of the file system that a folder lies on. Raises OSError."""
    return os.stat(path).st_dev


def lies_elsewhere(folder: Path, device: int) -> bool:
    """Whether a folder, or where it is going to be made, lies on another file system. Raises OSError."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return there.stat().st_dev != device


def top_of_mount(folder: bytes) -> bytes:
    """The topmost folder of the file system that a folder lies on, on the way up from it. Raises OSError."""
    device, top = device_of(folder), folder
    while top != b"/" and device_of(os.path.dirname(top)) == device:
        top = os.path.dirname(top)
    return top


def ask(path: Path) -> None:
    """Returns when the folder answers: by the one call whose answer no network file system keeps for later.

    Raises:
        OSError: an answer too.
    """
    os.statvfs(path)


def inode_of(path: Path) -> tuple[int, int]:
    """Device and inode of the folder that lies there now. Raises OSError."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino
