"""Photos with deliverables in a ledger, as those of the rows' life are tested with."""

from __future__ import annotations

from collections.abc import Sequence

from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Delivery, Facts, PhotoRow, Settled
from cutoutd.daemon.ledger.states import Aftercare, State
from cutoutd.daemon.ledger.transitions import Transitions

BOX, OUT = b"/inbox", b"/outbox"
FACTS = Facts(10, 20, 30)


def running_photo(transitions: Transitions, path: bytes = b"a.jpg", facts: Facts = FACTS) -> PhotoRow:
    _, photo = Intake(transitions.ledger).observe(BOX, path, facts, settled=Settled.KNOWN)
    return the_row(transitions, photo or 0)


def the_row(transitions: Transitions, photo: int) -> PhotoRow:
    row = transitions.get(photo)
    assert row is not None
    return row


def a_delivery(
    name: str = "a.png", digest: str = "d1", label: str = "cutout", replaces: str = ""
) -> Delivery:
    return Delivery(label, OUT, name.encode(), name.lower(), digest, 5, b"/outbox/.part", replaces)


def claim_names(transitions: Transitions, row: PhotoRow, digest: str, deliveries: Sequence[Delivery]) -> bool:
    """As in life: what is to be done again waits first, a worker has it in hand, then its names are committed."""
    if the_row(transitions, row.id).state == State.DONE:
        transitions.again(row.id)
    transitions.started(row.id, "a network")
    return transitions.delivering(row, digest, deliveries)


def deliver_all(transitions: Transitions, row: PhotoRow, *deliveries: Delivery) -> PhotoRow:
    assert claim_names(transitions, row, "content", deliveries)
    transitions.delivered(row, timings={}, aftercare=Aftercare.NONE, next_stage=None)
    return the_row(transitions, row.id)


def held_names(transitions: Transitions) -> list[tuple[int, str, str]]:
    rows = transitions.ledger.read("SELECT photo, out_digest, state FROM deliverables ORDER BY id")
    return [(row["photo"], row["out_digest"], row["state"]) for row in rows]
