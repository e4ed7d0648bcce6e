"""Reads a user's own file whole, if it is a plain one of a sane size; what else lies under its name holds up nobody."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_plain(path: Path, most_bytes: int) -> bytes:
    """All that is in it.

    Raises:
        OSError: it cannot be read, is no plain file (a pipe would be waited for, a device never ends), or is larger.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        facts = os.fstat(file.fileno())
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        return bounded(file.read(most_bytes + 1), most_bytes, path)


def bounded(data: bytes, most_bytes: int, path: Path) -> bytes:
    """What was read of a file, if that is all of it. Raises OSError."""
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, "it is too large", str(path))
    return data
