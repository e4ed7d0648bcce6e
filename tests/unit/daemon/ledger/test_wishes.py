"""Which `redo` was in vain without any fault of its photo."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, PhotoRow, Settled, doubts_of, doubts_text
from cutoutd.daemon.ledger.wishes import STAYS, given_up, only_a_wish
from cutoutd.models.networks.doubt import Doubt


@pytest.fixture
def row(ledger: Ledger) -> PhotoRow:
    _, photo = Intake(ledger).observe(b"/in", b"a.jpg", Facts(1, 2, 3), settled=Settled.KNOWN)
    found = None if photo is None else Intake(ledger).get(photo)
    assert found is not None
    return replace(found, overrides='{"mask": "0"}')


@pytest.mark.parametrize(
    ("reason", "overrides", "has_cutout", "only"),
    [
        (Reason.CANNOT_RENDER, '{"mask": "0"}', True, True),
        (Reason.NO_SUBJECT, '{"matte": {"roi": "0,0,9,9"}}', True, True),
        (Reason.CRASHED, '{"mask": "0"}', True, True),
        (Reason.CANNOT_RENDER, "", True, False),
        (Reason.CANNOT_RENDER, '{"mask": "0"}', False, False),
        (Reason.UNREADABLE, '{"mask": "0"}', True, False),
        (Reason.VANISHED, '{"mask": "0"}', True, False),
    ],
)
def test_only_what_a_wish_can_cause_in_a_photo_that_has_a_cutout(
    row: PhotoRow, reason: Reason, overrides: str, has_cutout: bool, only: bool
) -> None:
    assert only_a_wish(replace(row, overrides=overrides), reason, has_cutout=has_cutout) is only


def test_doubts_of_the_cutout_that_stays_stay_with_it(row: PhotoRow) -> None:
    doubtful = replace(row, doubts=doubts_text([Doubt.NOT_REDONE, Doubt.FRAME]))
    columns = given_up(doubtful, "No.")
    assert doubts_of(columns["doubts"]) == (Doubt.NOT_REDONE, Doubt.FRAME)
    assert columns["detail"] == f"No. {STAYS}"
    assert columns["overrides"] == ""
