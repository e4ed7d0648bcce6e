"""What is to be withdrawn, and when."""

from __future__ import annotations

import pytest

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Delivery, Facts, PhotoRow, Settled
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import Aftercare
from cutoutd.daemon.ledger.taken_names import names_taken
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.ledger.withdrawals import Withdrawals

FACTS = Facts(100, 5, 7)


@pytest.fixture
def transitions(ledger: Ledger) -> Transitions:
    return Transitions(ledger, {})


def seen(ledger: Ledger, path: bytes) -> PhotoRow:
    _, photo = Intake(ledger).observe(b"/in", path, FACTS, settled=Settled.KNOWN)
    row = Intake(ledger).get(photo or 0)
    assert row is not None
    return row


def delivered(transitions: Transitions, row: PhotoRow, name: bytes, digest: str = "photo") -> None:
    key = name.decode().casefold()
    one = Delivery("cutout", b"/out", name, key, f"cutout of {digest}", 1, b"/out/.part")
    transitions.started(row.id, "a network")
    assert transitions.delivering(row, digest, [one])
    transitions.delivered(row, timings={}, aftercare=Aftercare.NONE, next_stage=None)


def test_the_old_cutout_goes_once_the_new_one_lies_there(ledger: Ledger, transitions: Transitions) -> None:
    withdrawals = Withdrawals(ledger)
    old, new = seen(ledger, b"a.jpg"), seen(ledger, b"b.jpg")
    delivered(transitions, old, b"a.png")
    withdrawals.leave(old, new)
    assert withdrawals.due(b"/in") == []
    assert withdrawals.given_up(b"/out") == {"a.png": {"cutout of photo": 1}}
    assert "a.png" not in names_taken(transitions.ledger, b"/out", "", besides=new.id)
    delivered(transitions, new, b"b.png")
    (one,) = withdrawals.due(b"/in")
    assert (one.name, one.out_digest, one.holder) == (b"a.png", "cutout of photo", b"")
    withdrawals.withdrawn(one.id)
    assert withdrawals.due(b"/in") == []
    assert withdrawals.given_up(b"/out") == {}


def test_a_name_that_another_photo_took_is_told(ledger: Ledger, transitions: Transitions) -> None:
    withdrawals = Withdrawals(ledger)
    old, new = seen(ledger, b"a.jpg"), seen(ledger, b"b.jpg")
    delivered(transitions, old, b"a.png")
    withdrawals.leave(old, new)
    delivered(transitions, new, b"b.png")
    delivered(transitions, seen(ledger, b"a.jpg"), b"A.png", "another")
    assert [one.holder for one in withdrawals.due(b"/in")] == [b"A.png"]


def test_forgotten_names_are_forgotten_here_too(ledger: Ledger, transitions: Transitions) -> None:
    withdrawals = Withdrawals(ledger)
    old, new = seen(ledger, b"wedding.jpg"), seen(ledger, b"b.jpg")
    delivered(transitions, old, b"wedding.png")
    withdrawals.leave(old, new)
    delivered(transitions, new, b"b.png")
    History(ledger).forget(everything=False)
    assert [one.name for one in withdrawals.due(b"/in")] == [b""]
    assert b"wedding" not in ledger.path.read_bytes()
