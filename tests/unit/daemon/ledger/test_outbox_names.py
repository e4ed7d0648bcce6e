"""Which names in an outbox are held by rows, and what is to be withdrawn, and when."""

from __future__ import annotations

import pytest
from tests.support.ledgers import steps

from cutoutd.config.errors import Reason
from cutoutd.daemon.files.names import name_prefix
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.outbox_names import Withdrawals, names_taken
from cutoutd.daemon.ledger.records import Delivery, Facts, PhotoRow, Settled
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import Aftercare
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.ledger.undelivered import undeliver

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


@pytest.mark.parametrize("end", ["done", "failed", "skipped"])
def test_a_copy_that_is_done_stands_for_the_renamed_photo_only_where_that_is_gone(
    ledger: Ledger, transitions: Transitions, end: str
) -> None:
    """The old cutout once went before the new one lay there."""
    withdrawals = Withdrawals(ledger)
    old, copy = seen(ledger, b"a.jpg"), seen(ledger, b"copy.jpg")
    delivered(transitions, old, b"a.png")
    delivered(transitions, copy, b"copy.png")
    new = seen(ledger, b"b.jpg")
    withdrawals.leave(old, new)
    assert withdrawals.due(b"/in") == []
    transitions.started(new.id, "a network")
    assert withdrawals.due(b"/in") == []
    newer = seen(ledger, b"c.jpg")
    if end == "done":
        withdrawals.leave(new, newer)  # renamed once more
        assert withdrawals.due(b"/in") == []
        delivered(transitions, newer, b"c.png")
    else:
        transitions.ended(new.id, Reason.VANISHED if end == "skipped" else Reason.CRASHED, "")
    assert len(withdrawals.due(b"/in")) == (end != "failed")


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_is_to_go_is_known_until_it_is_gone(
    ledger: Ledger, transitions: Transitions, forgotten: bool
) -> None:
    """A short `history.keep` dropped it while an outbox was away; `forget --all` does so by its owner's will."""
    withdrawals, history = Withdrawals(ledger), History(ledger)
    old, new = seen(ledger, b"a.jpg"), seen(ledger, b"b.jpg")
    delivered(transitions, old, b"a.png")
    withdrawals.leave(old, new)
    assert history.trim(-1.0) == 0
    delivered(transitions, new, b"b.png")
    assert history.trim(-1.0) == 0
    if forgotten:
        history.forget(everything=True)
    due = withdrawals.due(b"/in")
    assert [one.name for one in due] == ([] if forgotten else [b"a.png"])
    for one in due:
        withdrawals.withdrawn(one.id)
        assert history.trim(-1.0) == 2


def test_one_whose_name_is_being_taken_goes_if_that_comes_to_nothing(
    ledger: Ledger, transitions: Transitions
) -> None:
    """It counted as gone as soon as another photo was to replace it, and stayed as nobody's when that fell through."""
    withdrawals = Withdrawals(ledger)
    old, new = seen(ledger, b"a.jpg"), seen(ledger, b"b.jpg")
    delivered(transitions, old, b"a.png")
    withdrawals.leave(old, new)
    delivered(transitions, new, b"b.png")
    another = seen(ledger, b"a.jpg")
    transitions.started(another.id, "a network")
    one = Delivery(
        "cutout", b"/out", b"a.png", "a.png", "of another", 1, b"/out/.p", replaces="cutout of photo"
    )
    assert transitions.delivering(another, "another", [one])
    assert withdrawals.due(b"/in") == []
    undeliver(transitions, another.id)
    assert [(one.name, one.holder) for one in withdrawals.due(b"/in")] == [(b"a.png", b"")]


def test_forgotten_names_are_forgotten_here_too(ledger: Ledger, transitions: Transitions) -> None:
    withdrawals = Withdrawals(ledger)
    old, new = seen(ledger, b"wedding.jpg"), seen(ledger, b"b.jpg")
    delivered(transitions, old, b"wedding.png")
    withdrawals.leave(old, new)
    delivered(transitions, new, b"b.png")
    History(ledger).forget(everything=False)
    assert [one.name for one in withdrawals.due(b"/in")] == [b""]
    assert b"wedding" not in ledger.path.read_bytes()


def test_a_name_is_known_to_be_anothers_also_where_that_one_is_forgotten(
    ledger: Ledger, transitions: Transitions
) -> None:
    """A copy had taken the name of a renamed photo, with the same bytes: forgotten, it lost its cutout."""
    withdrawals = Withdrawals(ledger)
    old, new = seen(ledger, b"a.jpg"), seen(ledger, b"b.jpg")
    delivered(transitions, old, b"a.png")
    withdrawals.leave(old, new)
    copy = seen(ledger, b"a.jpg")
    delivered(transitions, copy, b"a.png")
    delivered(transitions, new, b"b.png")
    History(ledger).forget(everything=False, photos=[copy.id])
    assert [(one.name, one.holder) for one in withdrawals.due(b"/in")] == [(b"a.png", b"a.png")]


# --- names that are taken

OUT = b"/outbox"


def _published(ledger: Ledger, name: str, path: bytes = b"a.jpg") -> int:
    transitions = Transitions(ledger, {})
    _, photo = Intake(ledger).observe(b"/inbox", path, Facts(1, 2, 3), settled=Settled.KNOWN)
    row = transitions.get(photo or 0)
    assert row is not None
    transitions.started(row.id, "a network")
    one = Delivery("cutout", OUT, name.encode(), name.lower(), "digest", 5, b"/outbox/.part")
    assert transitions.delivering(row, "content", [one])
    transitions.delivered(row, timings={}, aftercare=Aftercare.NONE, next_stage=None)
    return row.id


def test_an_accented_name_at_the_prefix_is_among_those_taken(ledger: Ledger) -> None:
    _published(ledger, "x" * 39 + "é.png")
    assert "x" * 39 + "é.png" in names_taken(ledger, OUT, name_prefix(b"", "x" * 39 + "e\u0301"), besides=0)


def test_a_photos_own_names_and_other_outboxes_are_not_taken(ledger: Ledger) -> None:
    photo = _published(ledger, "a.png")
    assert "a.png" in names_taken(ledger, OUT, "a", besides=0)
    assert "a.png" not in names_taken(ledger, OUT, "a", besides=photo)
    assert "a.png" not in names_taken(ledger, b"/another", "a", besides=0)


@pytest.mark.parametrize("name", ["a.png", "b.png"])
def test_a_name_that_is_forgotten_is_known_by_its_key_alone(ledger: Ledger, name: str) -> None:
    _published(ledger, "a.png")
    History(ledger).forget(everything=False)
    taken = names_taken(ledger, OUT, "a", besides=0)
    assert taken.names == frozenset()
    assert (name in taken) is (name == "a.png")
    assert name in taken | {name}


@pytest.mark.slow
def test_what_is_to_go_is_found_without_a_look_at_all_that_was_published(
    ledger: Ledger, transitions: Transitions
) -> None:
    withdrawals = Withdrawals(ledger)

    def look() -> int:
        return steps(ledger, lambda: (withdrawals.given_up(b"/out"), withdrawals.due(b"/in")))

    few = look()
    for number in range(300):
        delivered(transitions, seen(ledger, b"%d.jpg" % number), b"%d.png" % number, f"photo {number}")
    assert look() < few + 300
