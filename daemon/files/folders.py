"""Folders of users as a whole: made on first use, asked whether they answer; what lies in them is not looked at.

These go by path, through links too: the folders are those that the user configured, and where they lie is the user's
choice. What lies below them is reached by `filesystem.py` alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from cutoutd.daemon.files.filesystem import sync_folder


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
        one.chmod(mode)
        fd = os.open(one.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_folder(fd)
        finally:
            os.close(fd)


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
