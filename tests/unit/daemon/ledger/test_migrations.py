"""Ledgers of earlier versions: taken over whole, copied first, left alone by a crash, refused when they are newer."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.ledgers import integrity

from cutoutd.config.errors import LedgerError
from cutoutd.daemon.ledger import migrations
from cutoutd.daemon.ledger.control import Control
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.file import open_ledger
from cutoutd.daemon.ledger.folders import Folders
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.migrations import VERSION, Step, backups
from cutoutd.daemon.ledger.queue import Queue
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.ledger.troubles import LedgerOldError, is_passing_trouble

EARLIER = sorted(Path(__file__).parents[3].joinpath("data/ledgers").glob("version-*.sqlite"))
INBOX = b"/photos/in"


def _copied(source: Path, folder: Path) -> Path:
    path = folder / "ledger.sqlite"
    shutil.copyfile(source, path)
    return path


@pytest.fixture(params=EARLIER, ids=lambda path: path.stem)
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A ledger that an earlier version wrote."""
    return _copied(request.param, tmp_path)


def _rows(path: Path, table: str) -> dict[int, dict[str, object]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return {row["id"]: dict(row) for row in db.execute(f"SELECT * FROM {table}")}


def _shape(path: Path) -> dict[str, object]:
    """Columns of each table in no order, and each index as it was made."""
    with closing(sqlite3.connect(path)) as db:
        shape: dict[str, object] = {}
        for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master"):
            if kind == "table":
                shape[name] = sorted(map(str, (row[1:] for row in db.execute(f"PRAGMA table_info({name})"))))
                shape[f"{name} refers"] = sorted(db.execute(f"PRAGMA foreign_key_list({name})").fetchall())
            elif sql:
                shape[name] = " ".join(sql.split())
        return shape


def test_there_is_a_ledger_of_every_earlier_version() -> None:
    assert [path.stem for path in EARLIER] == [f"version-{number}" for number in range(1, VERSION)]
    assert [step.to for step in migrations.STEPS] == list(range(2, VERSION + 1))


def test_it_becomes_what_a_new_one_is(earlier: Path, tmp_path: Path) -> None:
    Ledger(earlier).close()
    Ledger(tmp_path / "new.sqlite").close()
    assert _shape(earlier) == _shape(tmp_path / "new.sqlite")


def test_every_row_comes_along(earlier: Path) -> None:
    before = {table: _rows(earlier, table) for table in ("photos", "deliverables", "commands")}
    ledger = Ledger(earlier)
    control, intake = Control(ledger), Intake(ledger)
    assert integrity(ledger) == "ok"
    assert ledger.get_meta("paused") == 1
    assert control.counts()["done"] >= 4
    assert Queue(ledger).any_owed([INBOX])
    assert intake.live(INBOX, b"done.jpg") is not None  # keys still fit: the secret is the same
    assert intake.live(INBOX, b"bad\xff.jpg") is not None
    assert [command.verb for command in control.waiting()] == ["retry"]
    assert Folders(ledger).recorded(Path("/photos/in")) is not None
    assert len(Transitions(ledger, {}).in_state(State.DELIVERING)) == 1
    assert ledger.one("SELECT 1 FROM tombstones") is not None
    ledger.close()
    for table, rows in before.items():
        after = _rows(earlier, table)
        assert after.keys() == rows.keys()
        for number, row in rows.items():
            kept = {name: value for name, value in row.items() if name in after[number]}
            if kept.get("aftercare") == "failed":
                kept["aftercare"] = "none"
            assert kept.items() <= after[number].items()


def test_no_earlier_cutout_needs_a_look_that_nobody_judged(earlier: Path) -> None:
    ledger = Ledger(earlier)
    control = Control(ledger)
    assert control.to_review() == []
    assert {row.confidence for row in control.recent(100)} == {None}
    ledger.close()


def test_no_number_is_given_twice(earlier: Path) -> None:
    with closing(sqlite3.connect(earlier)) as db:
        last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'photos'").fetchone()[0]
    assert last > max(_rows(earlier, "photos"))
    ledger = Ledger(earlier)
    cursor = ledger.write("INSERT INTO photos (inbox, key, state, arrived) VALUES (x'00', x'01', 'done', 0)")
    assert cursor.lastrowid == last + 1
    ledger.close()


def test_cutouts_still_go_with_their_photo(earlier: Path) -> None:
    ledger = Ledger(earlier)
    ledger.write("DELETE FROM photos WHERE path = ?", (b"leaving.jpg",))
    ledger.commit()
    assert ledger.one("SELECT 1 FROM deliverables WHERE name = ?", (b"leaving.png",)) is None
    ledger.close()


def test_a_copy_of_how_it_was_lies_beside_it(earlier: Path) -> None:
    before = _rows(earlier, "photos")
    version = int(earlier.read_bytes()[60:64].hex(), 16)
    Ledger(earlier).close()
    (copy,) = backups(earlier)
    assert copy.name == f"ledger.sqlite.version-{version}"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert _rows(copy, "photos") == before
    assert not list(earlier.parent.glob("*.part"))
    Ledger(earlier).close()  # the second time there is nothing to do
    assert backups(earlier) == [copy]
    copy.replace(earlier)  # and it can be gone back to
    Ledger(earlier).close()


def test_old_copies_go(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    for version in (9, 10, 11):
        migrations.save_copy(path, version)
    assert [one.name for one in backups(path)] == ["ledger.sqlite.version-10", "ledger.sqlite.version-11"]


def test_what_was_written_last_is_in_the_copy(earlier: Path) -> None:
    """Also what still lies in the write-ahead log of a daemon that crashed."""
    with closing(sqlite3.connect(earlier)) as db:
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("UPDATE photos SET reason = 'late'")
        db.commit()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{earlier}{suffix}", f"{earlier.parent}/crashed{suffix}")
    path = earlier.parent / "crashed"
    Ledger(path).close()
    assert {row["reason"] for row in _rows(backups(path)[0], "photos").values()} == {"late"}


_CRASH = """
import os, signal, sys
from pathlib import Path
from cutoutd.daemon.ledger import database, migrations
def crash(db):
    for step in database.migrations.STEPS_REAL:
        if step.to > migrations.version_of(db):
            step.apply(db)
    os.kill(os.getpid(), signal.SIGKILL)
migrations.STEPS_REAL = migrations.STEPS
migrations.STEPS = (migrations.Step(migrations.VERSION, crash),)
database.Ledger(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_crash_in_the_middle_leaves_it_as_it_was(earlier: Path) -> None:
    before = _rows(earlier, "photos")
    done = subprocess.run([sys.executable, "-c", _CRASH, str(earlier)], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert _rows(earlier, "photos") == before
    ledger = Ledger(earlier)  # and the next start takes the step
    assert migrations.version_of(ledger.db) == VERSION
    assert integrity(ledger) == "ok"
    ledger.close()


def test_a_step_that_fails_is_a_sentence_and_changes_nothing(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _rows(earlier, "photos")

    def broken(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM photos")
        db.execute("SELECT nothing FROM nowhere")

    monkeypatch.setattr(migrations, "STEPS", (Step(VERSION, broken),))
    with pytest.raises(LedgerError, match="could not be brought up to date"):
        open_ledger(earlier)
    assert _rows(earlier, "photos") == before
    assert not list(earlier.parent.glob("*.damaged-*"))


def test_without_room_for_the_copy_nothing_is_changed(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = earlier.read_bytes()

    def full(path: Path, version: int) -> Path:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(migrations, "save_copy", full)
    with pytest.raises(LedgerError, match="No space left") as error:
        open_ledger(earlier)
    assert is_passing_trouble(error.value)
    assert earlier.read_bytes() == before


def test_who_may_not_change_it_is_told(earlier: Path) -> None:
    before = _rows(earlier, "photos")
    with pytest.raises(LedgerOldError, match="Restart the daemon"):
        Ledger(earlier, check=False, upgrade=False)
    assert _rows(earlier, "photos") == before


@pytest.mark.slow
def test_two_that_open_it_at_once_take_turns(earlier: Path) -> None:
    program = "import sys; from pathlib import Path; from cutoutd.daemon.ledger.database import Ledger\n"
    program += (
        "ledger = Ledger(Path(sys.argv[1])); print(ledger.db.execute('PRAGMA integrity_check').fetchone()[0])"
    )
    several = [
        subprocess.Popen([sys.executable, "-c", program, str(earlier)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [one.communicate(timeout=60)[0].strip() for one in several] == ["ok"] * 3


def test_going_back_is_refused_and_says_how_it_can_be_done(earlier: Path) -> None:
    Ledger(earlier).close()
    with closing(sqlite3.connect(earlier)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = earlier.read_bytes()
    with pytest.raises(LedgerError, match=r"newer cutoutd .* put ledger\.sqlite\.version-\d+ back"):
        open_ledger(earlier)
    assert earlier.read_bytes() == before
