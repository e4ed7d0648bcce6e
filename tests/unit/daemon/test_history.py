"""Names go without a trace, and what must stay stays: no name twice, no reader in the way, no command that tells."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutoutd.daemon.history import History
from cutoutd.daemon.ledger import Ledger
from cutoutd.daemon.names import name_key, name_prefix
from cutoutd.daemon.outcomes import Outcomes

WORD = "quincezebra"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


def add(ledger: Ledger, number: int, state: str = "done", *, aftercare: str = "none") -> None:
    """A photo with its cutout, in all columns that can hold a name."""
    stem = f"{WORD}-{number}"
    ledger.write(
        "INSERT INTO photos (id, inbox, path, key, state, arrived, finished, detail, archived_to, hidden_name,"
        " aftercare) VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)",
        (
            number,
            b"/in",
            f"{stem}.jpg".encode(),
            ledger.key(f"{stem}.jpg".encode()),
            state,
            float(number),
            f"{stem} is odd",
            f"/archive/{stem}.jpg".encode(),
            f"/in/{WORD}/.hidden".encode(),
            aftercare,
        ),
    )
    for cutout in ("done", "replaced"):
        name = f"{stem}-{cutout}.png".encode()
        ledger.write(
            "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, temporary, manifest,"
            " state) VALUES (?, 'cutout', ?, ?, ?, 'd', ?, ?, ?)",
            (number, b"/out", name, name_key(name), b"/out/" + name, b"{" + name + b"}", cutout),
        )
    ledger.commit()


def traces(ledger: Ledger) -> dict[str, int]:
    """How often the word stands in the ledger's files, as raw bytes."""
    folder = ledger.path.parent
    counts = {path.name: path.read_bytes().lower().count(WORD.encode()) for path in folder.iterdir()}
    return {name: count for name, count in counts.items() if count}


def test_a_sweep_leaves_no_byte_of_hundreds_of_names(ledger: Ledger) -> None:
    """Hundreds, so that pages split, merge and move while rows come and go."""
    for number in range(1, 401):
        add(ledger, number)
        if number % 3 == 0:
            History(ledger).drop_names(number)
    assert traces(ledger)
    assert History(ledger).sweep()
    assert traces(ledger) == {}


def test_forget_all_leaves_no_byte_either(ledger: Ledger) -> None:
    for number in range(1, 121):
        add(ledger, number, "failed" if number % 5 == 0 else "done")
    assert History(ledger).forget(everything=True) == 120
    assert traces(ledger) == {}
    assert len(ledger.read("SELECT * FROM tombstones")) == 120


def test_commands_and_the_status_do_not_tell(ledger: Ledger) -> None:
    ledger.write(
        "INSERT INTO commands (verb, arguments, created, taken, answer) VALUES ('retry', ?, 0, 1, '{}')",
        (json.dumps({"paths": [f"/in/{WORD}.jpg"]}),),
    )
    waiting = json.dumps({"paths": ["/in/other.jpg"]})
    ledger.write("INSERT INTO commands (verb, arguments, created) VALUES ('retry', ?, 0)", (waiting,))
    status = {"state": "working", "in_hand": [{"photo": 1, "name": f"{WORD}.jpg"}]}
    ledger.set_meta("status", json.dumps(status))
    History(ledger).forget(everything=False)
    assert traces(ledger) == {}
    assert json.loads(ledger.get_meta("status")) == {"state": "working", "in_hand": []}
    assert [row["arguments"] for row in ledger.read("SELECT * FROM commands ORDER BY id")] == ["", waiting]


def test_photos_somebody_still_has_to_find_keep_their_names(ledger: Ledger) -> None:
    for number, state in enumerate(("pending", "running", "delivering", "failed", "done", "skipped"), 1):
        add(ledger, number, state)
    add(ledger, 7, "done", aftercare="owed")
    History(ledger).sweep()
    named = [row["id"] for row in ledger.read("SELECT id FROM photos WHERE path IS NOT NULL ORDER BY id")]
    assert named == [1, 2, 3, 4, 7]
    History(ledger).forget(everything=False)
    named = [row["id"] for row in ledger.read("SELECT id FROM photos WHERE path IS NOT NULL ORDER BY id")]
    assert named == [1, 2, 3, 7]


def test_a_name_that_was_dropped_is_still_taken(ledger: Ledger) -> None:
    add(ledger, 1)
    stem = f"{WORD}-1-done"
    before = Outcomes(ledger, {}).names_taken(b"/out", name_prefix(b"", stem), besides=99)
    History(ledger).sweep()
    after = Outcomes(ledger, {}).names_taken(b"/out", name_prefix(b"", stem), besides=99)
    for taken in (before, after):
        assert f"{stem}.png" in taken
        assert f"{stem} (2).png" not in taken
        assert "other.png" not in taken
        assert "claimed.png" in taken | {"claimed.png"}
        assert f"{stem}.png" in taken | {"claimed.png"}
    own = Outcomes(ledger, {}).names_taken(b"/out", name_prefix(b"", stem), besides=1)
    assert f"{stem}.png" not in own


def test_a_key_is_made_once_and_is_no_name(ledger: Ledger) -> None:
    once = ledger.nameless("sub/a.png")
    assert ledger.nameless(once) == once
    assert once.startswith("/")
    assert "a.png" not in once
    assert ledger.nameless("sub/b.png") != once


def test_a_reader_delays_the_sweep_and_does_not_stop_the_loop(ledger: Ledger) -> None:
    add(ledger, 1)
    with sqlite3.connect(ledger.path, isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM photos").fetchone()
        assert not History(ledger).sweep()
        reader.execute("COMMIT")
        assert History(ledger).sweep()
    reader.close()
    assert traces(ledger) == {}
    assert os.stat(ledger.path).st_mode & 0o777 == 0o600
