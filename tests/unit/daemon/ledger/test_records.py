"""Rows as records: states that only the table knows, numbers that a column holds, and when facts differ."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled, differ, folded
from cutoutd.daemon.ledger.states import Aftercare, Stage, State

FACTS = Facts(10, 20, 30, 40, 50)


def test_a_row_comes_back_typed_as_it_was_written(ledger: Ledger) -> None:
    intake = Intake(ledger)
    _, photo = intake.observe(b"/in", b"a.jpg", FACTS, settled=Settled.RESTED, stage=Stage.DRAFT)
    row = intake.get(photo or 0)
    assert row is not None
    assert (row.state, row.stage, row.aftercare) == (State.PENDING, Stage.DRAFT, Aftercare.NONE)
    assert isinstance(row.state, State)
    assert isinstance(row.stage, Stage)
    assert isinstance(row.aftercare, Aftercare)
    assert (row.path, row.facts, row.settled, row.proven) == (b"a.jpg", FACTS, 1, 0)


@pytest.mark.parametrize(
    ("number", "kept"),
    [(0, 0), (5, 5), (-5, -5), (2**63 - 1, 2**63 - 1), (2**63, -(2**63)), (2**64 - 1, -1), (2**64 + 7, 7)],
)
def test_a_number_fits_its_column(number: int, kept: int) -> None:
    assert folded(number) == kept
    assert Facts(1, number, number) == Facts(1, kept, kept)


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ({"size": 11}, True),
        ({"mtime_ns": 21}, True),
        ({"inode": 31}, True),
        ({"ctime_ns": 51}, True),
        ({"access": 41}, False),  # permissions say nothing of the content
        ({"inode": 0}, False),  # not known
        ({"ctime_ns": 0}, False),
        ({}, False),
    ],
)
def test_facts_differ_by_what_tells_of_content(changed: dict[str, int], other: bool) -> None:
    assert differ(FACTS, replace(FACTS, **changed)) is other
    assert differ(replace(FACTS, **changed), FACTS) is other


def test_a_row_knows_the_file_that_it_was_made_of(ledger: Ledger) -> None:
    intake = Intake(ledger)
    _, photo = intake.observe(b"/in", b"a.jpg", Facts(1, 2**64 + 2, 3), settled=Settled.KNOWN)
    row = intake.get(photo or 0)
    assert row is not None
    assert row.is_of(1, 2**64 + 2, 3)
    assert not row.is_of(1, 2**64 + 3, 3)


def test_a_row_says_where_its_original_lies_as_long_as_it_keeps_names(ledger: Ledger) -> None:
    intake = Intake(ledger)
    _, photo = intake.observe(b"/in", b"day/a.jpg", FACTS, settled=Settled.KNOWN)
    row = intake.get(photo or 0)
    assert row is not None
    assert row.original == b"/in/day/a.jpg"
    assert replace(row, archived_to=b"/archive/a.jpg").original == b"/archive/a.jpg"
    assert replace(row, path=None, archived_to=None).original is None
