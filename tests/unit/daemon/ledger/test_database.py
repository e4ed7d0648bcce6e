"""The ledger: what a turn writes, what survives a crash, what other processes do with the file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cutoutd.config.errors import LedgerError
from cutoutd.daemon.ledger import database
from cutoutd.daemon.ledger.database import Ledger, refuse_share
from cutoutd.daemon.ledger.troubles import LedgerMovedError


def _count(path: Path) -> int:
    with sqlite3.connect(path) as db:
        found: int = db.execute("SELECT count(*) FROM meta WHERE name LIKE 'n%'").fetchone()[0]
    db.close()
    return found


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


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_no_longer_the_ledgers_is_noticed(ledger: Ledger, *, replaced: bool) -> None:
    """Nothing that others write would be heard of."""
    ledger.data_version()
    ledger.path.rename(ledger.path.with_name("elsewhere"))
    if replaced:
        ledger.path.touch()
    with pytest.raises(LedgerMovedError, match="removed or replaced"):
        ledger.data_version()


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
