"""What may be forgotten: names and times; and what not: that a photo is an old one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.daemon.conftest import Clock

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake, Seen
from cutoutd.daemon.ledger.records import Facts, Settled
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import State

BOX = b"/inbox"
DAY_S = 86400.0


@pytest.fixture
def history(ledger: Ledger) -> History:
    return History(ledger)


def _photo(ledger: Ledger, name: bytes, state: State, *, size: int = 1, **values: object) -> int:
    intake = Intake(ledger)
    photo = intake.observe(BOX, name, Facts(size, 2, 3), settled=Settled.KNOWN)[1] or 0
    values = {"state": state, "finished": ledger.clock(), "digest": name.hex(), **values}
    for column, value in values.items():
        ledger.write(f"UPDATE photos SET {column} = ? WHERE id = ?", (value, photo))
    return photo


@pytest.mark.parametrize(("state", "digest"), [(State.DONE, "d"), (State.FAILED, None)])
def test_a_trimmed_photo_stays_old_until_it_changes(
    history: History, ledger: Ledger, clock: Clock, state: State, digest: str | None
) -> None:
    _photo(ledger, b"a.jpg", state, digest=digest)
    assert history.trim(DAY_S) == 0
    clock.now += DAY_S + 1
    assert history.trim(DAY_S) == 1
    assert ledger.one("SELECT 1 FROM photos") is None
    intake = Intake(ledger)
    assert intake.observe(BOX, b"a.jpg", Facts(1, 2, 3), settled=Settled.KNOWN) == (Seen.KNOWN, None)
    seen, photo = intake.observe(BOX, b"a.jpg", Facts(5, 2, 3), settled=Settled.KNOWN)
    assert seen is Seen.NEW
    row = intake.get(photo or 0)
    assert row is not None
    assert intake.known_digests(row) == {digest or "": 0}


@pytest.mark.parametrize("aftercare", ["owed", "hidden"])
def test_a_photo_with_aftercare_owed_is_not_trimmed(
    history: History, ledger: Ledger, clock: Clock, aftercare: str
) -> None:
    _photo(ledger, b"a.jpg", State.DONE, aftercare=aftercare)
    clock.now += 90 * DAY_S
    assert history.trim(DAY_S) == 0


def test_neither_is_the_one_whose_cutout_a_waiting_photo_will_replace(
    history: History, ledger: Ledger, clock: Clock
) -> None:
    first = _photo(ledger, b"a.jpg", State.DONE)
    Intake(ledger).observe(BOX, b"a.jpg", Facts(9, 9, 9), settled=Settled.KNOWN)
    ledger.write("UPDATE photos SET previous = ? WHERE id <> ?", (first, first))
    clock.now += 90 * DAY_S
    assert history.trim(DAY_S) == 0


def test_a_cutout_that_is_to_go_keeps_its_photo_for_as_long_as_its_disk_may_come_back(
    history: History, ledger: Ledger, clock: Clock
) -> None:
    """Names were kept for ever where an outbox never came back."""
    photo = _photo(ledger, b"a.jpg", State.DONE)
    ledger.write(
        "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, out_size, stage, state)"
        " VALUES (?, 'cutout', x'2f', x'61', 'a', 'd', 1, 'final', 'leaving')",
        (photo,),
    )
    clock.now += 29 * DAY_S
    assert history.trim(DAY_S) == 0
    clock.now += 2 * DAY_S
    assert history.trim(40 * DAY_S) == 0
    assert history.trim(DAY_S) == 1
    assert ledger.one("SELECT 1 FROM photos UNION SELECT 1 FROM deliverables") is None


def test_a_tombstone_goes_when_no_clean_scan_saw_its_file_for_long(
    history: History, ledger: Ledger, clock: Clock
) -> None:
    _photo(ledger, b"a.jpg", State.DONE)
    _photo(ledger, b"b.jpg", State.DONE)
    history.trim(-1)
    clock.now += 5 * DAY_S
    history.seen(BOX, [b"a.jpg"])
    clock.now += 4 * DAY_S
    assert history.drop_stones(BOX, 7 * DAY_S, scanned=clock.now) == 1
    assert history.has_tombstones(BOX)
    assert Intake(ledger).observe(BOX, b"a.jpg", Facts(1, 2, 3), settled=Settled.KNOWN)[0] is Seen.KNOWN


def test_a_clock_that_jumps_between_scan_and_trimming_makes_no_photo_new(
    history: History, ledger: Ledger, clock: Clock
) -> None:
    _photo(ledger, b"a.jpg", State.DONE)
    history.trim(-1)
    scanned = clock.now
    clock.now += 365 * DAY_S
    assert history.drop_stones(BOX, 7 * DAY_S, scanned=scanned) == 0


def test_forgetting_everything_leaves_no_name_and_no_work(history: History, ledger: Ledger) -> None:
    for name, state in (
        (b"hush-a.jpg", State.DONE),
        (b"hush-b.jpg", State.FAILED),
        (b"owed.jpg", State.PENDING),
    ):
        _photo(ledger, name, state)
    assert history.forget(everything=True) == 2
    ledger.commit()
    raw = b"".join(path.read_bytes() for path in ledger.path.parent.glob("ledger.sqlite*"))
    assert b"hush" not in raw
    assert Intake(ledger).observe(BOX, b"hush-a.jpg", Facts(1, 2, 3), settled=Settled.KNOWN)[0] is Seen.KNOWN
    assert [row["state"] for row in ledger.read("SELECT state FROM photos")] == [State.PENDING]


def test_forgetting_names_keeps_the_rows(history: History, ledger: Ledger) -> None:
    photo = _photo(ledger, b"hush-a.jpg", State.DONE)
    history.forget(everything=False)
    row = Intake(ledger).get(photo)
    assert row is not None
    assert (row.path, row.digest) == (None, b"hush-a.jpg".hex())
    assert Intake(ledger).observe(BOX, b"hush-a.jpg", Facts(1, 2, 3), settled=Settled.KNOWN) == (
        Seen.KNOWN,
        None,
    )


def test_an_original_that_was_moved_away_and_is_put_back_is_wanted_again(
    history: History, ledger: Ledger
) -> None:
    """As it would be before its row was forgotten."""
    _photo(ledger, b"a.jpg", State.DONE, archived_to=b"/archive/a.jpg", live=0, aftercare="done")
    assert history.forget(everything=True) == 1
    assert Intake(ledger).observe(BOX, b"a.jpg", Facts(1, 2, 3), settled=Settled.KNOWN)[0] is Seen.NEW


def test_scans_write_a_tombstone_once_a_day_at_most(history: History, ledger: Ledger, clock: Clock) -> None:
    _photo(ledger, b"a.jpg", State.DONE)
    history.forget(everything=True)
    for hours, written in ((1, 0), (12, 0), (12, 1), (1, 0)):
        clock.now += hours * 3600
        before = ledger.db.total_changes
        history.seen(BOX, [b"a.jpg"])
        assert ledger.db.total_changes - before == written, hours


def test_forgetting_reaches_copies_of_the_ledger_too(ledger: Ledger, tmp_path: Path) -> None:
    for name in ("ledger.sqlite.damaged-12", "ledger.sqlite.version-1"):
        (tmp_path / name).write_bytes(b"SECRETNAME.jpg" * 1000)
        (tmp_path / "other.damaged-1").write_bytes(b"not ours")
    open_copy = (tmp_path / "ledger.sqlite.damaged-12").open("rb")
    History(ledger).forget(everything=True)
    assert sorted(one.name for one in tmp_path.glob("*damaged*")) == ["other.damaged-1"]
    assert not list(tmp_path.glob("*version*"))
    assert set(open_copy.read()) == {0}  # what is unlinked was overwritten first
    open_copy.close()


def test_a_skipped_file_that_was_forgotten_is_not_written_down_anew_by_the_next_scan(
    ledger: Ledger, history: History
) -> None:
    intake = Intake(ledger)
    facts, other = Facts(100, 5, 7), Facts(101, 6, 7)
    for name, reason in (
        (b"a.txt", Reason.NOT_A_PHOTO),
        (b"a.nef", Reason.RAW_PAIR),
        (b"b.jpg", Reason.VANISHED),
    ):
        intake.skip(b"/in", name, facts, reason)
    history.forget(everything=True)
    assert not intake.skip(b"/in", b"a.txt", facts, Reason.NOT_A_PHOTO)
    assert not intake.skip(b"/in", b"a.nef", facts, Reason.RAW_PAIR)
    assert ledger.read("SELECT id FROM photos") == []
    assert intake.skip(b"/in", b"a.txt", other, Reason.NOT_A_PHOTO)  # another file
    assert not intake.is_buried(b"/in", b"b.jpg", facts)  # it is wanted when it comes back
