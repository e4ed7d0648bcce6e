"""Deliveries that fall through: names given up, earlier cutouts known again."""

from __future__ import annotations

from msgspec.structs import replace
from tests.unit.daemon.ledger.rows_in_hand import (
    FACTS,
    a_delivery,
    claim_names,
    deliver_all,
    held_names,
    running_photo,
    the_row,
)

from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.ledger.undelivered import undeliver


def test_a_delivery_that_falls_through_knows_its_old_cutout_again(transitions: Transitions) -> None:
    """Done again, names committed, then crash and loss of the temporary: the old cutout is still ours to replace."""
    row = deliver_all(transitions, running_photo(transitions), a_delivery())
    assert claim_names(transitions, row, "content", [a_delivery(digest="d2", replaces="d1")])
    assert transitions.earlier(row) == {}
    undeliver(transitions, row.id)
    assert the_row(transitions, row.id).state == State.PENDING
    assert [d.out_digest for d in transitions.earlier(row).values()] == ["d1"]
    deliver_all(transitions, row, a_delivery(digest="d2", replaces="d1"))
    assert [one for one in held_names(transitions) if one[2] == "done"] == [(row.id, "d2", "done")]


def test_so_does_one_that_follows_another_row(transitions: Transitions) -> None:
    deliver_all(transitions, running_photo(transitions), a_delivery())
    second = running_photo(transitions, facts=replace(FACTS, size=11))
    assert claim_names(transitions, second, "content", [a_delivery(digest="d2", replaces="d1")])
    undeliver(transitions, second.id)
    assert [d.out_digest for d in transitions.earlier(second).values()] == ["d1"]


def test_of_several_deliverables_those_that_came_through_stay(transitions: Transitions) -> None:
    row = running_photo(transitions)
    both = [a_delivery("a.png", "d1", "master"), a_delivery("web/a.png", "d2", "web")]
    assert claim_names(transitions, row, "content", both)
    undeliver(transitions, row.id, ["master"])
    assert {label: d.out_digest for label, d in transitions.earlier(row).items()} == {"master": "d1"}


def test_a_row_whose_path_has_a_newer_photo_does_not_run_again(transitions: Transitions) -> None:
    row = running_photo(transitions)
    claim_names(transitions, row, "content", [a_delivery()])
    running_photo(transitions, facts=replace(FACTS, size=11))
    undeliver(transitions, row.id)
    assert the_row(transitions, row.id).state == State.SUPERSEDED


def test_so_does_one_whose_name_was_forgotten_meanwhile(transitions: Transitions) -> None:
    """The next try found no cutout of its own under that name, and lay down beside it."""
    deliver_all(transitions, running_photo(transitions), a_delivery())
    second = running_photo(transitions, facts=replace(FACTS, size=11))
    assert claim_names(transitions, second, "content", [a_delivery(digest="d2", replaces="d1")])
    History(transitions.ledger).forget(everything=False)
    undeliver(transitions, second.id)
    assert [d.out_digest for d in transitions.earlier(second).values()] == ["d1"]


def test_whoever_waits_for_one_that_falls_through_replaces_what_it_was_to_replace(
    transitions: Transitions,
) -> None:
    """Of three frames under one name, the second's delivery failed once the third was there: the first's stayed."""
    first = deliver_all(transitions, running_photo(transitions), a_delivery())
    second = running_photo(transitions, facts=replace(FACTS, size=11))
    assert claim_names(transitions, second, "content", [a_delivery(digest="d2", replaces="d1")])
    third = running_photo(transitions, facts=replace(FACTS, size=12))
    assert third.previous == second.id
    undeliver(transitions, second.id)
    assert the_row(transitions, third.id).previous == first.id
    assert [d.out_digest for d in transitions.earlier(the_row(transitions, third.id)).values()] == ["d1"]
