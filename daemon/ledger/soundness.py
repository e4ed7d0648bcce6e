"""Whether a file that SQLite finds whole is a ledger still: its tables, and what only a damaged or edited one holds.

SQLite has no checksums: a word that lost a bit, or that somebody typed, is as good to it as any other, and would stop
every later start. Nothing is mended here but what hands leave behind (`drop_strays`); the rest is put aside.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger import schema
from cutoutd.daemon.ledger.states import Aftercare, DeliveryState, Stage, State

_WORDS: Final[dict[tuple[str, str], type[StrEnum]]] = {
    ("photos", "state"): State,
    ("photos", "stage"): Stage,
    ("photos", "aftercare"): Aftercare,
    ("deliverables", "state"): DeliveryState,
    ("deliverables", "stage"): Stage,
    ("events", "kind"): EventKind,
}
# Of the rest of a row what is counted or compared with; all of it would take a start with 100,000 photos twice as long.
# Names and keys as text are other values than the same letters as bytes, which nothing compares equal to.
_TYPES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "photos": {
        "blob": ("inbox", "key"),
        "blob or null": ("path", "archived_to", "hidden_name"),
        "integer": ("size", "mtime_ns", "inode", "ctime_ns", "access", "attempts", "interruptions"),
        "real": ("arrived", "not_before"),
        "real or null": ("finished",),
    },
    "deliverables": {
        "blob": ("outbox",),
        "blob or null": ("name", "temporary"),
        "integer": ("photo", "out_size"),
    },
    "tombstones": {"blob": ("inbox", "key"), "integer": ("size", "mtime_ns"), "real": ("last_seen",)},
    "events": {"integer": ("photo",), "real": ("at",)},
}
_JSON: Final = {"photos": ("overrides", "doubts")}
_SECRET_BYTES: Final = 32
# Numbers of rows are counted up from 1; SQLite gives none any more beyond its largest.
_LARGEST_NUMBER: Final = 1 << 53


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether nothing was ever made in it."""
    return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def has_todays_shape(db: sqlite3.Connection) -> bool:
    """Whether all tables, columns, indexes and triggers are there; more may be."""
    with contextlib.closing(sqlite3.connect(":memory:")) as anew:
        schema.make(anew)
        return _shape(anew) <= _shape(db)


def fault(db: sqlite3.Connection) -> str:
    """What no cutoutd of this version wrote, in a few words; empty where all is well. Strays are dropped."""
    if not has_todays_shape(db):
        return "a table, a column, an index or a trigger is missing"
    secret = db.execute("SELECT value FROM meta WHERE name = 'secret'").fetchone()
    if secret is None or not isinstance(secret[0], bytes) or len(secret[0]) != _SECRET_BYTES:
        return "its secret is gone"
    for table in _TYPES:
        wrong = " OR ".join(_wrong(table))
        if db.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone() is not None:
            return f"a row of {table} makes no sense"
    if db.execute(f"SELECT 1 FROM sqlite_sequence WHERE NOT seq < {_LARGEST_NUMBER}").fetchone() is not None:
        return "it has no numbers left"
    drop_strays(db)
    return ""


def drop_strays(db: sqlite3.Connection) -> int:
    """Drops files of photos whose rows somebody deleted by hand: their names would be taken for ever. Returns how many.

    (SQLite's own shell does not delete what hangs on a row, as our connections do.)
    """
    strays = "photo NOT IN (SELECT id FROM photos)"
    if db.execute(f"SELECT 1 FROM deliverables WHERE {strays} LIMIT 1").fetchone() is None:
        return 0  # and nothing is written
    return db.execute(f"DELETE FROM deliverables WHERE {strays}").rowcount


def _shape(db: sqlite3.Connection) -> set[tuple[str, str]]:
    """Kind and name of what was made, and each column with its table."""
    made = {(row[0], row[1]) for row in db.execute("SELECT type, name FROM sqlite_master")}
    tables = [name for kind, name in made if kind == "table"]
    return made | {(table, row[1]) for table in tables for row in db.execute(f'PRAGMA table_info("{table}")')}


def _wrong(table: str) -> Iterator[str]:
    """Conditions that only a row without sense meets."""
    for kind, names in _TYPES[table].items():
        for name in names:
            yield f"typeof({name}) NOT IN ({_listed(kind.split(' or '))})"
    for (of, name), words in _WORDS.items():
        if of == table:
            yield f"{name} NOT IN ({_listed(words)})"
    for name in _JSON.get(table, ()):
        yield f"({name} <> '' AND NOT json_valid({name}))"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
