"""Saved choices: read strictly, about this ledger, and about the cutouts that were seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.shoot import Shoot

from cutoutd.config.errors import UsageError
from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.events import Events
from cutoutd.daemon.ledger.remarks import Remarks, version_of
from cutoutd.daemon.ledger.shots import versions
from cutoutd.service.gallery.choices import Choice, Correction, Saved, Taken, current, keep, read_choices

VERSION = "0123456789ab"
MARK = {"verdict": "accepted", "version": VERSION}
FIX = {"version": VERSION, "keep": ["31%,45%"], "remove": ["1%,99.5%"]}


def text(**changed: Any) -> str:
    return json.dumps({"cutoutd_review": 1, "gallery": "g", "marks": {"7": MARK}} | changed)


def test_they_are_read() -> None:
    marks = {"7": MARK, "8": MARK | {"verdict": "rejected"}, "9": MARK | {"verdict": "none"}}
    assert read_choices(text(marks=marks), "g") == Saved(
        (
            Choice(7, EventKind.ACCEPTED, VERSION),
            Choice(8, EventKind.REJECTED, VERSION),
            Choice(9, None, VERSION),
        )
    )


def test_points_are_read_and_none_take_back_those_that_were() -> None:
    fixes = {"7": FIX, "8": {"version": VERSION}}
    assert read_choices(text(marks={}, fixes=fixes), "g").corrections == (
        Correction(7, Fixes(("31%,45%",), ("1%,99.5%",)), VERSION),
        Correction(8, NOTHING_FIXED, VERSION),
    )


@pytest.mark.parametrize(
    "found",
    [
        "", "[]", "{", "[" * 100_000, "1e999", text(cutoutd_review=2), text(marks=[1]),
        text(marks={"x": MARK}), text(marks={"-1": MARK}), text(marks={"9" * 30: MARK}), text(marks={"٣": MARK}),
        text(marks={"07": MARK}), text(marks={"0": MARK}),
        text(marks={"7": "accepted"}), text(marks={"7": MARK | {"verdict": "done"}}),
        text(marks={"7": MARK | {"version": "../../x"}}), text(marks={"7": MARK | {"version": None}}),
        text(marks={"7": MARK | {"verdict": ["accepted"]}}),
        text(fixes=[]), text(fixes=None), text(fixes={"x": FIX}), text(fixes={"7": []}),
        text(fixes={"7": FIX | {"keep": "1%,1%"}}),
        text(fixes={"7": FIX | {"keep": ["1%"]}}), text(fixes={"7": FIX | {"keep": [[1, 1]]}}),
        text(fixes={"7": FIX | {"keep": ["nan,1"]}}), text(fixes={"7": FIX | {"remove": ["1%,1%"] * 50}}),
        text(fixes={"7": FIX | {"version": "x"}}),
    ],
)  # fmt: skip
def test_anything_else_is_refused_whole(found: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be read|no choices"):
        read_choices(found, "g")


def test_those_of_another_ledger_are_refused() -> None:
    with pytest.raises(UsageError, match="another ledger"):
        read_choices(text(gallery="h"), "g")


def test_only_what_was_seen_is_kept_and_nothing_twice(tmp_path: Path) -> None:
    shoot = Shoot(tmp_path)
    first, second = shoot.add(b"a.jpg"), shoot.add(b"b.jpg")
    now = versions(shoot.ledger)
    choices = [
        Choice(first, EventKind.ACCEPTED, now[first]),
        Choice(second, EventKind.REJECTED, VERSION),
        Choice(99, EventKind.REJECTED, VERSION),
    ]
    cursor = Events(shoot.ledger).last()
    assert keep(shoot.ledger, choices) == Taken(accepted=1, outdated=2)
    assert keep(shoot.ledger, choices) == Taken(accepted=1, outdated=2)
    assert set(Remarks(shoot.ledger).marks()) == {first}
    assert [event.kind for event in Events(shoot.ledger).since(cursor)] == [EventKind.ACCEPTED]
    assert keep(shoot.ledger, [Choice(first, None, now[first])]) == Taken(taken_back=1)
    assert Remarks(shoot.ledger).marks() == {}


def test_points_are_about_the_cutouts_that_were_seen_or_about_a_photo_without_any(tmp_path: Path) -> None:
    shoot = Shoot(tmp_path)
    done, failed = shoot.add(b"a.jpg"), shoot.failed(b"b.jpg", "No subject was found.")
    now, none = versions(shoot.ledger)[done], version_of(shoot.ledger, ())
    asked = [
        Correction(photo, Fixes(("1%,1%",)), version) for photo in (done, failed) for version in (now, none)
    ]
    assert current(shoot.ledger, asked) == [asked[0], asked[3]]
