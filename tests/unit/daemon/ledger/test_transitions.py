"""What becomes of rows in hand: attempts, and names committed before they are tried."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.daemon.conftest import Clock
from tests.unit.daemon.ledger.rows_in_hand import (
    FACTS,
    a_delivery,
    claim_names,
    deliver_all,
    held_names,
    running_photo,
    the_row,
)

from cutoutd.config.errors import Reason
from cutoutd.config.fixes import Fixes
from cutoutd.daemon.ledger.originals import aftercare_owed
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import Aftercare, Stage, State
from cutoutd.daemon.ledger.transitions import INTERRUPTIONS_FAILED, Transitions


def test_names_are_on_the_disk_before_they_are_tried(transitions: Transitions) -> None:
    row = running_photo(transitions)
    assert claim_names(transitions, row, "content", [a_delivery()])
    transitions.ledger.rollback()  # the turn's end is not needed for it
    assert the_row(transitions, row.id).state == State.DELIVERING
    assert [d.name for d in transitions.deliveries(row.id)] == [b"a.png"]


def test_the_points_or_the_mask_of_a_photo_are_remembered_until_it_is_made_without(
    transitions: Transitions,
) -> None:
    row, ledger = running_photo(transitions), transitions.ledger
    fixes = Fixes(("31%,45%",), ())
    for wish in (Overrides(fixes=fixes), Overrides(mask="0" * 32), Overrides(forget_points=True)):
        ledger.write(
            "UPDATE photos SET state = 'pending', overrides = ? WHERE id = ?", (wish.to_json(), row.id)
        )
        deliver_all(transitions, the_row(transitions, row.id), a_delivery())
        then = {row.id: wish.corrections} if wish.corrections else {}
        assert Remarks(ledger).corrections() == then
        assert the_row(transitions, row.id).overrides == ""
        ledger.write("DELETE FROM deliverables")


def test_a_name_that_another_row_holds_is_refused_as_a_whole(transitions: Transitions) -> None:
    deliver_all(transitions, running_photo(transitions), a_delivery())
    other = running_photo(transitions, b"b.jpg")
    assert not claim_names(
        transitions, other, "x", [a_delivery("free.png", label="web"), a_delivery("A.png")]
    )
    assert the_row(transitions, other.id).state == State.RUNNING
    assert transitions.deliveries(other.id) == []


def test_new_content_replaces_its_own_cutout(transitions: Transitions) -> None:
    first = deliver_all(transitions, running_photo(transitions), a_delivery())
    second = running_photo(transitions, facts=replace(FACTS, size=11))
    assert [d.out_digest for d in transitions.earlier(second).values()] == ["d1"]
    deliver_all(transitions, second, a_delivery(digest="d2", replaces="d1"))
    assert held_names(transitions) == [(first.id, "d1", "replaced"), (second.id, "d2", "done")]
    assert the_row(transitions, first.id).state == State.SUPERSEDED


@pytest.mark.parametrize(("aftercare", "to"), [("done", b"/archive/a.jpg"), ("hidden", None), ("owed", None)])
def test_a_cutout_whose_original_was_moved_is_the_only_one_and_stays(
    transitions: Transitions, aftercare: str, to: bytes | None
) -> None:
    first = deliver_all(transitions, running_photo(transitions), a_delivery())
    second = running_photo(transitions, facts=replace(FACTS, size=11))
    transitions.ledger.write(
        "UPDATE photos SET aftercare = ?, archived_to = ? WHERE id = ?", (aftercare, to, first.id)
    )
    assert transitions.earlier(second) == {}


def test_a_photo_done_again_and_changed_meanwhile_keeps_its_cutout_in_view(transitions: Transitions) -> None:
    row = deliver_all(transitions, running_photo(transitions), a_delivery())
    transitions.ledger.write(
        "UPDATE photos SET state = 'running', forced = 1, overrides = '{}' WHERE id = ?", (row.id,)
    )
    after = the_row(transitions, transitions.changed_while_read(the_row(transitions, row.id)))
    assert (after.state, after.previous, after.forced, after.overrides) == (State.PENDING, row.id, 1, "{}")
    assert [d.out_digest for d in transitions.earlier(after).values()] == ["d1"]


def test_an_original_that_was_to_be_moved_and_changed_while_done_again_is_owed_to_nobody(
    transitions: Transitions,
) -> None:
    row = deliver_all(transitions, running_photo(transitions), a_delivery())
    transitions.ledger.write(
        "UPDATE photos SET state = 'running', forced = 1, aftercare = 'owed' WHERE id = ?", (row.id,)
    )
    transitions.changed_while_read(the_row(transitions, row.id))
    assert aftercare_owed(transitions.ledger) == []


def test_a_name_that_is_forgotten_before_it_is_replaced_is_replaced_all_the_same(
    transitions: Transitions,
) -> None:
    first = deliver_all(transitions, running_photo(transitions), a_delivery())
    second = running_photo(transitions, facts=replace(FACTS, size=11))
    assert [d.name for d in transitions.earlier(second).values()] == [b"a.png"]
    history = History(transitions.ledger)
    history.drop_names(first.id)
    deliver_all(transitions, second, a_delivery())
    assert transitions.deliveries(first.id) == []
    history.drop_names(second.id)


def test_a_name_that_is_taken_and_forgotten_before_it_is_claimed_is_refused(transitions: Transitions) -> None:
    first = deliver_all(transitions, running_photo(transitions), a_delivery())
    History(transitions.ledger).drop_names(first.id)
    other = running_photo(transitions, b"b.jpg")
    assert not claim_names(transitions, other, "x", [a_delivery()])
    assert len(transitions.deliveries(first.id)) == 1


def test_an_archived_original_that_changed_is_read_again_and_no_new_row(transitions: Transitions) -> None:
    row = running_photo(transitions)
    transitions.ledger.write(
        "UPDATE photos SET live = 0, archived_to = x'2f61', state = 'running' WHERE id = ?", (row.id,)
    )
    running_photo(transitions, facts=replace(FACTS, size=11))  # the camera uses the name again
    assert transitions.changed_while_read(the_row(transitions, row.id)) == row.id


def test_attempts_are_counted_per_reason_with_growing_pauses(transitions: Transitions, clock: Clock) -> None:
    row = running_photo(transitions)
    pauses: list[float] = []
    while transitions.tried(row, Reason.BUSY, "in use"):
        row = the_row(transitions, row.id)
        pauses.append(row.not_before - clock.now)
    assert pauses == [1.0, 4.0, 16.0, 64.0]
    assert the_row(transitions, row.id).state == State.FAILED
    other = running_photo(transitions, b"b.jpg")
    assert not transitions.tried(other, Reason.TOO_LARGE, "")
    assert not transitions.tried(running_photo(transitions, b"c.jpg"), Reason.VANISHED, "")
    assert the_row(transitions, other.id + 1).state == State.SKIPPED


def test_interruptions_are_no_attempts_but_end_too(transitions: Transitions) -> None:
    row = running_photo(transitions)
    for count in range(1, INTERRUPTIONS_FAILED):
        transitions.interrupted(the_row(transitions, row.id))
        now = the_row(transitions, row.id)
        assert (now.state, now.attempts, now.interruptions) == (State.PENDING, 0, count)
    transitions.interrupted(the_row(transitions, row.id))
    assert (the_row(transitions, row.id).state, the_row(transitions, row.id).reason) == (
        State.FAILED,
        Reason.CRASHED,
    )


def test_a_draft_is_followed_by_the_final_which_replaces_it(transitions: Transitions) -> None:
    """Made as the draft was: with the mask, say, of a photo in which no subject was seen."""
    row, wish = running_photo(transitions), Overrides(mask="0" * 32).to_json()
    transitions.ledger.write("UPDATE photos SET stage = 'draft', overrides = ? WHERE id = ?", (wish, row.id))
    row = the_row(transitions, row.id)
    claim_names(transitions, row, "content", [a_delivery()])
    transitions.delivered(row, timings={}, aftercare=Aftercare.NONE, next_stage=Stage.FINAL)
    row = the_row(transitions, row.id)
    assert (row.state, row.stage, row.overrides) == (State.PENDING, "final", wish)
    deliver_all(transitions, row, a_delivery(digest="d2", replaces="d1"))
    assert the_row(transitions, row.id).overrides == ""
    assert [one[1:] for one in held_names(transitions)] == [("d1", "replaced"), ("d2", "done")]


def test_aftercare_goes_through_its_states(transitions: Transitions) -> None:
    row = deliver_all(transitions, running_photo(transitions), a_delivery())
    transitions.aftercare(row.id, Aftercare.HIDDEN, hidden=b"/inbox/.h", to=b"/archive/a.jpg")
    assert aftercare_owed(transitions.ledger) == [row.id]
    transitions.given_back(row.id, 77)
    again = the_row(transitions, row.id)
    assert (again.aftercare, again.hidden_name, again.archived_to, again.ctime_ns) == ("owed", None, None, 77)
    transitions.aftercare_failed(row.id, "no space")
    assert "no space" in the_row(transitions, row.id).detail
    transitions.aftercare(row.id, Aftercare.DONE, to=b"/archive/a.jpg")
    done = the_row(transitions, row.id)
    assert (done.live, done.archived_to, done.detail) == (0, b"/archive/a.jpg", "")
    assert aftercare_owed(transitions.ledger) == []
