"""Orders in and status out, as rows that survive both sides."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.daemon.conftest import Clock

from cutoutd.config.errors import Reason
from cutoutd.config.fixes import Fixes
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.control import ABOUT_ALL, CommandAnswer, CommandArguments, Control, Verb
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.overrides import Corrections, Overrides
from cutoutd.daemon.ledger.records import Facts, Settled, doubts_text
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.live_status import LIVE_STATUS, Counts, DaemonState, LiveStatus

BOX = b"/inbox"
SOME = CommandArguments(photos=frozenset({3, 17}))


@pytest.fixture
def control(ledger: Ledger) -> Control:
    return Control(ledger)


def _photo(ledger: Ledger, name: bytes, state: State, **values: object) -> int:
    photo = Intake(ledger).observe(BOX, name, Facts(1, 2, 3), settled=Settled.KNOWN)[1] or 0
    for column, value in {"state": state, "finished": ledger.clock(), **values}.items():
        ledger.write(f"UPDATE photos SET {column} = ? WHERE id = ?", (value, photo))
    return photo


def _state(ledger: Ledger, photo: int) -> str:
    row = Intake(ledger).get(photo)
    assert row is not None
    return row.state


def test_an_order_waits_for_a_daemon_and_is_answered_once(control: Control, clock: Clock) -> None:
    first, second = control.command(Verb.PAUSE), control.command(Verb.RETRY, SOME)
    control.ledger.rollback()
    waiting = [(one.id, one.verb, CommandArguments.from_json(one.arguments)) for one in control.waiting()]
    assert waiting == [(first, "pause", ABOUT_ALL), (second, "retry", SOME)]
    assert control.answered(first) is None
    control.answer(first, CommandAnswer(3, "why", "do this"))
    assert [one.id for one in control.waiting()] == [second]
    assert control.answered(first) == CommandAnswer(3, "why", "do this")
    clock.now += 4000
    control.answer(second, CommandAnswer(0))
    assert control.answered(first) is None, "old answers are cleared"


def test_the_live_status_comes_back(control: Control) -> None:
    assert control.published() is None
    told = LiveStatus(state=DaemonState.IDLE, counts=Counts(done=1))
    control.ledger.set_meta(LIVE_STATUS, told.to_json())
    assert control.published() == told


def test_what_is_owed_is_told_by_inbox(control: Control, ledger: Ledger) -> None:
    _photo(ledger, b"a.jpg", State.PENDING)
    _photo(ledger, b"b.jpg", State.RUNNING)
    _photo(ledger, b"c.jpg", State.DONE)
    _photo(ledger, b"d.jpg", State.PENDING, inbox=b"/gone")
    assert control.owed() == {BOX: 2, b"/gone": 1}


def test_retry_takes_failed_photos_in_the_inbox_and_in_the_folder_for_such(
    control: Control, ledger: Ledger
) -> None:
    live = _photo(ledger, b"a.jpg", State.FAILED, attempts=2, interruptions=6, not_before=9e9)
    moved = _photo(ledger, b"b.jpg", State.FAILED, live=0, archived_to=b"/failed/b.jpg")
    old = _photo(ledger, b"c.jpg", State.FAILED, live=0)
    done = _photo(ledger, b"d.jpg", State.DONE)
    assert {row.id for row in control.failures()} == {live, moved}
    assert control.retry() == 2
    assert [_state(ledger, one) for one in (live, moved, old, done)] == [
        "pending",
        "pending",
        "failed",
        "done",
    ]
    row = Intake(ledger).get(live)
    assert row is not None
    assert (row.attempts, row.interruptions, row.not_before, row.forced) == (0, 0, 0.0, 1)


def test_retry_keeps_what_a_redo_asked_for(control: Control, ledger: Ledger) -> None:
    """A photo without a subject whose worker died with its points failed again for want of a subject."""
    asked = Overrides.of({"fixes": {"keep": ["31%,45%"]}, "output": {"background": "white"}})
    pointed = _photo(ledger, b"a.jpg", State.FAILED, overrides=asked.to_json())
    drawn = Overrides(mask="0" * 32)
    masks.make_folder(ledger.path.parent).joinpath(drawn.mask).touch()
    masked = _photo(ledger, b"b.jpg", State.FAILED, overrides=drawn.to_json())
    # Earlier versions kept no mask so long.
    lost = _photo(ledger, b"d.jpg", State.FAILED, overrides=Overrides(mask="1" * 32).to_json())
    plain = _photo(ledger, b"c.jpg", State.FAILED)
    assert control.retry() == 4
    rows = {row["id"]: row["overrides"] for row in ledger.read("SELECT id, overrides FROM photos")}
    assert rows == {pointed: asked.to_json(), masked: drawn.to_json(), plain: "", lost: ""}
    ledger.write("UPDATE photos SET state = 'failed'")
    assert control.redo(photos={pointed}) == 1
    assert [
        row["overrides"] for row in ledger.read("SELECT overrides FROM photos WHERE id = ?", (pointed,))
    ] == [""]


def test_redo_leaves_rows_alone_whose_path_has_a_newer_photo(control: Control, ledger: Ledger) -> None:
    """Such a row read the newer photo, and two cutouts of it came out."""
    live = _photo(ledger, b"a.jpg", State.DONE)
    stepped_back = _photo(ledger, b"b.jpg", State.DONE, live=0)
    archived = _photo(ledger, b"c.jpg", State.DONE, live=0, archived_to=b"/archive/c.jpg")
    assert control.redo(overrides=Overrides.of({"output": {"format": "webp"}})) == 2
    assert [_state(ledger, one) for one in (live, stepped_back, archived)] == ["pending", "done", "pending"]


def test_redo_makes_a_photo_with_the_points_that_it_had_unless_told_otherwise(
    control: Control, ledger: Ledger
) -> None:
    corrected, other = _photo(ledger, b"a.jpg", State.DONE), _photo(ledger, b"b.jpg", State.DONE)
    fixes = Fixes(("31%,45%",), ())
    Remarks(ledger).made_with(corrected, Corrections(fixes))

    def owed(overrides: Overrides) -> list[Overrides]:
        """What both rows say after a `redo`."""
        ledger.write("UPDATE photos SET state = 'done'")
        assert control.redo(overrides=overrides) == 2
        rows = {row["id"]: row["overrides"] for row in ledger.read("SELECT id, overrides FROM photos")}
        return [Overrides.from_json(rows[photo]) for photo in (corrected, other)]

    white = Overrides.of({"output": {"background": "white"}})
    assert owed(white) == [replace(white, fixes=fixes), white]
    afresh = Overrides(forget_points=True)
    assert owed(afresh) == [afresh, afresh]
    Remarks(ledger).made_with(corrected, Corrections(mask="0" * 32))
    assert owed(white) == [replace(white, mask="0" * 32), white]


def test_redo_takes_failed_photos_that_are_named_and_no_others(control: Control, ledger: Ledger) -> None:
    done, failed = _photo(ledger, b"a.jpg", State.DONE), _photo(ledger, b"b.jpg", State.FAILED)
    gone = _photo(ledger, b"c.jpg", State.FAILED, live=0)
    assert control.redo() == 1
    assert control.redo(photos={done, failed, gone}) == 1
    assert [_state(ledger, one) for one in (done, failed, gone)] == ["pending", "pending", "failed"]


@pytest.mark.parametrize(
    "arguments",
    [
        ABOUT_ALL,
        SOME,
        CommandArguments(photos=frozenset(), since=0.0),
        CommandArguments(overrides=Overrides.of({"mask": "0" * 32, "fixes": {"keep": ["1,2"]}})),
        CommandArguments(everything=True),
    ],
)
def test_what_a_command_is_told_comes_back(arguments: CommandArguments) -> None:
    assert CommandArguments.from_json(arguments.to_json()) == arguments


def test_a_command_that_nobody_has_told_anything_is_about_all() -> None:
    assert CommandArguments.from_json("") == CommandArguments.from_json("{}") == ABOUT_ALL


@pytest.mark.parametrize(
    "text",
    ["{", "null", "[1]", '{"paths": ["a.jpg"]}', '{"photos": ["a"]}', '{"photos": 3}', '{"since": []}'],
)
def test_a_command_that_says_something_else_is_none(text: str) -> None:
    """Taken for one about all photos, it would do more than was asked."""
    with pytest.raises((ValueError, TypeError)):
        CommandArguments.from_json(text)


def test_since_is_by_the_time_it_was_finished(control: Control, ledger: Ledger, clock: Clock) -> None:
    _photo(ledger, b"old.jpg", State.DONE)
    clock.now += 100
    _photo(ledger, b"new.jpg", State.DONE)
    assert control.redo(since=clock.now - 50) == 1


def test_counts_recent_and_skipped(control: Control, ledger: Ledger) -> None:
    _photo(ledger, b"a.jpg", State.DONE)
    _photo(ledger, b"b.jpg", State.FAILED)
    _photo(ledger, b"c.jpg", State.FAILED, live=0)
    _photo(ledger, b"d.txt", State.SKIPPED, reason=Reason.NOT_A_PHOTO)
    _photo(ledger, b"e.jpg", State.PENDING)
    counts = control.counts()
    assert (counts["done"], counts["failed"], counts["skipped"], counts["pending"]) == (1, 1, 1, 1)
    assert control.counts(b"/other")["done"] == 0
    assert control.waits(BOX)
    assert not control.waits(b"/other")
    assert control.skipped() == {"not-a-photo": 1}
    assert len(control.recent(2)) == 2


def test_what_needs_a_look_is_what_was_delivered_with_doubt(control: Control) -> None:
    doubts = doubts_text(["touches the frame"])
    done = _photo(control.ledger, b"a.jpg", State.DONE, doubts=doubts, confidence=0.6)
    _photo(control.ledger, b"sure.jpg", State.DONE, confidence=0.97)
    _photo(control.ledger, b"again.jpg", State.PENDING, doubts=doubts)
    _photo(control.ledger, b"replaced.jpg", State.DONE, doubts=doubts, live=0)
    archived = _photo(
        control.ledger, b"old.jpg", State.DONE, doubts=doubts, live=0, archived_to=b"/archive/old.jpg"
    )
    assert [row.id for row in control.to_review()] == [done, archived]
    assert control.to_review()[0].needs_review == ("touches the frame",)


def test_which_photos_each_command_can_be_about(control: Control, ledger: Ledger) -> None:
    failed = _photo(ledger, b"a.jpg", State.FAILED)
    gone = _photo(ledger, b"b.jpg", State.FAILED, live=0)
    done = _photo(ledger, b"c.jpg", State.DONE)
    waiting = _photo(ledger, b"d.jpg", State.PENDING)
    assert control.able(Verb.RETRY) == {failed}
    assert control.able(Verb.REDO) == {done, failed}
    assert control.able(Verb.FORGET) == {failed, gone, done}
    assert waiting not in control.able(Verb.FORGET)
