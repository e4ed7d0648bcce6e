"""The ledger file: what survives a crash, what is damaged, what is newer, what is full."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.ledgers import integrity

from cutoutd.config.errors import LedgerError
from cutoutd.daemon.ledger import database
from cutoutd.daemon.ledger.database import VERSION, Ledger, is_held, move_aside, open_ledger, refuse_share
from cutoutd.daemon.ledger.migrations import discard_copies
from cutoutd.daemon.ledger.troubles import LedgerCorruptError


def _count(path: Path) -> int:
    with sqlite3.connect(path) as db:
        found: int = db.execute("SELECT count(*) FROM meta WHERE name LIKE 'n%'").fetchone()[0]
    db.close()
    return found


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    ledger, aside = open_ledger(tmp_path / "state" / "ledger.sqlite")
    assert aside is None
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700
    assert integrity(ledger) == "ok"
    ledger.close()


def test_a_turn_is_one_transaction(ledger: Ledger) -> None:
    ledger.set_meta("n1", 1)
    assert ledger.get_meta("n1") == 1  # a turn sees its own writes
    assert _count(ledger.path) == 0
    ledger.commit()
    assert _count(ledger.path) == 1
    ledger.set_meta("n2", 1)
    ledger.rollback()
    assert ledger.get_meta("n2") is None


def test_durably_commits_what_came_before_and_rolls_back_only_itself(ledger: Ledger) -> None:
    ledger.set_meta("n1", 1)

    def interrupted() -> None:
        with ledger.durably():
            ledger.set_meta("n2", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert _count(ledger.path) == 1
    with ledger.durably(), ledger.durably():
        ledger.set_meta("n3", 1)
        ledger.commit()  # within it nothing is committed halfway
        assert _count(ledger.path) == 1
    assert _count(ledger.path) == 2
    assert ledger.one("PRAGMA synchronous")[0] == 1  # type: ignore[index]


def test_durably_within_durably_is_rolled_back_alone(ledger: Ledger) -> None:
    def interrupted() -> None:
        with ledger.durably():
            ledger.set_meta("n2", 1)
            raise ZeroDivisionError

    with ledger.durably():
        ledger.set_meta("n1", 1)
        with pytest.raises(ZeroDivisionError):
            interrupted()
        ledger.set_meta("n3", 1)
    assert [ledger.get_meta(name) for name in ("n1", "n2", "n3")] == [1, None, 1]
    assert _count(ledger.path) == 2


def test_what_was_committed_survives_sigkill(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from cutoutd.daemon.ledger.database import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1])); ledger.set_meta('n1', 1); ledger.commit()\n"
        "ledger.set_meta('n2', 1); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "ledger.sqlite"
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    ledger = Ledger(path)
    assert (ledger.get_meta("n1"), ledger.get_meta("n2")) == (1, None)
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


def test_keys_differ_between_ledgers(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "1"), Ledger(tmp_path / "2")
    assert one.key(b"a.jpg") == one.key(b"a.jpg") != other.key(b"a.jpg")
    one.close()
    again = Ledger(tmp_path / "1")
    assert again.key(b"a.jpg") == one.key(b"a.jpg")
    again.close()
    other.close()


def test_only_one_live_row_per_path_and_one_holder_per_name(ledger: Ledger) -> None:
    insert = "INSERT INTO photos (inbox, key, state, arrived, live) VALUES (x'00', x'01', 'done', 0, ?)"
    ledger.write(insert, (1,))
    ledger.write(insert, (0,))
    with pytest.raises(sqlite3.IntegrityError):
        ledger.write(insert, (1,))
    hold = (
        "INSERT INTO deliverables (photo, label, outbox, name_key, out_digest, state)"
        " VALUES (1, '', x'00', 'a', '', ?)"
    )
    ledger.write(hold, ("done",))
    ledger.write(hold, ("replaced",))
    with pytest.raises(sqlite3.IntegrityError):
        ledger.write(hold, ("delivering",))


def test_another_process_is_noticed(ledger: Ledger) -> None:
    before = ledger.data_version()
    other = Ledger(ledger.path, check=False)
    other.set_meta("n1", 1)
    other.close()
    assert ledger.data_version() != before


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


def test_a_ledger_that_is_refused_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(LedgerError, match="newer"):
        Ledger(path)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_fleets_ledger_on_a_network_share_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shared(path: Path) -> str:
        return "nfs4" if path == tmp_path else ""

    refuse_share(tmp_path)
    monkeypatch.setattr(database, "filesystem_kind", shared)
    with pytest.raises(LedgerError, match="network share"):
        refuse_share(tmp_path)
