"""What a file seen in an inbox means for the ledger: every row of the table is a way to lose or double a photo."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.support.ledgers import steps

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake, Seen
from cutoutd.daemon.ledger.records import Facts, Settled
from cutoutd.daemon.ledger.states import State

BOX, PATH = b"/inbox", b"day/a.jpg"
FACTS = Facts(size=10, mtime_ns=20, inode=30, access=0o644)
OTHER = replace(FACTS, size=11, inode=31)


@pytest.fixture
def intake(ledger: Ledger) -> Intake:
    return Intake(ledger)


def _see(
    intake: Intake, facts: Facts = FACTS, path: bytes = PATH, *, settled: bool = True
) -> tuple[Seen, int | None]:
    return intake.observe(BOX, path, facts, settled=Settled.KNOWN if settled else Settled.NOT)


def _set(intake: Intake, photo: int, **values: object) -> None:
    for name, value in values.items():
        intake.ledger.write(f"UPDATE photos SET {name} = ? WHERE id = ?", (value, photo))


def _cutout(intake: Intake, photo: int, state: str = "done") -> None:
    intake.ledger.write(
        "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, state)"
        " VALUES (?, 'l', x'00', x'00', ?, 'd', ?)",
        (photo, f"name of {photo}", state),
    )


def _new(intake: Intake, **values: object) -> int:
    photo = _see(intake)[1]
    assert photo is not None
    _set(intake, photo, **values)
    return photo


def test_a_new_file_is_owed_once(intake: Intake) -> None:
    seen, photo = _see(intake)
    assert seen is Seen.NEW
    assert _see(intake) == (Seen.WAITING, photo)
    row = intake.live(BOX, PATH)
    assert row is not None
    assert (row.state, row.settled, row.facts) == (State.PENDING, 1, FACTS)
    assert len(intake.ledger.read("SELECT id FROM photos")) == 1


@pytest.mark.parametrize("state", [State.DONE, State.FAILED, State.SKIPPED])
def test_an_unchanged_file_is_no_new_work(intake: Intake, state: State) -> None:
    photo = _new(intake, state=state)
    assert _see(intake) == (Seen.KNOWN, None)
    assert intake.live(BOX, PATH) == intake.get(photo)


@pytest.mark.parametrize("state", [State.DONE, State.FAILED, State.SKIPPED, State.DELIVERING])
def test_a_changed_file_is_a_new_row_beside_the_old(intake: Intake, state: State) -> None:
    photo = _new(intake, state=state)
    seen, after = _see(intake, OTHER)
    assert seen is Seen.CHANGED
    assert after != photo
    old, new = intake.get(photo), intake.get(after or 0)
    assert old is not None
    assert new is not None
    assert (old.live, old.facts) == (0, FACTS), "the row in delivery keeps the facts of what it delivers"
    assert (new.live, new.state, new.facts) == (1, State.PENDING, OTHER)


def test_a_file_that_is_closed_while_its_cutout_gets_its_name_is_read_again_though_it_looks_the_same(
    intake: Intake,
) -> None:
    """Times of whole seconds hide a second version; the content tells."""
    photo = _new(intake, state=State.DELIVERING)
    assert intake.observe(BOX, PATH, FACTS, settled=Settled.KNOWN) == (Seen.WAITING, photo)
    seen, after = intake.observe(BOX, PATH, FACTS, settled=Settled.KNOWN, closed=True)
    assert seen is Seen.CHANGED
    new = intake.get(after or 0)
    assert new is not None
    assert (new.state, new.previous) == (State.PENDING, photo)


def test_while_it_is_read_the_facts_follow_so_that_the_outcome_can_be_compared(intake: Intake) -> None:
    photo = _new(intake, state=State.RUNNING)
    assert _see(intake, OTHER) == (Seen.WAITING, photo)
    row = intake.get(photo)
    assert row is not None
    assert (row.state, row.facts) == (State.RUNNING, OTHER)


def test_other_content_forgets_the_attempts_of_the_old(intake: Intake) -> None:
    photo = _new(intake, attempts=1, not_before=9e9)
    _see(intake, OTHER)
    row = intake.get(photo)
    assert row is not None
    assert (row.attempts, row.not_before) == (0, 0.0)


@pytest.mark.parametrize(
    ("state", "cutout", "follows"),
    [
        (State.DONE, True, True),
        (State.FAILED, False, False),
        (State.FAILED, True, True),  # failed when it was done again: its old cutout is still there
        (State.SKIPPED, True, True),  # vanished for a while
        (State.DELIVERING, False, True),
    ],
)
def test_a_successor_knows_whose_cutout_it_replaces(
    intake: Intake, state: State, cutout: bool, follows: bool
) -> None:
    photo = _new(intake, state=state)
    if cutout:
        _cutout(intake, photo)
    after = intake.get(_see(intake, OTHER)[1] or 0)
    assert after is not None
    assert after.previous == (photo if follows else None)


def test_a_successor_looks_through_a_failure_to_the_last_good_row(intake: Intake) -> None:
    good = _new(intake, state=State.DONE)
    _cutout(intake, good)
    failed = _see(intake, OTHER)[1] or 0
    _set(intake, failed, state=State.FAILED)
    after = intake.get(_see(intake, FACTS)[1] or 0)
    assert after is not None
    assert after.previous == good


@pytest.mark.parametrize("reason", [Reason.VANISHED, Reason.NOT_A_REGULAR_FILE, Reason.PLACEHOLDER])
def test_what_a_file_that_lies_there_refutes_is_pending(reason: Reason, intake: Intake) -> None:
    _new(intake, state=State.SKIPPED, reason=reason)
    assert _see(intake)[0] is Seen.CHANGED


def test_a_file_that_was_no_photo_is_none_as_long_as_it_is_the_same(intake: Intake) -> None:
    _new(intake, state=State.SKIPPED, reason=Reason.NOT_A_PHOTO)
    assert _see(intake)[0] is Seen.KNOWN


def test_a_mended_permission_is_reason_to_try_again(intake: Intake) -> None:
    _new(intake, state=State.FAILED, reason=Reason.NO_PERMISSION)
    assert _see(intake)[0] is Seen.KNOWN
    assert _see(intake, replace(FACTS, access=0o600))[0] is Seen.CHANGED


def test_a_tombstone_keeps_an_old_photo_old_and_a_new_one_new(intake: Intake, ledger: Ledger) -> None:
    ledger.write(
        "INSERT INTO tombstones (inbox, key, size, mtime_ns, digest, last_seen) VALUES (?, ?, ?, ?, 'old', 0)",
        (BOX, ledger.key(PATH), FACTS.size, FACTS.mtime_ns),
    )
    assert _see(intake) == (Seen.KNOWN, None)
    photo = _see(intake, OTHER)[1] or 0
    row = intake.get(photo)
    assert row is not None
    assert intake.known_digests(row) == {"old": 0}
    intake.unchanged(row, 0, "old")  # only touched: the stone learns the new hints
    assert intake.get(photo) is None
    assert _see(intake, OTHER) == (Seen.KNOWN, None)


def test_an_unchanged_content_brings_the_old_row_back(intake: Intake) -> None:
    photo = _new(intake, state=State.DONE, digest="x")
    _cutout(intake, photo)
    after = intake.get(_see(intake, OTHER)[1] or 0)
    assert after is not None
    assert intake.known_digests(after) == {"x": photo}
    intake.unchanged(after, photo, "x")
    row = intake.live(BOX, PATH)
    assert row is not None
    assert (row.id, row.facts, row.state) == (photo, OTHER, State.DONE)


@pytest.mark.parametrize(
    ("state", "then"), [(State.SUPERSEDED, (Seen.KNOWN, None)), (State.SKIPPED, (Seen.WAITING, 1))]
)
def test_a_row_that_stepped_back_but_has_its_cutout_is_what_it_was(
    intake: Intake, state: State, then: tuple[Seen, int | None]
) -> None:
    """One that is done is done, else every scan would read the file again; one that was away owes what it owed."""
    photo = _new(intake, state=state, digest="x", reason=Reason.VANISHED)
    _cutout(intake, photo)
    after = intake.get(_see(intake)[1] or 0)
    assert after is not None
    intake.unchanged(after, photo, "x")
    assert _see(intake) == then


def test_a_renamed_photo_is_recognised_by_content(intake: Intake) -> None:
    photo = _new(intake, state=State.DONE, digest="x")
    moved = intake.get(_see(intake, path=b"b.jpg")[1] or 0)
    assert moved is not None
    assert intake.known_digests(moved) == {"x": photo}
    intake.unchanged(moved, photo, "x")
    row = intake.live(BOX, b"b.jpg")
    assert row is not None
    assert (row.id, row.path) == (photo, b"b.jpg")
    assert intake.live(BOX, PATH) is None


def test_a_twin_is_found_without_a_look_at_all_that_wait_or_were_done(intake: Intake) -> None:
    """Some cameras make all files equally large."""
    _, first = _see(intake)
    assert first is not None
    _set(intake, first, state="done", digest="aa")
    _, photo = _see(intake, replace(FACTS, inode=2), b"copy")
    row = intake.get(photo or 0)
    assert row is not None

    def look() -> int:
        found: list[int] = []
        taken = steps(intake.ledger, lambda: found.extend(one.id for one in intake.twins(row, "aa")))
        assert found == [first]
        return taken

    few = look()
    for number in range(300):
        _, other = _see(intake, replace(FACTS, inode=100 + number), b"%d" % number)
        assert other is not None
        if number % 2:
            _set(intake, other, state="done", digest=f"b{number}", live=number % 3 > 0)
    assert look() < few + 300


def test_a_photo_on_its_way_to_the_archive_was_not_renamed(intake: Intake) -> None:
    _new(intake, state=State.DONE, digest="x", aftercare="hidden")
    twin = intake.get(_see(intake, path=b"b.jpg")[1] or 0)
    assert twin is not None
    assert intake.known_digests(twin) == {}


@pytest.mark.parametrize("order", [{"forced": 1}, {"digest": "x"}])
def test_a_photo_ordered_anew_knows_no_digests(intake: Intake, order: dict[str, object]) -> None:
    row = intake.get(_new(intake, **order))
    assert row is not None
    assert intake.known_digests(row) == {}


def test_skipping_is_written_once_and_never_over_a_photo(intake: Intake) -> None:
    assert intake.skip(BOX, b"x.txt", FACTS, Reason.NOT_A_PHOTO)
    assert not intake.skip(BOX, b"x.txt", FACTS, Reason.NOT_A_PHOTO)
    assert intake.skip(BOX, b"x.txt", OTHER, Reason.NOT_A_PHOTO)
    _new(intake)
    assert not intake.skip(BOX, PATH, FACTS, Reason.NOT_A_REGULAR_FILE)


def test_writing_again_unsettles_what_is_not_yet_published(intake: Intake) -> None:
    for state, settled in ((State.PENDING, 0), (State.RUNNING, 0), (State.DELIVERING, 1), (State.DONE, 1)):
        photo = _new(intake, state=state)
        intake.unsettle(BOX, PATH)
        row = intake.get(photo)
        assert row is not None
        assert row.settled == settled
        intake.ledger.write("DELETE FROM photos")


def test_doubtful_are_failed_photos_and_those_that_wait_to_settle(intake: Intake) -> None:
    for name, state, settled in (
        (b"1", State.FAILED, 1), (b"2", State.RUNNING, 0), (b"3", State.RUNNING, 1), (b"4", State.PENDING, 0),
    ):  # fmt: skip
        photo = _see(intake, path=name)[1] or 0
        _set(intake, photo, state=state, settled=settled)
    assert [one.path for one in intake.paths_to_recheck(BOX)] == [b"1", b"2"]


def test_names_need_not_be_utf8(intake: Intake) -> None:
    _see(intake, path=b"\xff\xfe.jpg")
    row = intake.live(BOX, b"\xff\xfe.jpg")
    assert row is not None
    assert row.path == b"\xff\xfe.jpg"


def test_what_is_known_of_a_file_follows_its_permissions(intake: Intake) -> None:
    photo = _new(intake, state=State.DONE)
    repaired = replace(FACTS, access=0o600)
    assert _see(intake, repaired) == (Seen.KNOWN, None)
    row = intake.get(photo)
    assert row is not None
    assert (row.facts, row.state) == (repaired, State.DONE)
