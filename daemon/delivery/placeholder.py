"""Where neither exclusive renames nor links exist: a file of ours reserves a name until the cutout takes its place."""

from __future__ import annotations

import contextlib
import os
import re
import stat

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.filesystem import write_all
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.names import parse_temporary

_TEXT = re.compile(rb"The cutout of cutoutd's photo ([0-9a-f]+)-\d+ is about to lie here\.\n")
# Twice as much as the longest id and the largest row need.
_LONGEST = 200


def text_for(temporary: bytes) -> bytes:
    """What a placeholder for a photo's cutout holds; not nothing, which is what a file holds that is just saved."""
    parts = parse_temporary(os.path.basename(temporary))
    whose = os.path.basename(temporary) if parts is None else f"{parts.instance}-{parts.photo}".encode()
    return b"The cutout of cutoutd's photo " + whose + b" is about to lie here.\n"


def reserved_by(path: bytes, fs: FileSystem) -> str:
    """Whose placeholder lies under a name, as the id of a daemon or batch; empty where it is none."""
    try:
        facts = fs.lstat(path)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LONGEST:
            return ""
        fd = fs.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError, UnsafePath):
        return ""
    try:
        match = _TEXT.fullmatch(fs.read(fd, _LONGEST))
    finally:
        fs.close(fd)
    return "" if match is None else match[1].decode()


def is_ours(final: bytes, temporary: bytes, fs: FileSystem) -> bool:
    """Whether a crash left a placeholder under a name that is committed to this photo."""
    text = text_for(temporary)
    try:
        fd = fs.open(final, os.O_RDONLY)
    except (FileNotFoundError, PermissionError, UnsafePath):
        return False
    try:
        return fs.fstat(fd).st_size == len(text) and fs.read(fd, len(text) + 1) == text
    finally:
        fs.close(fd)


def publish_over(temporary: bytes, final: bytes, fs: FileSystem) -> bool:
    """Where neither exclusive renames nor links exist: reserve the name, then rename over it."""
    try:
        fd = fs.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    try:
        write_all(fs, fd, text_for(temporary))
    except OSError:  # a full disk; after a crash right here an empty file stays, which might be anybody's
        with contextlib.suppress(OSError):
            fs.unlink(final)
        raise
    finally:
        fs.close(fd)
    if not is_ours(final, temporary, fs):
        return False
    fs.rename(temporary, final)
    return True
