"""What becomes of rows in hand: attempts, names committed before they are tried, and deliveries that fall through."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.daemon.conftest import Clock

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Facts, Intake, PhotoRow, State
from cutoutd.daemon.ledger.transitions import INTERRUPTIONS_FAILED, Delivery, Outcomes, retry_rules

BOX, OUT = b"/inbox", b"/outbox"
FACTS = Facts(10, 20, 30)


@pytest.fixture
def outcomes(ledger: Ledger) -> Outcomes:
    return Outcomes(ledger, retry_rules(attempts_after_death=2, attempts_when_busy=5, settle_s=2))


def _photo(outcomes: Outcomes, path: bytes = b"a.jpg", facts: Facts = FACTS) -> PhotoRow:
    _, photo = Intake(outcomes.ledger).observe(BOX, path, facts, settled=True)
    return _row(outcomes, photo or 0)


def _row(outcomes: Outcomes, photo: int) -> PhotoRow:
    row = outcomes.get(photo)
    assert row is not None
    return row


def _delivery(name: str = "a.png", digest: str = "d1", label: str = "cutout", replaces: str = "") -> Delivery:
    return Delivery(label, OUT, name.encode(), name.lower(), digest, 5, b"/outbox/.part", replaces)


def _deliver(outcomes: Outcomes, row: PhotoRow, *deliveries: Delivery) -> PhotoRow:
    assert outcomes.delivering(row, "content", deliveries)
    outcomes.delivered(row, timings={}, aftercare="none", next_stage="")
    return _row(outcomes, row.id)


def _held(outcomes: Outcomes) -> list[tuple[int, str, str]]:
    rows = outcomes.ledger.read("SELECT photo, out_digest, state FROM deliverables ORDER BY id")
    return [(row["photo"], row["out_digest"], row["state"]) for row in rows]


def test_names_are_on_the_disk_before_they_are_tried(outcomes: Outcomes) -> None:
    row = _photo(outcomes)
    assert outcomes.delivering(row, "content", [_delivery()])
    outcomes.ledger.rollback()  # the turn's end is not needed for it
    assert _row(outcomes, row.id).state == State.DELIVERING
    assert [d.name for d in outcomes.deliveries(row.id)] == [b"a.png"]


def test_a_name_that_another_row_holds_is_refused_as_a_whole(outcomes: Outcomes) -> None:
    _deliver(outcomes, _photo(outcomes), _delivery())
    other = _photo(outcomes, b"b.jpg")
    assert not outcomes.delivering(other, "x", [_delivery("free.png", label="web"), _delivery("A.png")])
    assert _row(outcomes, other.id).state == State.PENDING
    assert outcomes.deliveries(other.id) == []


def test_new_content_replaces_its_own_cutout(outcomes: Outcomes) -> None:
    first = _deliver(outcomes, _photo(outcomes), _delivery())
    second = _photo(outcomes, facts=replace(FACTS, size=11))
    assert [d.out_digest for d in outcomes.earlier(second).values()] == ["d1"]
    _deliver(outcomes, second, _delivery(digest="d2", replaces="d1"))
    assert _held(outcomes) == [(first.id, "d1", "replaced"), (second.id, "d2", "done")]
    assert _row(outcomes, first.id).state == State.SUPERSEDED


@pytest.mark.parametrize(("aftercare", "to"), [("done", b"/archive/a.jpg"), ("hidden", None), ("owed", None)])
def test_a_cutout_whose_original_was_moved_is_the_only_one_and_stays(
    outcomes: Outcomes, aftercare: str, to: bytes | None
) -> None:
    first = _deliver(outcomes, _photo(outcomes), _delivery())
    second = _photo(outcomes, facts=replace(FACTS, size=11))
    outcomes.ledger.write(
        "UPDATE photos SET aftercare = ?, archived_to = ? WHERE id = ?", (aftercare, to, first.id)
    )
    assert outcomes.earlier(second) == {}


def test_a_delivery_that_falls_through_knows_its_old_cutout_again(outcomes: Outcomes) -> None:
    """Done again, names committed, then crash and loss of the temporary: the old cutout is still ours to replace."""
    row = _deliver(outcomes, _photo(outcomes), _delivery())
    assert outcomes.delivering(row, "content", [_delivery(digest="d2", replaces="d1")])
    assert outcomes.earlier(row) == {}
    outcomes.undeliver(row.id)
    assert _row(outcomes, row.id).state == State.PENDING
    assert [d.out_digest for d in outcomes.earlier(row).values()] == ["d1"]
    _deliver(outcomes, row, _delivery(digest="d2", replaces="d1"))
    assert [one for one in _held(outcomes) if one[2] == "done"] == [(row.id, "d2", "done")]


def test_so_does_one_that_follows_another_row(outcomes: Outcomes) -> None:
    _deliver(outcomes, _photo(outcomes), _delivery())
    second = _photo(outcomes, facts=replace(FACTS, size=11))
    assert outcomes.delivering(second, "content", [_delivery(digest="d2", replaces="d1")])
    outcomes.undeliver(second.id)
    assert [d.out_digest for d in outcomes.earlier(second).values()] == ["d1"]


def test_of_several_deliverables_those_that_came_through_stay(outcomes: Outcomes) -> None:
    row = _photo(outcomes)
    both = [_delivery("a.png", "d1", "master"), _delivery("web/a.png", "d2", "web")]
    assert outcomes.delivering(row, "content", both)
    outcomes.undeliver(row.id, ["master"])
    assert {label: d.out_digest for label, d in outcomes.earlier(row).items()} == {"master": "d1"}


def test_a_row_whose_path_has_a_newer_photo_does_not_run_again(outcomes: Outcomes) -> None:
    row = _photo(outcomes)
    outcomes.delivering(row, "content", [_delivery()])
    _photo(outcomes, facts=replace(FACTS, size=11))
    outcomes.undeliver(row.id)
    assert _row(outcomes, row.id).state == State.SUPERSEDED


def test_a_photo_done_again_and_changed_meanwhile_keeps_its_cutout_in_view(outcomes: Outcomes) -> None:
    row = _deliver(outcomes, _photo(outcomes), _delivery())
    outcomes.ledger.write(
        "UPDATE photos SET state = 'running', forced = 1, overrides = '{}' WHERE id = ?", (row.id,)
    )
    after = _row(outcomes, outcomes.changed_while_read(_row(outcomes, row.id)))
    assert (after.state, after.previous, after.forced, after.overrides) == (State.PENDING, row.id, 1, "{}")
    assert [d.out_digest for d in outcomes.earlier(after).values()] == ["d1"]


def test_an_archived_original_that_changed_is_read_again_and_no_new_row(outcomes: Outcomes) -> None:
    row = _photo(outcomes)
    outcomes.ledger.write(
        "UPDATE photos SET live = 0, archived_to = x'2f61', state = 'running' WHERE id = ?", (row.id,)
    )
    _photo(outcomes, facts=replace(FACTS, size=11))  # the camera uses the name again
    assert outcomes.changed_while_read(_row(outcomes, row.id)) == row.id


def test_attempts_are_counted_per_reason_with_growing_pauses(outcomes: Outcomes, clock: Clock) -> None:
    row = _photo(outcomes)
    pauses: list[float] = []
    while outcomes.tried(row, Reason.BUSY, "in use"):
        row = _row(outcomes, row.id)
        pauses.append(row.not_before - clock.now)
    assert pauses == [1.0, 4.0, 16.0, 64.0]
    assert _row(outcomes, row.id).state == State.FAILED
    other = _photo(outcomes, b"b.jpg")
    assert not outcomes.tried(other, Reason.TOO_LARGE, "")
    assert not outcomes.tried(_photo(outcomes, b"c.jpg"), Reason.VANISHED, "")
    assert _row(outcomes, other.id + 1).state == State.SKIPPED


def test_interruptions_are_no_attempts_but_end_too(outcomes: Outcomes) -> None:
    row = _photo(outcomes)
    for count in range(1, INTERRUPTIONS_FAILED):
        outcomes.interrupted(_row(outcomes, row.id))
        now = _row(outcomes, row.id)
        assert (now.state, now.attempts, now.interruptions) == (State.PENDING, 0, count)
    outcomes.interrupted(_row(outcomes, row.id))
    assert (_row(outcomes, row.id).state, _row(outcomes, row.id).reason) == (State.FAILED, Reason.CRASHED)


def test_a_draft_is_followed_by_the_final_which_replaces_it(outcomes: Outcomes) -> None:
    row = _photo(outcomes)
    outcomes.ledger.write("UPDATE photos SET stage = 'draft' WHERE id = ?", (row.id,))
    row = _row(outcomes, row.id)
    outcomes.delivering(row, "content", [_delivery()])
    outcomes.delivered(row, timings={}, aftercare="none", next_stage="final")
    row = _row(outcomes, row.id)
    assert (row.state, row.stage) == (State.PENDING, "final")
    _deliver(outcomes, row, _delivery(digest="d2", replaces="d1"))
    assert [one[1:] for one in _held(outcomes)] == [("d1", "replaced"), ("d2", "done")]


def test_aftercare_goes_through_its_states(outcomes: Outcomes) -> None:
    row = _deliver(outcomes, _photo(outcomes), _delivery())
    outcomes.aftercare(row.id, "hidden", hidden=b"/inbox/.h", to=b"/archive/a.jpg")
    assert outcomes.aftercare_owed() == [row.id]
    outcomes.aftercare_again(row.id)
    again = _row(outcomes, row.id)
    assert (again.aftercare, again.hidden_name, again.archived_to) == ("owed", None, None)
    outcomes.aftercare(row.id, "done", to=b"/archive/a.jpg")
    done = _row(outcomes, row.id)
    assert (done.live, done.archived_to) == (0, b"/archive/a.jpg")
    assert outcomes.aftercare_owed() == []


def test_aftercare_is_owed_per_inbox_and_what_failed_before_comes_last(outcomes: Outcomes) -> None:
    """Also after a start: the same few that always fail are not again the ones that are tried first."""
    ids = [_photo(outcomes, name).id for name in (b"a.jpg", b"b.jpg", b"c.jpg")]
    outcomes.ledger.write("UPDATE photos SET state = 'done', aftercare = 'owed'")
    outcomes.aftercare_failed(ids[0], "no space")
    assert outcomes.aftercare_owed(BOX) == [ids[1], ids[2], ids[0]]
    assert outcomes.aftercare_owed(b"/another") == []


def test_an_accented_name_at_the_prefix_is_among_those_taken(outcomes: Outcomes) -> None:
    _deliver(outcomes, _photo(outcomes), _delivery("x" * 39 + "é.png"))
    other = _photo(outcomes, b"b.jpg")
    from cutoutd.daemon.files.names import name_prefix

    prefix = name_prefix(b"", "x" * 39 + "e\u0301")
    assert "x" * 39 + "é.png" in outcomes.names_taken(OUT, prefix, besides=other.id)
