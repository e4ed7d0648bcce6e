"""The durable queue and history: one SQLite file that survives anything but the disk itself.

It stores and answers; what a row *means* for the work is decided in the modules beside it. `Ledger.move` alone writes
a photo's state, and no step that the table of states does not know. Paths are bytes throughout, since file names need
not be UTF-8.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cutoutd.config.errors import LedgerError
from cutoutd.daemon.files.mounts import filesystem_kind
from cutoutd.daemon.ledger import migrations, schema, soundness, states
from cutoutd.daemon.ledger.migrations import VERSION
from cutoutd.daemon.ledger.states import Stage, State
from cutoutd.daemon.ledger.troubles import LedgerCorruptError, LedgerMovedError, LedgerOldError

LEDGER_NAME = "ledger.sqlite"  # in the state folder

# Kinds of file system on which WAL cannot work: its index is shared memory, which network shares lack.
SHARED_NOTHING = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "fuse.sshfs", "fuse.rclone", "ceph", "vboxsf"}
)

# How long a statement waits for another process that holds the file.
BUSY_S = 10.0


# A word with a damaged letter is another word, which compares as such; to refuse it would stop whoever reads its row.
_text = partial(str, encoding="utf-8", errors="replace")


class Ledger:
    """One open ledger file.

    Writes gather in one transaction per turn of the supervisor's loop (`commit` ends it); `durably` makes
    one transaction that is on the disk when it returns.

    Args:
        path: the SQLite file; its folder exists. Created with mode 0600.
        clock: wall-clock seconds since the epoch; injectable.
        check: look through the whole file for damage first; short-lived readers leave it out.
        upgrade: bring a ledger of an earlier version up to date; only for who holds the state folder's lock, since
            a daemon of that version would find it changed beneath it.

    Raises:
        LedgerError: when the file is corrupt (`LedgerCorruptError`), newer than this program, older and not to be
            changed (`LedgerOldError`), or cannot be opened.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.time, check: bool = True, upgrade: bool = True
    ) -> None:
        self.path = path
        self._check = check
        self._upgrade = upgrade
        self.clock = clock
        self._depth = 0
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self.db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
            self.db.row_factory = sqlite3.Row
            self.db.text_factory = _text
            self._prepare()
            self._file = path.stat()
            self.secret = bytes(self._meta("secret") or b"")
        except LedgerError:
            self._close_quietly()
            raise
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite quotes what is damaged
            self._close_quietly()
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                raise LedgerError(
                    f"The ledger cannot be opened ({error})",
                    path,
                    "Check the folder's permissions and free space.",
                ) from error
            raise LedgerCorruptError(
                "The ledger is damaged", path, "It is moved aside and rebuilt."
            ) from error
        except OSError as error:
            raise LedgerError(
                f"The ledger cannot be opened ({error.strerror})",
                path,
                "Check the state folder's permissions.",
            ) from error
        self.db.create_function("nameless", 1, self.nameless, deterministic=True)

    def _prepare(self) -> None:
        self.db.execute("PRAGMA journal_mode=WAL").fetchone()
        self.db.execute("PRAGMA synchronous=NORMAL")
        # A megabyte of log at most: a small disk for the state folder must not fill up with our own log.
        self.db.execute("PRAGMA wal_autocheckpoint=250")
        self.db.execute("PRAGMA journal_size_limit=1000000")
        self.db.execute("PRAGMA secure_delete=ON")
        self.db.execute("PRAGMA foreign_keys=ON")
        self.db.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone does not reach the platter
        migrations.refuse_newer(self.db, self.path, VERSION)
        if soundness.is_empty(self.db):
            self._create()
            return
        if self._check and self.db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("quick_check failed")
        version = migrations.version_of(self.db)
        if version <= VERSION and self._check and soundness.has_todays_shape(self.db):
            version = self._of_todays_version(version)
        if version < VERSION and not self._upgrade:
            raise LedgerOldError(
                f"The ledger is of an earlier cutoutd (version {version}; this one writes {VERSION})",
                self.path,
                "Restart the daemon; it brings the ledger up to date.",
            )
        if version < VERSION:
            migrations.migrate(self.db, self.path, migrations.STEPS)
        if self._check and (wrong := soundness.fault(self.db)):
            raise sqlite3.DatabaseError(wrong)

    def _of_todays_version(self, version: int) -> int:
        """One that was written anew from its own text (`sqlite3 .dump`) has all but the number of its version."""
        if version != VERSION and self._upgrade:
            self.db.execute(f"PRAGMA user_version={VERSION}")
        return VERSION

    def _create(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        if self.db.execute("PRAGMA user_version").fetchone()[0] == 0:
            schema.make(self.db)
            insert = "INSERT INTO meta (name, value) VALUES (?, ?)"
            self.db.execute(insert, ("secret", secrets.token_bytes(32)))
            self.db.execute(f"PRAGMA user_version={VERSION}")
        self.db.execute("COMMIT")

    def _meta(self, name: str) -> Any:
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def get_meta(self, name: str) -> Any:
        """The value stored under a name, or None."""
        return self._meta(name)

    def set_meta(self, name: str, value: Any) -> None:
        """Stores a value under a name within the running turn."""
        self.write("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))

    def key(self, path: bytes) -> bytes:
        """16 bytes that stand for a path when its name is gone (BLAKE2b keyed with this ledger's secret)."""
        return hashlib.blake2b(path, digest_size=16, key=self.secret).digest()

    def write(self, sql: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> sqlite3.Cursor:
        """Runs a writing statement inside the turn's transaction, opening it when needed."""
        if not self.db.in_transaction:
            self.db.execute("BEGIN IMMEDIATE")
        return self.db.execute(sql, values)

    def move(
        self,
        photo: int,
        to: State,
        columns: Mapping[str, Any] | None = None,
        *,
        stage: Stage | None = None,
        only_from: Iterable[State] | None = None,
    ) -> bool:
        """Brings a photo into a state within the running turn, with whatever else the step writes.

        Args:
            photo: the row's id; one that is gone is nothing to move.
            to: the state.
            columns: other columns and their new values; none, if not given.
            stage: the stage that it has from now on; the same, if not given.
            only_from: leave it as it is, without an error, in any other state; all legal ones, if not given.

        Returns:
            Whether it was moved.

        Raises:
            IllegalTransitionError: it is in a state from which no legal step leads there.
        """
        allowed = states.before(to, stage)
        froms = allowed if only_from is None else tuple(only_from)
        if wrong := [one for one in froms if one not in allowed]:
            raise states.IllegalTransitionError(photo, wrong[0], to)
        values: dict[str, Any] = {"state": to, **(columns or {})}
        if stage is not None:
            values["stage"] = stage
        cursor = self.write(
            f"UPDATE photos SET {', '.join(f'{name} = ?' for name in values)}"
            f" WHERE id = ? AND state IN ({', '.join('?' * len(froms))})",
            (*values.values(), photo, *froms),
        )
        if cursor.rowcount or only_from is not None:
            return bool(cursor.rowcount)
        row = self.one("SELECT state FROM photos WHERE id = ?", (photo,))
        if row is None:
            return False
        raise states.IllegalTransitionError(photo, row["state"], to)

    def read(self, sql: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query; sees the turn's own uncommitted writes."""
        return self.db.execute(sql, values).fetchall()

    def one(self, sql: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        return self.db.execute(sql, values).fetchone()

    def commit(self) -> None:
        """Ends the turn: its writes survive a crash of the program (a power cut may take the last ones)."""
        if self.db.in_transaction and self._depth == 0:
            self.db.execute("COMMIT")

    @contextlib.contextmanager
    def durably(self) -> Generator[None]:
        """One transaction that has reached the disk when the block ends; rolled back when it raises.

        The turn's earlier writes are committed first, so that they become durable with it. Within another such block
        it is a part of that one's transaction, and rolled back alone.
        """
        if self._depth:
            self.db.execute("SAVEPOINT part")
            try:
                yield
            except BaseException:
                if self.db.in_transaction:  # a disk that is full ends it at once
                    self.db.execute("ROLLBACK TO part")
                    self.db.execute("RELEASE part")
                raise
            self.db.execute("RELEASE part")
            return
        self.commit()
        self.db.execute("PRAGMA synchronous=FULL")
        self._depth = 1
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.rollback()
                raise
            self.db.execute("COMMIT")
        finally:
            self._depth = 0
            self.db.execute("PRAGMA synchronous=NORMAL")

    def rollback(self) -> None:
        """Drops the turn's uncommitted writes."""
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")

    def writes(self) -> int:
        """A number that grows with every row this process writes."""
        return self.db.total_changes

    def data_version(self) -> int:
        """A number that changes when another process wrote to the ledger.

        Raises:
            LedgerMovedError: its name means another file, or none: what others write would never be heard of.
        """
        if not self._in_place():
            raise LedgerMovedError(
                "The ledger was removed or replaced", self.path, "Start this command again."
            )
        return int(self.db.execute("PRAGMA data_version").fetchone()[0])

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), self._file)
        except FileNotFoundError:
            return False
        except OSError:  # a folder that may not be looked into says nothing
            return True

    def nameless(self, name_key: str) -> str:
        """What stands for a cutout's name key when its name is gone; no relative name begins with a slash."""
        if name_key.startswith("/"):
            return name_key
        return "/" + self.key(name_key.encode("utf-8", "surrogateescape")).hex()

    def truncate_wal(self, patience_s: float = BUSY_S) -> bool:
        """Empties the write-ahead log, so that deleted names are not left behind in it.

        Args:
            patience_s: how long to wait for other processes that are reading.

        Returns:
            False when one of them read on and part of the log had to stay.
        """
        self.commit()
        self.db.execute(f"PRAGMA busy_timeout={int(patience_s * 1000)}")
        try:
            busy = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:  # another process is writing
            return False
        finally:
            self.db.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
        return busy == 0

    def abandon(self) -> None:
        """Drops uncommitted writes and closes, for a disk that takes no more."""
        with contextlib.suppress(sqlite3.Error):
            self.rollback()
        with contextlib.suppress(sqlite3.Error):
            self.db.close()

    def close(self) -> None:
        """Commits and closes; the log is folded into the file."""
        self.commit()
        self.db.close()

    def _close_quietly(self) -> None:
        if hasattr(self, "db"):
            with contextlib.suppress(sqlite3.Error):
                self.db.close()


def refuse_share(folder: Path) -> None:
    """Where several machines have a share between them, nobody may come to think that the ledger could lie there too.

    Raises:
        LedgerError: the folder lies on a network share.
    """
    kind = filesystem_kind(folder)
    if kind in SHARED_NOTHING:
        fix = "Set CUTOUTD_STATE_DIR to a folder on this machine's own disk."
        raise LedgerError(f"a fleet's ledger cannot lie on a network share ({kind})", folder, fix)
