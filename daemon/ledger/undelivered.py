"""A delivery that cannot be completed, as ledger rows: which names are given up, and whose they are then."""

from __future__ import annotations

from collections.abc import Iterable

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Delivery, PhotoRow
from cutoutd.daemon.ledger.states import DeliveryState, State
from cutoutd.daemon.ledger.transitions import Transitions


def give_names_up(transitions: Transitions, row: PhotoRow, published: Iterable[str]) -> None:
    """What did not come through gives its name up; what did is the photo's own.

    The earlier cutouts that were to be replaced are the photo's own again, so that the next try replaces them instead
    of lying down beside them.

    Args:
        transitions: the rows' life.
        row: the photo.
        published: labels of deliverables that do lie whole in their outbox.
    """
    ledger = transitions.ledger
    through = set(published)
    in_vain: list[Delivery] = []
    for delivery in transitions.deliveries(row.id):
        if delivery.state is not DeliveryState.DELIVERING:
            continue
        state = DeliveryState.DONE if delivery.label in through else DeliveryState.REPLACED
        ledger.write("UPDATE deliverables SET state = ?, temporary = NULL WHERE id = ?", (state, delivery.id))
        if state is DeliveryState.REPLACED:
            in_vain.append(delivery)
    for delivery in in_vain:  # once all names are free: two may have been about to change places
        _restore(ledger, row, delivery)
    for delivery in in_vain:
        _stay(ledger, row, delivery)


def undeliver(transitions: Transitions, photo: int, published: Iterable[str] = ()) -> None:
    """What did not come through gives its name up (`give_names_up`), and the photo runs again.

    Args:
        transitions: the rows' life.
        photo: the row.
        published: labels of deliverables that do lie whole in their outbox.
    """
    ledger = transitions.ledger
    row = transitions.get(photo)
    if row is not None:
        give_names_up(transitions, row, published)
    if row is None or row.live or row.archived_to is not None:
        transitions.again(photo)
        return
    # Another photo lies at its path by now, so it cannot run again.
    ended = State.DONE if Intake(ledger).has_cutout(photo) else State.SUPERSEDED
    ledger.move(photo, ended, {"finished": ledger.clock()})
    if ended is State.SUPERSEDED:  # that other one replaces the cutout which this one was to replace
        ledger.write("UPDATE photos SET previous = ? WHERE previous = ?", (row.previous, photo))


def _restore(ledger: Ledger, row: PhotoRow, delivery: Delivery) -> None:
    """What was to be replaced is the photo's own again; where its label has another cutout by now, it is to go."""
    if not delivery.replaces:
        return
    # Under whichever label: it may have been asked for under another one then.
    ledger.write(
        "UPDATE deliverables SET gives_way_to = ?, state = CASE WHEN EXISTS (SELECT 1 FROM deliverables e"
        " WHERE e.photo = ? AND e.label = deliverables.label AND e.state = 'done') THEN 'leaving' ELSE 'done' END"
        " WHERE id = (SELECT id FROM deliverables"
        " WHERE photo IN (?, ?) AND outbox = ? AND name_key IN (?, nameless(?)) AND out_digest = ?"
        " AND state = 'replaced' AND id <> ? ORDER BY id DESC LIMIT 1)",
        (
            row.id,
            row.id,
            row.id,
            row.previous,
            delivery.outbox,
            delivery.name_key,
            delivery.name_key,  # it may have been forgotten meanwhile
            delivery.replaces,
            delivery.id,
        ),
    )


def _stay(ledger: Ledger, row: PhotoRow, delivery: Delivery) -> None:
    """The earlier cutout that was to leave for this one stays, unless another photo has its name by now."""
    whose = (row.id, row.previous, delivery.label)
    if ledger.one("SELECT 1 FROM deliverables WHERE photo IN (?, ?) AND label = ? AND state = 'done'", whose):
        return
    ledger.write(
        "UPDATE OR IGNORE deliverables SET state = 'done' WHERE id = (SELECT max(id) FROM deliverables"
        " WHERE photo IN (?, ?) AND label = ? AND state = 'leaving' AND id < ?)"
        " AND NOT EXISTS (SELECT 1 FROM deliverables h WHERE h.outbox = deliverables.outbox"
        " AND h.name_key = nameless(deliverables.name_key) AND h.state IN ('delivering', 'done'))",
        (*whose, delivery.id),
    )
