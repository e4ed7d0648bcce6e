"""Facts that a file system says in more bits than a column holds."""

from __future__ import annotations

import pytest

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled, folded


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, -(2**63)])
def test_what_fits_stays(number: int) -> None:
    assert folded(number) == number


@pytest.mark.parametrize("number", [2**63, 2**63 + 5, 2**64 - 1, 11_160_000_000 * 10**9])
def test_what_does_not_is_another_number_that_fits(number: int) -> None:
    assert -(2**63) <= folded(number) < 2**63
    assert folded(number) != folded(number + 1)


def test_a_row_knows_its_file_by_what_the_file_system_says(ledger: Ledger) -> None:
    intake = Intake(ledger)
    _, photo = intake.observe(b"/in", b"a", Facts(10, 10, 2**63 + 5), settled=Settled.KNOWN)
    row = intake.get(photo or 0)
    assert row is not None
    assert row.is_of(10, 10, 2**63 + 5)
    assert not row.is_of(10, 10, 2**63 + 6)
