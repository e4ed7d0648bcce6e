"""What is remembered beside a photo's row: its mark, its points or mask, under its number, and gone with its name."""

from __future__ import annotations

import pytest

from cutoutd.config.fixes import Fixes
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.events import Events
from cutoutd.daemon.ledger.overrides import NOTHING_SAID, Corrections
from cutoutd.daemon.ledger.remarks import Mark, Remarks, drop_orphans, version_of


def _photo(ledger: Ledger, number: int, path: bytes | None = b"a.jpg") -> int:
    ledger.write(
        "INSERT INTO photos (id, inbox, path, key, state, arrived) VALUES (?, x'00', ?, ?, 'done', 0)",
        (number, path, b"%d" % number),
    )
    return number


def test_a_mark_is_an_event_too(ledger: Ledger) -> None:
    remarks = Remarks(ledger)
    photo = _photo(ledger, 3)
    remarks.mark(photo, EventKind.ACCEPTED, "abc")
    remarks.mark(photo, EventKind.REJECTED, "abc")
    assert remarks.marks() == {photo: Mark(EventKind.REJECTED, "abc", round(ledger.clock(), 3))}
    assert [event.kind for event in Events(ledger).since(0)] == [EventKind.ACCEPTED, EventKind.REJECTED]
    remarks.mark(photo, None, "abc")
    assert remarks.marks() == {}
    with pytest.raises(ValueError, match="done"):
        remarks.mark(photo, EventKind.DONE, "abc")


def test_points_and_masks_are_those_of_the_present_cutouts(ledger: Ledger) -> None:
    remarks = Remarks(ledger)
    photo = _photo(ledger, 3)
    first, second = Fixes(("31%,45%",), ("120,80",)), Fixes((), ("1%,1%",))
    for said in (Corrections(first), Corrections(mask="0" * 32), Corrections(second)):
        remarks.made_with(photo, said)
        assert remarks.corrections() == {photo: said}
    remarks.made_with(photo, NOTHING_SAID)
    assert remarks.corrections() == {}


def test_marks_and_points_of_photos_without_a_name_are_dropped(ledger: Ledger) -> None:
    remarks = Remarks(ledger)
    for number, path in ((1, b"kept.jpg"), (2, None)):
        _photo(ledger, number, path)
    for number in (1, 2, 3, 12):
        remarks.mark(number, EventKind.ACCEPTED, "v")
        remarks.made_with(number, Corrections(Fixes(("1%,1%",)), "0" * 32))
    ledger.set_meta("photograph", "no remark")
    drop_orphans(ledger)
    assert set(remarks.marks()) == set(remarks.corrections()) == {1}
    assert ledger.get_meta("photograph") == "no remark"


def test_a_version_is_of_all_cutouts_in_their_order(ledger: Ledger) -> None:
    assert version_of(ledger, ["a", "b"]) == version_of(ledger, ["a", "b"])
    assert len({version_of(ledger, one) for one in (["a", "b"], ["b", "a"], ["a"], [])}) == 4
