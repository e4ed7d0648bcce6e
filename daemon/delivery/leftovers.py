"""Temporaries that nobody will publish any more: found in an outbox and removed, those of other programs late."""

from __future__ import annotations

import time

from cutoutd.daemon.delivery.publish import discard
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.interface import Entry, FileSystem
from cutoutd.daemon.files.names import parse_temporary

# Another program's temporaries of ours are left alone this long: it may be a second cutoutd at work.
FOREIGN_TEMPORARY_AGE_S = 86400.0


def sweep(
    outbox: bytes, instance: str, keep: frozenset[bytes], *, fs: FileSystem, now: float | None = None
) -> int:
    """Removes our leftover temporaries, and foreign ones that are a day old.

    Args:
        outbox: absolute path; walked without following links.
        instance: this state folder's id; its temporaries go unless they are in `keep`.
        keep: absolute paths of temporaries that still wait to be published.
        fs: the file system, with the outbox as its root.
        now: wall-clock seconds.

    Returns:
        How many were removed.

    Raises:
        OSError: the outbox itself cannot be read.
    """
    now = time.time() if now is None else now
    removed = 0
    folders = [outbox]
    while folders:
        folder = folders.pop()
        try:
            with fs.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.path not in keep and _is_leftover(entry, instance, now):
                        discard([entry.path], fs)
                        removed += 1
        except (PermissionError, FileNotFoundError, UnsafePath):
            if folder == outbox:
                raise
    return removed


def _is_leftover(entry: Entry, instance: str, now: float) -> bool:
    parts = parse_temporary(entry.name)
    if parts is None:
        return False
    if parts.instance == instance:
        return True
    try:
        return now - entry.stat(follow_symlinks=False).st_mtime > FOREIGN_TEMPORARY_AGE_S
    except FileNotFoundError:
        return False
