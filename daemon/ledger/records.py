"""The ledger's rows as typed records, and the states a photo can be in; nothing is read or written here."""

from __future__ import annotations

import dataclasses
import sqlite3
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a photo stands."""

    PENDING = "pending"
    RUNNING = "running"
    DELIVERING = "delivering"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"


OWED = (State.PENDING, State.RUNNING, State.DELIVERING)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the file system says about a file: hints that save reading, never proof.

    `access` folds permission bits and owner into one number that only has to differ when they do.
    """

    size: int
    mtime_ns: int
    inode: int
    access: int = 0


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """One row of the ledger's `photos` table; paths are bytes relative to the inbox."""

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
    state: str
    live: int
    settled: int
    stage: str
    forced: int
    overrides: str
    attempts: int
    interruptions: int
    not_before: float
    previous: int | None
    aftercare: str
    archived_to: bytes | None
    hidden_name: bytes | None
    reason: str
    detail: str
    model: str
    timings: str
    arrived: float
    started: float | None
    finished: float | None

    @property
    def facts(self) -> Facts:
        """The hints this row was made or last confirmed with."""
        return Facts(self.size, self.mtime_ns, self.inode, self.access)


_FIELDS = tuple(field.name for field in dataclasses.fields(PhotoRow))
COLUMNS = ", ".join(_FIELDS)


def photo_row(row: sqlite3.Row) -> PhotoRow:
    """A typed row from a `SELECT` that names `COLUMNS`."""
    return PhotoRow(*(row[name] for name in _FIELDS))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One deliverable on its way into an outbox.

    `replaces` is the digest of our own earlier cutout that may stand under the name, or empty when the name
    must be free. `manifest` is the line owed to the manifest beside the outputs, or empty.
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
    stage: str = "final"
    state: str = "delivering"
    manifest: bytes = b""


def delivery_row(row: sqlite3.Row) -> Delivery:
    """A typed row from a `SELECT *` of deliverables."""
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
        stage=row["stage"],
        state=row["state"],
        manifest=row["manifest"],
    )
