"""Brings a ledger of an earlier version up to today's, one numbered step at a time; it knows no rows' meaning.

A step that was released never changes. A new one goes to the end of `STEPS`, the schema in `database.py` says the same
for a ledger that is made anew (a test compares the two), and `tests/data/ledgers/` gets a ledger of the version before.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from cutoutd.config.errors import LedgerError

# One to go back with, and one for whoever did not notice at once that they wanted to.
BACKUPS_KEPT = 2
# Pages copied between looks at whether the disk is full: all at once, the writers wait anyway.
_ALL_PAGES = -1

# Written at a time over a copy of the ledger that goes.
_ZEROS = 1 << 20


class Step(Struct, frozen=True):
    """One change of the schema.

    Attributes:
        to: the version that it leads to, from the one before.
        apply: makes it, inside a transaction, with foreign keys off.
    """

    to: int
    apply: Callable[[sqlite3.Connection], None]


def migrate(db: sqlite3.Connection, path: Path, steps: tuple[Step, ...], *, backup: bool = True) -> bool:
    """Takes the steps that a ledger lacks, after copying it to a file beside it.

    One transaction holds all of them and the new version's number, so that a crash leaves the ledger as it was; two
    programs that open it at once take turns, and the second finds nothing to do.

    Args:
        db: the open ledger, in no transaction.
        path: its file.
        steps: in order.
        backup: copy it first.

    Returns:
        Whether there was anything to do.

    Raises:
        LedgerError: it cannot be done; the ledger is as it was.
    """
    db.execute("PRAGMA foreign_keys=OFF")  # else the table that others refer to could not be made anew
    db.execute("PRAGMA synchronous=FULL")
    try:
        db.execute("BEGIN IMMEDIATE")
        version = version_of(db)
        missing = [step for step in steps if step.to > version]
        if missing and backup:
            save_copy(path, version)
        for step in missing:
            step.apply(db)
            db.execute(f"PRAGMA user_version={step.to:d}")
        if missing and db.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise sqlite3.DatabaseError("rows refer to rows that are not there")
        db.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(
            f"The ledger is of an earlier cutoutd and could not be brought up to date ({error})",
            path,
            "It is as it was. Free some space beside it and see that nobody else has it open, then start again.",
        ) from error
    finally:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA foreign_keys=ON")
    return bool(missing)


def version_of(db: sqlite3.Connection) -> int:
    """The number of a ledger's schema; 0 for one that has none yet."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def backups(path: Path) -> list[Path]:
    """Copies that migrations of this ledger left beside it, oldest version first."""
    found = path.parent.glob(f"{path.name}.version-*")
    numbered = [(int(one.suffix.removeprefix(".version-")), one) for one in found if one.name[-1].isdigit()]
    return [one for _, one in sorted(numbered)]


def save_copy(path: Path, version: int) -> Path:
    """Copies a ledger to `ledger.sqlite.version-N`, mode 0600, whole and on the disk when it returns.

    Only the newest `BACKUPS_KEPT` copies stay.

    Raises:
        sqlite3.Error, OSError: it cannot be written; nothing stays of it.
    """
    target = path.with_name(f"{path.name}.version-{version}")
    part = target.with_name(f"{target.name}.part")
    with contextlib.closing(sqlite3.connect(path)) as source:
        write_copy(source, part)
    part.replace(target)
    _sync(path.parent)
    for old in backups(path)[:-BACKUPS_KEPT]:
        old.unlink(missing_ok=True)
    return target


