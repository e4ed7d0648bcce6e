"""What SQLite finds whole and is no ledger any more: put aside at a start, and no later start stopped by it."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cutoutd.daemon.ledger.control import Control
from cutoutd.daemon.ledger.database import VERSION, Ledger
from cutoutd.daemon.ledger.file import open_ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import COLUMNS, Facts, Settled, delivery_row, photo_row
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.ledger.troubles import DamagedRowError, is_damage

INBOX = b"/inbox"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with five photos, each with its cutout, and nobody who has it open."""
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        for number in range(5):
            name, facts = b"%d.jpg" % number, Facts(1000 + number, 2000, 3000 + number)
            _, photo = Intake(ledger).observe(INBOX, name, facts, settled=Settled.KNOWN)
            assert photo is not None
            ledger.move(photo, State.RUNNING)
            ledger.move(photo, State.DELIVERING, {"digest": "d" * 64})
            ledger.write(
                "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, state)"
                " VALUES (?, '', ?, ?, ?, ?, 'done')",
                (photo, b"/outbox", b"%d.png" % number, f"{number}.png", "e" * 64),
            )
            ledger.move(photo, State.DONE, {"finished": 1.0, "doubts": '["faint"]'})
    return tmp_path / "ledger.sqlite"


def _edited(path: Path, *statements: str) -> None:
    """As by SQLite's own shell, which knows nothing of what belongs together."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE deliverables",
        "DROP TABLE events",
        "DROP TABLE meta",
        "DROP INDEX photos_live",
        "DROP TRIGGER photo_events",
        "ALTER TABLE photos RENAME COLUMN confidence TO trust",
        "UPDATE meta SET value = NULL WHERE name = 'secret'",
        "UPDATE meta SET value = 'secret' WHERE name = 'secret'",
        "UPDATE photos SET state = 'dooe' WHERE id = 2",
        "UPDATE photos SET stage = '' WHERE id = 2",
        "UPDATE photos SET aftercare = x'ff' WHERE id = 2",
        "UPDATE photos SET size = 'large' WHERE id = 2",
        "UPDATE photos SET arrived = 'today' WHERE id = 2",
        "UPDATE photos SET path = '2.jpg' WHERE id = 2",
        "UPDATE photos SET overrides = '{' WHERE id = 2",
        "UPDATE photos SET doubts = '[' WHERE id = 2",
        "UPDATE deliverables SET state = 'gone' WHERE id = 2",
        "UPDATE deliverables SET name = '2.png' WHERE id = 2",
        "UPDATE events SET kind = 'dooe' WHERE id = 2",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
    ],
)
def test_what_no_cutoutd_wrote_is_damage(path: Path, statement: str) -> None:
    _edited(path, statement)
    ledger, aside = open_ledger(path, clock=lambda: 12.0)
    with closing(ledger):
        assert aside == path.with_name("ledger.sqlite.damaged-12")
        assert ledger.read("SELECT 1 FROM photos") == []


@pytest.mark.parametrize("version", [0, -5, VERSION - 1])
def test_a_ledger_that_lost_only_its_number_is_taken_as_it_is(path: Path, version: int) -> None:
    _edited(path, f"PRAGMA user_version = {version}")
    ledger, aside = open_ledger(path)
    with closing(ledger):
        assert (aside, len(ledger.read("SELECT 1 FROM photos"))) == (None, 5)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == VERSION


def test_a_ledger_that_was_written_anew_from_its_own_text_is_taken_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        text = "\n".join(db.iterdump())
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(text)
    ledger, aside = open_ledger(path)
    with closing(ledger):
        assert aside is None
        row = Intake(ledger).live(INBOX, b"2.jpg")
        assert row is not None
        assert row.state is State.DONE


def test_a_cutout_of_a_row_that_was_deleted_by_hand_holds_no_name(path: Path) -> None:
    _edited(path, "DELETE FROM photos WHERE id = 2")
    ledger, aside = open_ledger(path)
    with closing(ledger):
        assert aside is None
        assert [row["name"] for row in ledger.read("SELECT name FROM deliverables ORDER BY id")] == [
            b"0.png",
            b"2.png",
            b"3.png",
            b"4.png",
        ]


def test_a_row_that_is_damaged_under_way_is_the_ledgers_trouble(path: Path) -> None:
    with closing(Ledger(path)) as ledger:
        _edited(path, "UPDATE photos SET state = 'dooe', doubts = '[' WHERE id = 2")
        with pytest.raises(DamagedRowError) as caught:
            Intake(ledger).live(INBOX, b"1.jpg")
        assert is_damage(caught.value)
        with pytest.raises(DamagedRowError):
            Control(ledger).counts()


def test_no_flipped_bit_stops_a_start(path: Path) -> None:
    """Wherever it is: the ledger opens, as it is or made anew, and its rows can be read or are said to be damaged."""
    whole = path.read_bytes()
    written = [at for at, byte in enumerate(whole) if byte and at >= 100]
    chance = random.Random(7)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 1, 8))):
            data[chance.choice(written)] ^= 1 << chance.randrange(8)
        for one in path.parent.iterdir():
            one.unlink()
        path.write_bytes(data)
        ledger, _ = open_ledger(path)
        try:
            assert _is_readable_or_damaged(ledger)
        finally:
            ledger.abandon()


def _is_readable_or_damaged(ledger: Ledger) -> bool:
    try:
        _read_all(ledger)
    except sqlite3.DatabaseError as error:
        return is_damage(error)
    return True


def _read_all(ledger: Ledger) -> None:
    intake = Intake(ledger)
    for row in [photo_row(row) for row in ledger.read(f"SELECT {COLUMNS} FROM photos")]:
        intake.known_digests(row)
        assert os.fsencode(str(row.needs_review)) is not None
    for row in ledger.read("SELECT * FROM deliverables"):
        delivery_row(row)
    Control(ledger).counts()
