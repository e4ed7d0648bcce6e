"""A batch's mark in its output folder, held while it lives; what dead ones left there goes. It writes no cutout.

Nothing can be done at the end of a process that is killed. The mark is an empty hidden file with the batch's own id,
under a lock that ends with the process: an id whose mark nobody holds belongs to nobody any more, and so do its
temporaries. Those of daemons have no such mark.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Container, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cutoutd.daemon.delivery.leftovers import FOREIGN_TEMPORARY_AGE_S
from cutoutd.daemon.delivery.placeholder import reserved_by
from cutoutd.daemon.delivery.publish import discard
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.flock import hold
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.listing import files_below
from cutoutd.daemon.files.mounts import filesystem_kind, needs_polling
from cutoutd.daemon.files.names import Temporary, parse_temporary


@contextmanager
def held_folder(folder: Path) -> Generator[str]:
    """Removes what dead batches left in an output folder, and holds an id for another batch's temporaries there.

    Where the folder takes no mark, or its file system keeps no locks, the id is as good and nothing is swept later.
    """
    outbox = os.fsencode(folder)
    fs = RealFileSystem(outbox)
    with suppress(OSError):  # what is wrong with the folder, the first photo will tell
        _sweep(outbox, fs, only_old=needs_polling(filesystem_kind(folder)))
    instance = secrets.token_hex(4)
    mark = os.path.join(outbox, _mark(instance))
    held: int | None = None
    with suppress(OSError):
        held = fs.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        if held is not None and not hold(held):
            with suppress(OSError):
                fs.unlink(mark)
            # Somebody may have taken it for dead in this moment, and look for what has its id.
            instance = secrets.token_hex(4)
        yield instance
    finally:
        if held is not None:
            with suppress(OSError):  # a folder that went takes its mark along
                fs.unlink(mark)
            fs.close(held)


def _mark(instance: str) -> bytes:
    """Row 0, which no photo has, and the process number 0, which no probe of a daemon's has."""
    return Temporary(instance, 0, 0, 0).name()


def _sweep(outbox: bytes, fs: FileSystem, *, only_old: bool) -> None:
    """Removes the temporaries of all batches that are dead.

    Args:
        outbox: the folder.
        fs: the file system, with the outbox as its root.
        only_old: it is a share, whose locks may be unknown to other machines: only what a daemon would take for left
            over is.
    """
    with fs.scandir(outbox) as entries:
        marks = [entry.path for entry in entries if _is_mark(entry.name)]
    dead: dict[str, tuple[bytes, int]] = {}  # by id, each mark held
    try:
        for mark in marks:
            with suppress(OSError):
                fd = _dead(mark, fs, only_old=only_old)
                if fd is not None:
                    dead[_instance(mark)] = mark, fd
        for path in _left_by(dead, outbox, fs) if dead else ():
            with suppress(PermissionError):  # in somebody else's folder
                discard([path], fs)
        # Last of all: a sweep that is killed too is done by the next.
        discard([mark for mark, _ in dead.values()], fs)
    finally:
        for _, fd in dead.values():
            fs.close(fd)


def _is_mark(name: bytes) -> bool:
    parts = parse_temporary(name)
    return parts is not None and name == _mark(parts.instance)


def _instance(mark: bytes) -> str:
    parts = parse_temporary(os.path.basename(mark))
    assert parts is not None  # noqa: S101 - `_is_mark` has looked
    return parts.instance


def _dead(mark: bytes, fs: FileSystem, *, only_old: bool) -> int | None:
    """The mark as a descriptor that holds it, where nobody else does."""
    fd = fs.open(mark, os.O_RDONLY)
    facts = fs.fstat(fd)
    # Earlier versions gave such a name to a photo's temporary, and nobody knows whether that is being written.
    empty = stat.S_ISREG(facts.st_mode) and facts.st_size == 0
    old = time.time() - facts.st_mtime > FOREIGN_TEMPORARY_AGE_S
    if empty and (old or not only_old) and hold(fd):
        return fd
    fs.close(fd)
    return None


def _left_by(dead: Container[str], outbox: bytes, fs: FileSystem) -> Iterator[bytes]:
    """Their temporaries, and what kept a name for one of them where a file system needs that."""
    for entry in files_below(outbox, fs):
        parts = parse_temporary(entry.name)
        whose = reserved_by(entry.path, fs) if parts is None else parts.instance
        if whose in dead and (parts is None or parts.photo > 0):
            yield entry.path
