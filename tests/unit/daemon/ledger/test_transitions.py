"""What becomes of rows in hand: attempts, names committed before they are tried, and deliveries that fall through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.daemon.conftest import Clock

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Delivery, Facts, PhotoRow, Settled
from cutoutd.daemon.ledger.retry_rules import retry_rules
from cutoutd.daemon.ledger.states import Aftercare, Stage, State
from cutoutd.daemon.ledger.transitions import INTERRUPTIONS_FAILED, Transitions

BOX, OUT = b"/inbox", b"/outbox"
FACTS = Facts(10, 20, 30)


@pytest.fixture
def transitions(ledger: Ledger) -> Transitions:
    return Transitions(ledger, retry_rules(attempts_after_death=2, attempts_when_busy=5, settle_s=2))


def _photo(transitions: Transitions, path: bytes = b"a.jpg", facts: Facts = FACTS) -> PhotoRow:
    _, photo = Intake(transitions.ledger).observe(BOX, path, facts, settled=Settled.KNOWN)
    return _row(transitions, photo or 0)


def _row(transitions: Transitions, photo: int) -> PhotoRow:
    row = transitions.get(photo)
    assert row is not None
    return row


def _delivery(name: str = "a.png", digest: str = "d1", label: str = "cutout", replaces: str = "") -> Delivery:
    return Delivery(label, OUT, name.encode(), name.lower(), digest, 5, b"/outbox/.part", replaces)


def _claim(transitions: Transitions, row: PhotoRow, digest: str, deliveries: Sequence[Delivery]) -> bool:
    """As in life: what is to be done again waits first, a worker has it in hand, then its names are committed."""
    if _row(transitions, row.id).state == State.DONE:
        transitions.again(row.id)
    transitions.started(row.id, "a network")
    return transitions.delivering(row, digest, deliveries)


def _deliver(transitions: Transitions, row: PhotoRow, *deliveries: Delivery) -> PhotoRow:
    assert _claim(transitions, row, "content", deliveries)
    transitions.delivered(row, timings={}, aftercare=Aftercare.NONE, next_stage=None)
    return _row(transitions, row.id)


def _held(transitions: Transitions) -> list[tuple[int, str, str]]:
    rows = transitions.ledger.read("SELECT photo, out_digest, state FROM deliverables ORDER BY id")
    return [(row["photo"], row["out_digest"], row["state"]) for row in rows]


def test_names_are_on_the_disk_before_they_are_tried(transitions: Transitions) -> None:
    row = _photo(transitions)
    assert _claim(transitions, row, "content", [_delivery()])
    transitions.ledger.rollback()  # the turn's end is not needed for it
    assert _row(transitions, row.id).state == State.DELIVERING
    assert [d.name for d in transitions.deliveries(row.id)] == [b"a.png"]


def test_a_name_that_another_row_holds_is_refused_as_a_whole(transitions: Transitions) -> None:
    _deliver(transitions, _photo(transitions), _delivery())
    other = _photo(transitions, b"b.jpg")
    assert not _claim(transitions, other, "x", [_delivery("free.png", label="web"), _delivery("A.png")])
    assert _row(transitions, other.id).state == State.RUNNING
    assert transitions.deliveries(other.id) == []


def test_new_content_replaces_its_own_cutout(transitions: Transitions) -> None:
    first = _deliver(transitions, _photo(transitions), _delivery())
    second = _photo(transitions, facts=replace(FACTS, size=11))
    assert [d.out_digest for d in transitions.earlier(second).values()] == ["d1"]
    _deliver(transitions, second, _delivery(digest="d2", replaces="d1"))
    assert _held(transitions) == [(first.id, "d1", "replaced"), (second.id, "d2", "done")]
    assert _row(transitions, first.id).state == State.SUPERSEDED


@pytest.mark.parametrize(("aftercare", "to"), [("done", b"/archive/a.jpg"), ("hidden", None), ("owed", None)])
def test_a_cutout_whose_original_was_moved_is_the_only_one_and_stays(
    transitions: Transitions, aftercare: str, to: bytes | None
) -> None:
    first = _deliver(transitions, _photo(transitions), _delivery())
    second = _photo(transitions, facts=replace(FACTS, size=11))
    transitions.ledger.write(
        "UPDATE photos SET aftercare = ?, archived_to = ? WHERE id = ?", (aftercare, to, first.id)
    )
    assert transitions.earlier(second) == {}


def test_a_delivery_that_falls_through_knows_its_old_cutout_again(transitions: Transitions) -> None:
    """Done again, names committed, then crash and loss of the temporary: the old cutout is still ours to replace."""
    row = _deliver(transitions, _photo(transitions), _delivery())
    assert _claim(transitions, row, "content", [_delivery(digest="d2", replaces="d1")])
    assert transitions.earlier(row) == {}
    transitions.undeliver(row.id)
    assert _row(transitions, row.id).state == State.PENDING
    assert [d.out_digest for d in transitions.earlier(row).values()] == ["d1"]
    _deliver(transitions, row, _delivery(digest="d2", replaces="d1"))
    assert [one for one in _held(transitions) if one[2] == "done"] == [(row.id, "d2", "done")]


def test_so_does_one_that_follows_another_row(transitions: Transitions) -> None:
    _deliver(transitions, _photo(transitions), _delivery())
    second = _photo(transitions, facts=replace(FACTS, size=11))
    assert _claim(transitions, second, "content", [_delivery(digest="d2", replaces="d1")])
    transitions.undeliver(second.id)
    assert [d.out_digest for d in transitions.earlier(second).values()] == ["d1"]


def test_of_several_deliverables_those_that_came_through_stay(transitions: Transitions) -> None:
    row = _photo(transitions)
    both = [_delivery("a.png", "d1", "master"), _delivery("web/a.png", "d2", "web")]
    assert _claim(transitions, row, "content", both)
    transitions.undeliver(row.id, ["master"])
    assert {label: d.out_digest for label, d in transitions.earlier(row).items()} == {"master": "d1"}


def test_a_row_whose_path_has_a_newer_photo_does_not_run_again(transitions: Transitions) -> None:
    row = _photo(transitions)
    _claim(transitions, row, "content", [_delivery()])
    _photo(transitions, facts=replace(FACTS, size=11))
    transitions.undeliver(row.id)
    assert _row(transitions, row.id).state == State.SUPERSEDED


def test_a_photo_done_again_and_changed_meanwhile_keeps_its_cutout_in_view(transitions: Transitions) -> None:
    row = _deliver(transitions, _photo(transitions), _delivery())
    transitions.ledger.write(
        "UPDATE photos SET state = 'running', forced = 1, overrides = '{}' WHERE id = ?", (row.id,)
    )
    after = _row(transitions, transitions.changed_while_read(_row(transitions, row.id)))
    assert (after.state, after.previous, after.forced, after.overrides) == (State.PENDING, row.id, 1, "{}")
    assert [d.out_digest for d in transitions.earlier(after).values()] == ["d1"]


def test_an_archived_original_that_changed_is_read_again_and_no_new_row(transitions: Transitions) -> None:
    row = _photo(transitions)
    transitions.ledger.write(
        "UPDATE photos SET live = 0, archived_to = x'2f61', state = 'running' WHERE id = ?", (row.id,)
    )
    _photo(transitions, facts=replace(FACTS, size=11))  # the camera uses the name again
    assert transitions.changed_while_read(_row(transitions, row.id)) == row.id


def test_attempts_are_counted_per_reason_with_growing_pauses(transitions: Transitions, clock: Clock) -> None:
    row = _photo(transitions)
    pauses: list[float] = []
    while transitions.tried(row, Reason.BUSY, "in use"):
        row = _row(transitions, row.id)
        pauses.append(row.not_before - clock.now)
    assert pauses == [1.0, 4.0, 16.0, 64.0]
    assert _row(transitions, row.id).state == State.FAILED
    other = _photo(transitions, b"b.jpg")
    assert not transitions.tried(other, Reason.TOO_LARGE, "")
    assert not transitions.tried(_photo(transitions, b"c.jpg"), Reason.VANISHED, "")
    assert _row(transitions, other.id + 1).state == State.SKIPPED


def test_interruptions_are_no_attempts_but_end_too(transitions: Transitions) -> None:
    row = _photo(transitions)
    for count in range(1, INTERRUPTIONS_FAILED):
        transitions.interrupted(_row(transitions, row.id))
        now = _row(transitions, row.id)
        assert (now.state, now.attempts, now.interruptions) == (State.PENDING, 0, count)
    transitions.interrupted(_row(transitions, row.id))
    assert (_row(transitions, row.id).state, _row(transitions, row.id).reason) == (
        State.FAILED,
        Reason.CRASHED,
    )


def test_a_draft_is_followed_by_the_final_which_replaces_it(transitions: Transitions) -> None:
    row = _photo(transitions)
    transitions.ledger.write("UPDATE photos SET stage = 'draft' WHERE id = ?", (row.id,))
    row = _row(transitions, row.id)
    _claim(transitions, row, "content", [_delivery()])
    transitions.delivered(row, timings={}, aftercare=Aftercare.NONE, next_stage=Stage.FINAL)
    row = _row(transitions, row.id)
    assert (row.state, row.stage) == (State.PENDING, "final")
    _deliver(transitions, row, _delivery(digest="d2", replaces="d1"))
    assert [one[1:] for one in _held(transitions)] == [("d1", "replaced"), ("d2", "done")]


def test_aftercare_goes_through_its_states(transitions: Transitions) -> None:
    row = _deliver(transitions, _photo(transitions), _delivery())
    transitions.aftercare(row.id, Aftercare.HIDDEN, hidden=b"/inbox/.h", to=b"/archive/a.jpg")
    assert transitions.aftercare_owed() == [row.id]
    transitions.given_back(row.id, 77)
    again = _row(transitions, row.id)
    assert (again.aftercare, again.hidden_name, again.archived_to, again.ctime_ns) == ("owed", None, None, 77)
    transitions.aftercare(row.id, Aftercare.DONE, to=b"/archive/a.jpg")
    done = _row(transitions, row.id)
    assert (done.live, done.archived_to) == (0, b"/archive/a.jpg")
    assert transitions.aftercare_owed() == []


def test_aftercare_is_owed_per_inbox_and_what_failed_before_comes_last(transitions: Transitions) -> None:
    """Also after a start: the same few that always fail are not again the ones that are tried first."""
    ids = [_photo(transitions, name).id for name in (b"a.jpg", b"b.jpg", b"c.jpg")]
    transitions.ledger.write("UPDATE photos SET state = 'done', aftercare = 'owed'")
    transitions.aftercare_failed(ids[0], "no space")
    assert transitions.aftercare_owed(BOX) == [ids[1], ids[2], ids[0]]
    assert transitions.aftercare_owed(b"/another") == []
