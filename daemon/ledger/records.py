"""The ledger's rows as typed records; nothing is read or written here."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import force_setattr

from cutoutd.daemon.ledger.states import Aftercare, DeliveryState, Stage, State
from cutoutd.daemon.ledger.troubles import DamagedRowError

_BITS = 64


def folded(number: int) -> int:
    """A number as the 64 bits with a sign that a ledger's column holds.

    Times after 2262 and the inodes of some network and pooling file systems are larger. Facts are compared, never
    counted with, so that what differs before differs after as well (but for multiples of 2**64).
    """
    return (number + (1 << _BITS - 1)) % (1 << _BITS) - (1 << _BITS - 1)


class Settled(Enum):
    """What is known of a file's writer."""

    NOT = auto()  # it may still be at work
    RESTED = auto()  # it has been silent for long enough for a cutout, which can be made again
    KNOWN = auto()  # it is done: the file was closed, or nobody has it open


class Facts(Struct, frozen=True):
    """What the file system says about a file: hints that save reading, never proof.

    `access` folds permission bits and owner into one number that only has to differ when they do. `ctime_ns` is the
    last change of the inode by the machine's own clock, which no copy that keeps times sets back; 0: not known. All
    are `folded`.
    """

    size: int
    mtime_ns: int
    inode: int
    access: int = 0
    ctime_ns: int = 0

    def __post_init__(self) -> None:
        """Folds what a file system may have said in more bits than a column holds."""
        for name in ("size", "mtime_ns", "inode", "access", "ctime_ns"):
            force_setattr(self, name, folded(getattr(self, name)))


def differ(before: Facts, now: Facts) -> bool:
    """Whether the content may be another: then it is read, and its digest decides. What was not recorded is equal."""
    if (before.size, before.mtime_ns) != (now.size, now.mtime_ns):
        return True
    known = ((before.inode, now.inode), (before.ctime_ns, now.ctime_ns))
    return any(then and since and then != since for then, since in known)


class PhotoRow(Struct, frozen=True):
    """One row of the ledger's `photos` table; paths are bytes relative to the inbox.

    `confidence` is the expected overlap of its cutout with the truth, 0..1; None where nobody can say. `doubts` are
    why somebody should look at it, as `doubts_text` wrote them.
    """

    id: int
    inbox: bytes
    path: bytes | None
    key: bytes
    size: int
    mtime_ns: int
    inode: int
    access: int
    digest: str | None
    megapixels: float
    state: State
    live: int
    settled: int
    stage: Stage
    forced: int
    overrides: str
    attempts: int
    interruptions: int
    not_before: float
    previous: int | None
    aftercare: Aftercare
    archived_to: bytes | None
    hidden_name: bytes | None
    reason: str
    detail: str
    model: str
    timings: str
    arrived: float
    started: float | None
    finished: float | None
    ctime_ns: int
    proven: int
    confidence: float | None
    doubts: str

    def is_of(self, size: int, mtime_ns: int, inode: int) -> bool:
        """Whether a file with these facts, as the file system says them, is what this row was made of."""
        return (self.size, self.mtime_ns, self.inode) == (folded(size), folded(mtime_ns), folded(inode))

    @property
    def original(self) -> bytes | None:
        """Where its original lies, an absolute path: in its inbox, or moved to; None once its names are forgotten."""
        return None if self.path is None else self.archived_to or os.path.join(self.inbox, self.path)

    @property
    def facts(self) -> Facts:
        """The hints this row was made or last confirmed with."""
        return Facts(self.size, self.mtime_ns, self.inode, self.access, self.ctime_ns)

    @property
    def needs_review(self) -> tuple[str, ...]:
        """Why somebody should look at its cutout, the weightiest first; empty where nobody need."""
        return doubts_of(self.doubts)


def doubts_text(doubts: Iterable[str]) -> str:
    """Reasons for a look as a column holds them; empty for none."""
    reasons = [str(doubt) for doubt in doubts]
    return json.dumps(reasons) if reasons else ""


def doubts_of(text: str) -> tuple[str, ...]:
    """What `doubts_text` was given.

    Raises:
        DamagedRowError: it was given to nobody.
    """
    try:
        return tuple(json.loads(text)) if text else ()
    except ValueError as error:
        raise DamagedRowError(str(error)) from error


def timings_of(text: str) -> dict[str, float]:
    """Seconds by stage, as a column holds them; none where that says something else: nothing depends on them."""
    try:
        found: object = json.loads(text) if text else {}
    except ValueError:
        return {}
    return cast("dict[str, float]", found) if isinstance(found, dict) else {}


_FIELDS = PhotoRow.__struct_fields__
COLUMNS = ", ".join(_FIELDS)
_TYPED: dict[str, Callable[[Any], Any]] = {"state": State, "stage": Stage, "aftercare": Aftercare}
_TYPED_AT = tuple((_FIELDS.index(name), kind) for name, kind in _TYPED.items())


def photo_row(row: sqlite3.Row) -> PhotoRow:
    """A typed row from a `SELECT` of just `COLUMNS`: by their places, for each photo is read several times.

    Raises:
        DamagedRowError: it holds a word that nobody wrote.
    """
    values: list[Any] = list(row)
    try:
        for at, kind in _TYPED_AT:
            values[at] = kind(values[at])
    except ValueError as error:
        raise DamagedRowError(str(error)) from error
    return PhotoRow(*values)


class Delivery(Struct, frozen=True):
    """One deliverable on its way into an outbox.

    `replaces` is the digest of our own earlier cutout that may stand under the name, or empty when the name
    must be free. `manifest` is the line owed to the manifest beside the outputs, or empty. `leaves` is our earlier
    cutout under another name, which goes once this one lies there; no row has it.
    """

    label: str
    outbox: bytes
    name: bytes
    name_key: str
    out_digest: str
    out_size: int
    temporary: bytes
    replaces: str = ""
    id: int = 0
    stage: Stage = Stage.FINAL
    state: DeliveryState = DeliveryState.DELIVERING
    manifest: bytes = b""
    leaves: Delivery | None = None


def delivery_row(row: sqlite3.Row) -> Delivery:
    """A typed row from a `SELECT *` of deliverables.

    Raises:
        DamagedRowError: it holds a word that nobody wrote.
    """
    try:
        stage, state = Stage(row["stage"]), DeliveryState(row["state"])
    except ValueError as error:
        raise DamagedRowError(str(error)) from error
    return Delivery(
        label=row["label"],
        outbox=row["outbox"],
        name=row["name"] or b"",
        name_key=row["name_key"],
        out_digest=row["out_digest"],
        out_size=row["out_size"],
        temporary=row["temporary"] or b"",
        replaces=row["replaces"],
        id=row["id"],
        stage=stage,
        state=state,
        manifest=row["manifest"],
    )
