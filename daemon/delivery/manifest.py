"""The list beside the outputs: one JSON line per deliverable, whole or not at all; a record, not a queue."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from cutoutd.config.errors import OutboxError, json_line
from cutoutd.daemon.files.interface import FileSystem

NAME = "manifest.jsonl"
_LOG = logging.getLogger("cutoutd")
# How far back a repeated line is looked for: some thousand lines, more than one crash can leave undone.
_TAIL_BYTES = 1 << 20
# What is no fault of the manifest's own.
_OF_THE_DISK = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENOENT, errno.ENODEV, errno.ENOTCONN,
        errno.EHOSTDOWN, errno.ETIMEDOUT,
    }
)  # fmt: skip
# Another writer holds the lock for the time of one append; a sync may take a few seconds on a busy disk.
_LOCK_S, _LOCK_PAUSE_S = 10.0, 0.005


def line(
    *,
    source: str,
    output: str,
    deliverable: str,
    width: int,
    height: int,
    size: int,
    sha256: str,
    model: str,
    confidence: float | None = None,
    needs_review: Iterable[str] = (),
) -> bytes:
    """One line of the manifest, with its newline.

    The same delivery always gives the same bytes (there is no time in it), so that a repeated append after a
    crash can be recognised.

    Args:
        source: the photo's name, or its key where file names are not kept.
        output: path of the output relative to the manifest's folder.
        deliverable: label of the deliverable.
        width: pixels.
        height: pixels.
        size: bytes of the output.
        sha256: of the output's bytes, hexadecimal.
        model: name of the network that found the subject.
        confidence: the expected overlap with the truth, 0..1; None where nobody can say.
        needs_review: why somebody should look at it; none where nobody need.
    """
    facts = {
        "source": source,
        "output": output,
        "deliverable": deliverable,
        "width": width,
        "height": height,
        "bytes": size,
        "sha256": sha256,
        "model": model,
        "confidence": None if confidence is None else round(confidence, 3),
        "needs_review": [str(reason) for reason in needs_review],
    }
    return json_line(facts, plain=True).encode() + b"\n"


def record(path: Path, lines: Iterable[bytes], fs: FileSystem) -> None:
    """Appends what was delivered; the cutouts lie in the outbox already, so that the outbox takes files.

    A manifest that is itself refused (a link, folder or protected file lies under its name, somebody holds its lock)
    is said in the log, once for each cause, and holds up no photo; those lines are missing in it.

    Raises:
        OSError: the disk is full, broken or away: the outbox is to wait, and the lines are appended when it is back.
    """
    for text in lines:
        try:
            append(path, text, fs)
        except OutboxError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _OF_THE_DISK:
                raise error.__cause__ from error
            _complain(str(error))


@functools.lru_cache(maxsize=64)
def _complain(why: str) -> None:
    _LOG.warning("%s Cutouts are delivered without their lines until then.", why)


def append(path: Path, text: bytes, fs: FileSystem) -> bool:
    """Append one line durably; a half line left by a crash is removed first, a repeated one is not written.

    Args:
        path: the manifest; created (0600) if missing, its folder must exist.
        text: from `line`.
        fs: the file system, with the manifest's folder in it.

    Returns:
        False if the line stood there already.

    Raises:
        OutboxError: the manifest cannot be written; nothing of the line remains in it.
        ValueError: `text` is not exactly one line.
    """
    if not text.endswith(b"\n") or text.count(b"\n") != 1:
        raise ValueError("a manifest takes exactly one line at a time")
    try:
        handle = fs.open(os.fsencode(path), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            _lock(handle)  # `cutoutd once` may deliver into the same folder
            return _append_locked(handle, path, text, fs)
        finally:
            fs.close(handle)
    except OSError as exc:
        raise OutboxError(
            f"The manifest cannot be written ({exc.strerror})",
            path,
            "Make room or give cutoutd the right to write there; it goes on by itself.",
        ) from exc


def _lock(handle: int) -> None:
    """Waits for another writer, but not for ever: who may read the file may hold its lock."""
    give_up = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise
            time.sleep(_LOCK_PAUSE_S)
        else:
            return


def _append_locked(handle: int, path: Path, text: bytes, fs: FileSystem) -> bool:
    end = fs.fstat(handle).st_size
    start = max(0, end - _TAIL_BYTES)
    tail = os.pread(handle, end - start, start)
    if (b"\n" + tail).find(b"\n" + text) >= 0:
        return False
    last = tail[tail.rfind(b"\n") + 1 :]
    if last and not _is_whole(last):
        end -= len(last)
        fs.truncate(handle, end)
        last = b""
    addition = b"\n" + text if last else text
    try:
        _write(handle, addition, fs)
        fs.fsync(handle)
    except OSError:
        # If even this fails, the next append finds the half line and removes it.
        with contextlib.suppress(OSError):
            fs.truncate(handle, end)
        raise
    if end == 0:
        fs.fsync_dir(os.fsencode(path.parent))
    return True


def _write(handle: int, data: bytes, fs: FileSystem) -> None:
    """One write; a short one means that the disk is full."""
    if fs.write(handle, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_whole(last: bytes) -> bool:
    """Whether a last line without its newline (an editor's doing) is complete all the same."""
    try:
        return isinstance(json.loads(last), dict)
    except ValueError:
        return False
