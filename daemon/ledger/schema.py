"""The ledger's tables as they are made anew; `migrations` brings those of earlier versions to the same."""

from __future__ import annotations

import sqlite3

from cutoutd.daemon.ledger import migrations

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE folders (path BLOB PRIMARY KEY, mount TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    inbox BLOB NOT NULL, path BLOB, key BLOB NOT NULL,
    size INTEGER NOT NULL DEFAULT 0, mtime_ns INTEGER NOT NULL DEFAULT 0, inode INTEGER NOT NULL DEFAULT 0,
    access INTEGER NOT NULL DEFAULT 0,
    digest TEXT, megapixels REAL NOT NULL DEFAULT 0,
    state TEXT NOT NULL, live INTEGER NOT NULL DEFAULT 1, settled INTEGER NOT NULL DEFAULT 1,
    stage TEXT NOT NULL DEFAULT 'final', forced INTEGER NOT NULL DEFAULT 0,
    overrides TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0, interruptions INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0, previous INTEGER,
    aftercare TEXT NOT NULL DEFAULT 'none', archived_to BLOB, hidden_name BLOB,
    reason TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '', timings TEXT NOT NULL DEFAULT '',
    arrived REAL NOT NULL, started REAL, finished REAL,
    ctime_ns INTEGER NOT NULL DEFAULT 0, proven INTEGER NOT NULL DEFAULT 0,
    confidence REAL, doubts TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX photos_live ON photos (inbox, key) WHERE live = 1;
CREATE INDEX photos_next ON photos (inbox, settled DESC, stage, interruptions, arrived, id)
    WHERE state = 'pending';
CREATE INDEX photos_pausing ON photos (state, not_before) WHERE not_before > 0;
CREATE INDEX photos_state ON photos (state, finished);
CREATE INDEX photos_facts ON photos (inbox, size, mtime_ns) WHERE live = 1;
CREATE TABLE deliverables (
    id INTEGER PRIMARY KEY, photo INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
    label TEXT NOT NULL, outbox BLOB NOT NULL, name BLOB, name_key TEXT NOT NULL,
    out_digest TEXT NOT NULL, out_size INTEGER NOT NULL DEFAULT 0, replaces TEXT NOT NULL DEFAULT '',
    temporary BLOB, manifest BLOB NOT NULL DEFAULT x'', stage TEXT NOT NULL DEFAULT 'final', state TEXT NOT NULL,
    gives_way_to INTEGER
);
CREATE UNIQUE INDEX deliverables_name ON deliverables (outbox, name_key)
    WHERE state IN ('delivering', 'done');
CREATE INDEX deliverables_photo ON deliverables (photo);
CREATE TABLE tombstones (
    inbox BLOB NOT NULL, key BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    digest TEXT NOT NULL, last_seen REAL NOT NULL,
    inode INTEGER NOT NULL DEFAULT 0, ctime_ns INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (inbox, key, digest)
) WITHOUT ROWID;
CREATE TABLE commands (
    id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, arguments TEXT NOT NULL,
    created REAL NOT NULL, taken REAL, answer TEXT
);
"""


def make(db: sqlite3.Connection) -> None:
    """Makes all tables, indexes and triggers in an empty database, inside the transaction under way."""
    for statement in _TABLES.strip().split(";\n"):
        if statement.strip():
            db.execute(statement)
    for statement in migrations.MADE_BY_STEPS:
        db.execute(statement)
