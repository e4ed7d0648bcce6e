"""Temporaries that nobody will publish any more: found in an outbox and removed, those of other programs late."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable

from cutoutd.daemon.delivery.publish import discard
from cutoutd.daemon.files.interface import Entry, FileSystem
from cutoutd.daemon.files.listing import files_below
from cutoutd.daemon.files.names import parse_temporary

# Another program's temporaries of ours are left alone this long: it may be a second cutoutd at work.
FOREIGN_TEMPORARY_AGE_S = 86400.0


def sweep(
    outbox: bytes,
    instance: str,
    keep: frozenset[bytes],
    *,
    fs: FileSystem,
    now: float | None = None,
    before: int | None = None,
) -> int:
    """Removes our leftover temporaries, and foreign ones that are a day old.

    Args:
        outbox: absolute path; walked without following links.
        instance: this state folder's id; its temporaries go unless they are in `keep`.
        keep: absolute paths of temporaries that still wait to be published.
        fs: the file system, with the outbox as its root.
        now: wall-clock seconds.
        before: only our own of attempts with smaller numbers, which no worker of this life writes; unset, all.

    Returns:
        How many were removed.

    Raises:
        OSError: the outbox itself cannot be read.
    """
    now = time.time() if now is None else now
    removed = 0
    for entry in files_below(outbox, fs):
        if entry.path in keep or not _is_leftover(entry, instance, now, fs, before):
            continue
        try:
            discard([entry.path], fs)
        except PermissionError:
            if os.path.dirname(entry.path) == outbox:
                raise
        else:
            removed += 1
    return removed


def by_outbox(
    temporaries: Iterable[bytes], outboxes: Collection[bytes]
) -> tuple[dict[bytes, list[bytes]], list[bytes]]:
    """Temporaries by the outbox that they lie in (of nested ones the innermost), and those that lie in none of them.

    Args:
        temporaries: absolute paths.
        outboxes: absolute paths of folders.
    """
    innermost_first = sorted(outboxes, key=len, reverse=True)
    there: dict[bytes, list[bytes]] = {}
    elsewhere: list[bytes] = []
    for name in temporaries:
        outbox = next((one for one in innermost_first if name.startswith(one + b"/")), None)
        (elsewhere if outbox is None else there.setdefault(outbox, [])).append(name)
    return there, elsewhere


def _is_leftover(entry: Entry, instance: str, now: float, fs: FileSystem, before: int | None) -> bool:
    parts = parse_temporary(entry.name)
    if parts is None:
        return False
    if before is not None:  # row 0: a probe of the outbox, whose number is a process's
        return parts.instance == instance and parts.photo > 0 and parts.attempt < before
    if parts.instance == instance:
        return True
    try:
        return now - fs.lstat(entry.path).st_mtime > FOREIGN_TEMPORARY_AGE_S
    except FileNotFoundError:
        return False
