"""The ledger file: made, damaged, newer, held by others, put aside, removed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.support.ledgers import integrity

from cutoutd.config.errors import LedgerError
from cutoutd.daemon.ledger.database import VERSION, Ledger
from cutoutd.daemon.ledger.file import is_held, move_aside, open_ledger, save_removed
from cutoutd.daemon.ledger.migrations import discard_copies
from cutoutd.daemon.ledger.troubles import LedgerCorruptError


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    ledger, aside = open_ledger(tmp_path / "state" / "ledger.sqlite")
    assert aside is None
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700
    assert integrity(ledger) == "ok"
    ledger.close()


@pytest.mark.parametrize("damage", ["header", "middle", "garbage"])
def test_a_damaged_ledger_is_moved_aside_and_a_new_one_made(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    for number in range(2000):
        ledger.set_meta(f"n{number}", os.urandom(50))
    ledger.close()
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[:100] = os.urandom(100)
    elif damage == "middle":
        data[8192 : len(data) - 4096] = os.urandom(len(data) - 12288)
    else:
        data = bytearray(b"not a database" * 1000)
    path.write_bytes(data)
    with pytest.raises(LedgerCorruptError):
        Ledger(path)
    new, aside = open_ledger(path, clock=lambda: 12.0)
    assert aside == tmp_path / "ledger.sqlite.damaged-12"
    assert aside is not None
    assert aside.read_bytes() == bytes(data)
    assert new.get_meta("n1") is None
    assert integrity(new) == "ok"
    new.close()


def test_an_empty_file_and_a_forgotten_log_are_a_new_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    ledger.set_meta("n1", 1)
    ledger.commit()
    log = Path(f"{path}-wal").read_bytes()
    ledger.close()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)  # the log of a ledger that was deleted
    new, _ = open_ledger(path)
    assert new.get_meta("n1") is None
    assert integrity(new) == "ok"
    new.close()


def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="newer"):
        open_ledger(path)
    assert path.read_bytes() == before


def test_a_state_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises((LedgerError, FileExistsError)):
        open_ledger(tmp_path / "state" / "ledger.sqlite")


def test_another_program_that_holds_the_ledger_is_seen(ledger: Ledger) -> None:
    ledger.commit()
    other = sqlite3.connect(ledger.path, isolation_level=None)
    assert not is_held(ledger.path)
    other.execute("BEGIN IMMEDIATE")
    assert is_held(ledger.path)
    other.close()
    assert not is_held(ledger.path)


def test_asking_who_holds_the_ledger_makes_none(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "ledger.sqlite")
    assert not (tmp_path / "ledger.sqlite").exists()


def test_two_that_are_put_aside_in_one_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    asides: list[Path] = []
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        asides.append(move_aside(path, 12.5))
    assert [aside.read_bytes() for aside in asides] == [b"one", b"two", b"three"]
    discard_copies(path)  # `forget` takes all of them
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder_too", [False, True])
def test_a_ledger_that_was_removed_is_saved_whole(tmp_path: Path, *, folder_too: bool) -> None:
    """What was committed is there, also what only the log had; what was not is gone, as after a crash."""
    path = tmp_path / "state" / "ledger.sqlite"
    ledger, _ = open_ledger(path)
    ledger.set_meta("n1", 1)
    ledger.commit()
    ledger.set_meta("n2", 1)
    if folder_too:
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    copy = save_removed(ledger)
    assert copy is not None
    assert copy.stat().st_mode & 0o777 == 0o600
    secret = ledger.secret
    ledger.abandon()
    copy.rename(path)
    again, aside = open_ledger(path)
    assert aside is None
    assert (again.get_meta("n1"), again.get_meta("n2"), again.secret) == (1, None, secret)
    assert integrity(again) == "ok"
    again.close()


def test_a_ledger_in_whose_place_another_lies_is_not_saved(ledger: Ledger) -> None:
    ledger.path.unlink()
    ledger.path.touch()
    assert save_removed(ledger) is None
    assert not list(ledger.path.parent.glob("*.part"))
