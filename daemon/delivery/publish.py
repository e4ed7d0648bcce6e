"""Delivery: whole files under names that nobody else holds, by one rename each; it never opens the ledger.

The caller commits every name to the ledger before it calls `publish` with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.filesystem import RealFileSystem, RenameUnsupported
from cutoutd.daemon.files.interface import Entry, FileSystem
from cutoutd.daemon.files.names import name_key, parse_temporary

REAL = RealFileSystem()
_BLOCK = 1 << 20
# Another program's temporaries of ours are left alone this long: it may be a second cutoutd at work.
FOREIGN_TEMPORARY_AGE_S = 86400.0


class How(StrEnum):
    """How a name is to be taken."""

    NEW = "new"
    ADOPT = "adopt"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Place:
    """A name found for a cutout: relative to the outbox, with its collision key and how to take it."""

    name: bytes
    key: str
    how: How


class Published(StrEnum):
    """What became of a publication."""

    DONE = "done"
    TAKEN = "taken"
    GONE = "gone"


def digest_of(data: bytes | memoryview) -> str:
    """BLAKE2b-256 as hex: what the ledger keeps for contents and outputs."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def digest_file(path: bytes, fs: FileSystem = REAL) -> str:
    """The same, of a file read in blocks. Raises OSError."""
    total = hashlib.blake2b(digest_size=32)
    fd = fs.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while block := fs.read(fd, _BLOCK):
            total.update(block)
    finally:
        fs.close(fd)
    return total.hexdigest()


def find_place(
    outbox: bytes,
    names: Iterable[bytes],
    *,
    taken: Container[str],
    digest: str,
    size: int,
    fs: FileSystem = REAL,
) -> Place:
    """The first name that is free, or already holds exactly this cutout and belongs to nobody.

    Args:
        outbox: absolute path.
        names: relative candidates, in order.
        taken: collision keys that live rows hold.
        digest: of the finished cutout.
        size: of the finished cutout, bytes.
        fs: the file system.

    Raises:
        OSError: the outbox cannot be looked at.
    """
    for name in names:
        key = name_key(name)
        if key in taken:
            continue
        path = os.path.join(outbox, name)
        if not fs.exists(path):
            return Place(name, key, How.NEW)
        if _holds(path, digest, size, fs):
            return Place(name, key, How.ADOPT)
    raise AssertionError("candidate names never end")


def may_replace(outbox: bytes, name: bytes, ours: str, size: int, fs: FileSystem = REAL) -> How | None:
    """How our own earlier cutout may be replaced: None when the user has changed the file since."""
    path = os.path.join(outbox, name)
    if not fs.exists(path):
        return How.NEW
    return How.REPLACE if _holds(path, ours, size, fs) else None


def holds(outbox: bytes, name: bytes, digest: str, fs: FileSystem = REAL) -> bool:
    """Whether a cutout lies whole under a name. Raises OSError when the outbox cannot be looked at."""
    return _holds(os.path.join(outbox, name), digest, 0, fs)


def _holds(path: bytes, digest: str, size: int, fs: FileSystem) -> bool:
    try:
        facts = fs.lstat(path)
        if not stat.S_ISREG(facts.st_mode) or (size and facts.st_size != size):
            return False
        return digest_file(path, fs) == digest
    except (FileNotFoundError, PermissionError):
        return False  # just removed by somebody, or so much theirs that we may not even read it


def publish(
    outbox: bytes,
    name: bytes,
    temporary: bytes,
    digest: str,
    *,
    replaces: str = "",
    mode: int = 0o644,
    fs: FileSystem = REAL,
) -> Published:
    """Gives a finished temporary its name; repeating it after a crash at any point is safe.

    Args:
        outbox: absolute path.
        name: relative; already committed to the ledger.
        temporary: absolute path of the finished file.
        digest: of its content.
        replaces: digest of our own earlier cutout that may lie under the name, or empty.
        mode: permission bits of the published file.
        fs: the file system.

    Returns:
        DONE when the name holds the cutout; TAKEN when somebody else's file lies there (nothing was changed);
        GONE when neither the name nor the temporary holds it.

    Raises:
        OSError: the outbox cannot be written now.
    """
    final = os.path.join(outbox, name)
    if not fs.exists(temporary):
        done = fs.exists(final) and _holds(final, digest, 0, fs)
        return Published.DONE if done else Published.GONE
    if fs.exists(final):
        if _holds(final, digest, 0, fs):
            fs.unlink(temporary)
            fs.fsync_dir(os.path.dirname(final))
            return Published.DONE
        # An empty file under a name that is committed to us is our own placeholder from a crash.
        ours = (bool(replaces) and _holds(final, replaces, 0, fs)) or _is_our_placeholder(final, fs)
        if not ours:
            return Published.TAKEN
        fs.chmod(temporary, mode)
        fs.rename(temporary, final)
    else:
        fs.chmod(temporary, mode)
        try:
            fs.rename_noreplace(temporary, final)
        except FileExistsError:
            return Published.TAKEN
        except RenameUnsupported:
            if not _publish_over_placeholder(temporary, final, fs):
                return Published.TAKEN
    fs.fsync_dir(os.path.dirname(final))
    if os.path.dirname(temporary) != os.path.dirname(final):
        fs.fsync_dir(os.path.dirname(temporary))
    return Published.DONE


def _is_our_placeholder(final: bytes, fs: FileSystem) -> bool:
    facts = fs.lstat(final)
    return stat.S_ISREG(facts.st_mode) and facts.st_size == 0


def _publish_over_placeholder(temporary: bytes, final: bytes, fs: FileSystem) -> bool:
    """Where no exclusive rename exists: reserve the name with an empty file, then rename over it."""
    try:
        fs.close(fs.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW))
    except FileExistsError:
        return False
    fs.rename(temporary, final)
    return True


def discard(temporaries: Iterable[bytes], fs: FileSystem = REAL) -> None:
    """Removes temporaries that are no longer wanted; missing ones are fine. Raises OSError otherwise."""
    for temporary in temporaries:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            fs.unlink(temporary)


def sweep(
    outbox: bytes, instance: str, keep: frozenset[bytes], *, now: float | None = None, fs: FileSystem = REAL
) -> int:
    """Removes our leftover temporaries, and foreign ones that are a day old.

    Args:
        outbox: absolute path; walked without following links.
        instance: this state folder's id; its temporaries go unless they are in `keep`.
        keep: absolute paths of temporaries that still wait to be published.
        now: wall-clock seconds.
        fs: the file system.

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
