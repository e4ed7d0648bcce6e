"""Which names in an outbox are held by rows."""

from __future__ import annotations

import pytest

from cutoutd.daemon.files.names import name_prefix
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Delivery, Facts, Settled
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import Aftercare
from cutoutd.daemon.ledger.taken_names import names_taken
from cutoutd.daemon.ledger.transitions import Transitions

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
