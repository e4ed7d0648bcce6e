"""The list beside the outputs: a line per deliverable and failure, whole or not at all; a record, not a queue.

Lines are made and kept in the ledger as JSON; in a list that is CSV they are written as such.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import functools
import hashlib
import io
import json
import logging
import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from cutoutd.config.errors import OutboxError, json_line, printable
from cutoutd.daemon.delivery.outcomes import OF_THE_WHOLE
from cutoutd.daemon.files.filesystem import open_up
from cutoutd.daemon.files.interface import FileSystem

NAMES = {"jsonl": "manifest.jsonl", "csv": "manifest.csv"}
_LOG = logging.getLogger("cutoutd")
# How far back a repeated line is looked for: some thousand lines, more than one crash can leave undone.
_TAIL_BYTES = 1 << 20
# What is no fault of the manifest's own; without its folder the outbox is away.
_OF_THE_DISK = OF_THE_WHOLE | {errno.ENOENT}
# Another writer holds the lock for the time of one append; a sync may take a few seconds on a busy disk.
_LOCK_S, _LOCK_PAUSE_S = 10.0, 0.005


# The columns of a list as CSV, in their order; `id` is the last, so that its length tells a torn line from a whole one.
COLUMNS = (
    "time", "state", "source", "source_digest", "output", "deliverable", "width", "height", "bytes", "sha256",
    "seconds", "model", "confidence", "needs_review", "reason", "detail", "supersedes", "id",
)  # fmt: skip
# What makes two lines say the same, whenever they were written.
_CORE = ("source", "source_digest", "output", "deliverable", "sha256")
_ID_BYTES = 8


class Made(Struct, frozen=True):
    """One finished file, for its line.

    Attributes:
        source: the photo's path in its inbox, or its key where file names are not kept.
        source_digest: BLAKE2b of the photo's bytes, hexadecimal.
        output: path of the output relative to the manifest's folder.
        deliverable: label of the deliverable.
        width: pixels.
        height: pixels.
        size: bytes of the output.
        sha256: of the output's bytes, hexadecimal.
        seconds: of work on the photo, all its deliverables together.
        model: name of the network that found the subject.
        confidence: the expected overlap with the truth, 0..1; None where nobody can say.
        needs_review: why somebody should look at it; none where nobody need.
    """

    source: str
    source_digest: str
    output: str
    deliverable: str
    width: int
    height: int
    size: int
    sha256: str
    seconds: float
    model: str
    confidence: float | None = None
    needs_review: tuple[str, ...] = ()


def line(made: Made, *, at: float, supersedes: str = "") -> bytes:
    """The line of a finished file, with its newline; it is committed before the file is, and repeated as it is.

    Args:
        made: the file.
        at: wall-clock seconds.
        supersedes: the id of the line that spoke of this photo's deliverable so far; empty where none did.
    """
    facts: dict[str, Any] = {
        "time": _time(at),
        "state": "done",
        "source": made.source,
        "source_digest": made.source_digest,
        "output": made.output,
        "deliverable": made.deliverable,
        "width": made.width,
        "height": made.height,
        "bytes": made.size,
        "sha256": made.sha256,
        "seconds": round(made.seconds, 2),
        "model": made.model,
        "confidence": None if made.confidence is None else round(made.confidence, 3),
        "needs_review": [str(reason) for reason in made.needs_review],
        "supersedes": supersedes or None,
    }
    return _json({**facts, "id": _id(at, made.source, made.output, made.sha256)})


def failure(source: str, source_digest: str, *, at: float, event: int, reason: str, detail: str) -> bytes:
    """The line of a photo that failed, with its newline.

    Args:
        source: as in `Made`.
        source_digest: as in `Made`; empty where the photo could not be read.
        at: wall-clock seconds.
        event: number of the event in the ledger.
        reason: why, as a word.
        detail: the same as a sentence.
    """
    facts = {"time": _time(at), "state": "failed", "source": source, "source_digest": source_digest}
    return _json({**facts, "reason": reason, "detail": detail, "supersedes": None, "id": failure_id(event)})


def failure_id(event: int) -> str:
    """The id of the line of this event."""
    return _id("failure", event)


def id_of(text: bytes) -> str:
    """The id of a line; empty where it has none (written by an earlier version)."""
    try:
        return str(json.loads(text)["id"])
    except (ValueError, KeyError, TypeError):
        return ""


def say_the_same(one: bytes, other: bytes) -> bool:
    """Whether two lines speak of the same photo, output and bytes, whenever they were made."""
    try:
        first, second = json.loads(one), json.loads(other)
        return bool(second["id"]) and all(first[key] == second[key] for key in _CORE)
    except (ValueError, KeyError, TypeError):
        return False


def _id(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=_ID_BYTES).hexdigest()


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _json(facts: Mapping[str, Any]) -> bytes:
    return json_line(facts, plain=True).encode() + b"\n"


def as_csv(text: bytes) -> bytes:
    """A line as CSV. Control characters in names are shown as escapes, and what a spreadsheet would take for a formula
    begins with an apostrophe.
    """
    facts: dict[str, Any] = json.loads(text)
    facts["needs_review"] = "; ".join(facts.get("needs_review") or ())
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_cell(facts.get(name)) for name in COLUMNS])
    return out.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> str:
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def record(path: Path, lines: Iterable[bytes], fs: FileSystem, mode: int) -> None:
    """Appends what was delivered; the cutouts lie in the outbox already, so that the outbox takes files.

    A manifest that is itself refused (a link, folder or protected file lies under its name, somebody holds its lock)
    is said in the log, once for each cause, and holds up no photo; those lines are missing in it. One that is made here
    has the cutouts' permissions, `mode`: whoever fetches them reads it, too.

    Raises:
        OSError: the disk is full, broken or away: the outbox is to wait, and the lines are appended when it is back.
    """
    for text in lines:
        try:
            append(path, text, fs, mode)
        except OutboxError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _OF_THE_DISK:
                raise error.__cause__ from error
            _complain(str(error))


@functools.lru_cache(maxsize=64)
def _complain(why: str) -> None:
    _LOG.warning("%s Cutouts are delivered without their lines until then.", why)


def append(path: Path, text: bytes, fs: FileSystem, mode: int = 0o600) -> bool:
    """Append one line durably; a half line left by a crash is removed first, a repeated one is not written.

    Args:
        path: the manifest; created if missing, its folder must exist.
        text: from `line` or `failure`.
        fs: the file system, with the manifest's folder in it.
        mode: permission bits of one that is created.

    Returns:
        False if the line stood there already.

    Raises:
        OutboxError: the manifest cannot be written; nothing of the line remains in it.
        ValueError: `text` is not exactly one line.
    """
    if not text.endswith(b"\n") or text.count(b"\n") != 1:
        raise ValueError("a manifest takes exactly one line at a time")
    try:
        handle = _opened(os.fsencode(path), fs, mode)
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


def _opened(path: bytes, fs: FileSystem, mode: int) -> int:
    flags = os.O_RDWR | os.O_APPEND
    try:
        return fs.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        handle = fs.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:  # another writer came first
        return fs.open(path, flags)
    with contextlib.suppress(OSError):  # a share that knows no permissions
        open_up(handle, path, mode, fs)
    return handle


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
    as_table = path.suffix == ".csv"
    facts: dict[str, Any] = json.loads(text)
    written = as_csv(text) if as_table else text
    end = fs.fstat(handle).st_size
    start = max(0, end - _TAIL_BYTES)
    tail = os.pread(handle, end - start, start)
    if _is_repeated(tail, written, facts, as_table=as_table):
        return False
    last = tail[tail.rfind(b"\n") + 1 :]
    if last and not _is_whole(last, as_table=as_table):
        end -= len(last)
        fs.truncate(handle, end)
        last = b""
    addition = b"\n" + written if last else written
    if end == 0 and as_table:
        addition = ",".join(COLUMNS).encode() + b"\n" + addition
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


def _is_repeated(tail: bytes, written: bytes, facts: Mapping[str, Any], *, as_table: bool) -> bool:
    """Whether this line stands there, or the last one about its output says the same and none took its place since:
    after a crash, or where a lost ledger was made anew.
    """
    if (b"\n" + tail).find(b"\n" + written) >= 0:
        return True
    sha256 = str(facts.get("sha256") or "")
    if not sha256 or sha256.encode() not in tail:
        return False
    superseded: set[str] = set()
    for raw in reversed(tail.splitlines()):
        other = _read(raw, as_table=as_table)
        superseded.add(str(other.get("supersedes")))
        if other.get("output") == _same_form(facts["output"], as_table=as_table):
            return str(other.get("id", "")) not in superseded and all(
                other.get(key) == _same_form(facts.get(key), as_table=as_table)
                for key in _CORE
                if key in other
            )
    return False


def _same_form(value: Any, *, as_table: bool) -> Any:
    return _cell(value) if as_table else value


def _read(raw: bytes, *, as_table: bool) -> dict[str, Any]:
    """A line of the list as facts; empty for what is none."""
    try:
        if not as_table:
            found = json.loads(raw)
            return dict(found) if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
        (cells,) = csv.reader([raw.decode()], strict=True)
        return dict(zip(COLUMNS, cells, strict=True))
    except (ValueError, RecursionError, csv.Error):  # whoever may write here may nest brackets without end
        return {}


def _write(handle: int, data: bytes, fs: FileSystem) -> None:
    """One write; a short one means that the disk is full."""
    if fs.write(handle, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_whole(last: bytes, *, as_table: bool) -> bool:
    """Whether a last line without its newline (an editor's doing) is complete all the same."""
    facts = _read(last, as_table=as_table)
    if not as_table:
        return bool(facts)
    return tuple(facts.values()) == COLUMNS or len(str(facts.get("id", ""))) == 2 * _ID_BYTES