def write_copy(source: sqlite3.Connection, target: Path) -> None:
    """Copies an open ledger to a file, mode 0600, whole and on the disk when it returns.

    Raises:
        sqlite3.Error, OSError: it cannot be written; nothing stays of it.
    """
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(target)) as copy:
            source.backup(copy, pages=_ALL_PAGES)
        _sync(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def discard_copies(path: Path) -> int:
    """Overwrites and removes every copy of a ledger that lies beside it: of earlier versions, and damaged ones.

    They hold names that their owner wants forgotten. Returns how many there were.

    Raises:
        OSError: one cannot be removed.
    """
    found = [
        *backups(path),
        *path.parent.glob(f"{path.name}.damaged-*"),
        *path.parent.glob(f"{path.name}.*.part"),
    ]
    for one in found:
        fd = os.open(one, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for start in range(0, os.fstat(fd).st_size, _ZEROS):
                os.pwrite(fd, bytes(min(_ZEROS, os.fstat(fd).st_size - start)), start)
            os.fsync(fd)
        finally:
            os.close(fd)
        one.unlink()
    return len(found)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def refuse_newer(db: sqlite3.Connection, path: Path, newest: int) -> None:
    """Leaves a ledger alone whose meaning this program cannot know.

    Raises:
        LedgerError: it is of a later version.
    """
    version = version_of(db)
    if version <= newest:
        return
    kept = [one for one in backups(path) if int(one.suffix.removeprefix(".version-")) <= newest]
    copy = f" or, while cutoutd is stopped, put {kept[-1].name} back in its place" if kept else ""
    raise LedgerError(
        f"The ledger was written by a newer cutoutd (version {version}; this one knows {newest})",
        path,
        f"Update cutoutd{copy}; or move the ledger aside to start afresh: photos that have their cutout keep it.",
    )


# --- the steps -------------------------------------------------------------------------------------------------------

_PHOTOS_2 = """
CREATE TABLE photos_2 (
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
    arrived REAL NOT NULL, started REAL, finished REAL
)
"""
_INDEXES_2 = (
    "CREATE UNIQUE INDEX photos_live ON photos (inbox, key) WHERE live = 1",
    """CREATE INDEX photos_next ON photos (inbox, settled DESC, stage, interruptions, arrived, id)
    WHERE state = 'pending'""",
    "CREATE INDEX photos_pausing ON photos (state, not_before) WHERE not_before > 0",
    "CREATE INDEX photos_state ON photos (state, finished)",
    "CREATE INDEX photos_facts ON photos (inbox, size, mtime_ns) WHERE live = 1",
)


def _without_dead_columns(db: sqlite3.Connection) -> None:
    """`photos.options` was always empty, and no photo's after-care ever ended as failed."""
    db.execute(_PHOTOS_2)  # made anew: dropping a column needs a later SQLite than some systems' Python has
    columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(photos_2)"))
    db.execute(f"INSERT INTO photos_2 ({columns}) SELECT {columns} FROM photos")
    # A number is never given twice, not even one whose row is gone: temporaries and counters bear it.
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'photos'").fetchone()
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'photos_2'")
    db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('photos_2', ?)", (last[0] if last else 0,))
    db.execute("DROP TABLE photos")
    db.execute("ALTER TABLE photos_2 RENAME TO photos")
    for index in _INDEXES_2:
        db.execute(index)
    db.execute("UPDATE photos SET aftercare = 'none' WHERE aftercare = 'failed'")


# What happened to a photo, noted by the very transaction in which it happens, whoever writes it. (The wall clock by
# julianday: unixepoch('subsec') needs a later SQLite than some systems' Python has.)
EVENTS_3 = (
    """CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, photo INTEGER NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL
)""",
    "CREATE INDEX events_photo ON events (photo)",
    "CREATE INDEX events_at ON events (at)",
    """CREATE TABLE hook_runs (
    hook TEXT NOT NULL, event INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '', given_up INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (hook, event)
) WITHOUT ROWID""",
    """CREATE TRIGGER photo_events AFTER UPDATE OF state ON photos
WHEN new.state <> old.state AND (
    new.state IN ('running', 'done', 'failed')
    OR (old.state = 'delivering' AND new.state = 'pending' AND old.stage = 'draft' AND new.stage = 'final')
)
BEGIN
    INSERT INTO events (photo, kind, at) VALUES (
        new.id,
        CASE new.state WHEN 'running' THEN 'started' WHEN 'pending' THEN 'drafted' ELSE new.state END,
        (julianday('now') - 2440587.5) * 86400.0
    );
END""",
    """CREATE TRIGGER aftercare_events AFTER UPDATE OF aftercare ON photos
WHEN new.aftercare = 'done' AND old.aftercare <> 'done'
BEGIN
    INSERT INTO events (photo, kind, at) VALUES (new.id, 'archived', (julianday('now') - 2440587.5) * 86400.0);
END""",
    """CREATE TRIGGER forgotten_events AFTER DELETE ON photos
BEGIN
    DELETE FROM events WHERE photo = old.id;
END""",
)


def _with_events(db: sqlite3.Connection) -> None:
    """What happens to photos is noted by triggers from now on."""
    for statement in EVENTS_3:
        db.execute(statement)


def _with_change_times(db: sqlite3.Connection) -> None:
    """0 says that none was recorded: an old photo is not read anew because of it."""
    db.execute("ALTER TABLE photos ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE photos ADD COLUMN proven INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE tombstones ADD COLUMN inode INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE tombstones ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0")


# What waits for somebody's look is listed without reading the whole history.
DOUBTFUL_5 = "CREATE INDEX photos_doubtful ON photos (finished) WHERE doubts <> ''"


def _with_confidence(db: sqlite3.Connection) -> None:
    """NULL says that nobody judged the cutout: none of the earlier ones needs a look for it."""
    db.execute("ALTER TABLE photos ADD COLUMN confidence REAL")
    db.execute("ALTER TABLE photos ADD COLUMN doubts TEXT NOT NULL DEFAULT ''")
    db.execute(DOUBTFUL_5)


# Newest first, and content that came before, are found without a look at all that waits or was ever done.
INDEXES_6 = (
    """CREATE INDEX photos_newest ON photos (inbox, settled DESC, stage, interruptions, arrived DESC, id DESC)
    WHERE state = 'pending'""",
    "CREATE INDEX photos_content ON photos (digest) WHERE digest IS NOT NULL",
)


def _with_quick_looks(db: sqlite3.Connection) -> None:
    """Indexes alone: the rows stay as they are."""
    for statement in INDEXES_6:
        db.execute(statement)


# Cutouts that are to go are few: each publication asks for them, without a look at all that was ever published.
LEAVING_7 = "CREATE INDEX deliverables_leaving ON deliverables (state, outbox) WHERE state = 'leaving'"


def _with_those_that_leave(db: sqlite3.Connection) -> None:
    """An index alone: the rows stay as they are."""
    db.execute(LEAVING_7)


def _with_whom_they_give_way_to(db: sqlite3.Connection) -> None:
    """NULL says that it is not known: a cutout that is to go waits for any photo of its content, as it did."""
    db.execute("ALTER TABLE deliverables ADD COLUMN gives_way_to INTEGER")


STEPS = (
    Step(2, _without_dead_columns),
    Step(3, _with_events),
    Step(4, _with_change_times),
    Step(5, _with_confidence),
    Step(6, _with_quick_looks),
    Step(7, _with_those_that_leave),
    Step(8, _with_whom_they_give_way_to),
)
VERSION = STEPS[-1].to
# What a ledger that is made anew gets from them, beside its tables.
MADE_BY_STEPS = (*EVENTS_3, DOUBTFUL_5, *INDEXES_6, LEAVING_7)
