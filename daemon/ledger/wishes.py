"""A `redo` whose wish cannot be fulfilled: the photo stays what it was before, and the row says so; it touches no file.

A wrong mask, a point on nothing or a format that the photo does not fit into says nothing against a photo that was cut
out already. What lies at its original does: that is not asked here.
"""

from __future__ import annotations

from typing import Any, Final

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.records import PhotoRow, doubts_text
from cutoutd.models.networks.doubt import Doubt

# What a wish can be the cause of.
OF_A_WISH: Final = frozenset(
    {Reason.CANNOT_RENDER, Reason.NO_SUBJECT, Reason.CRASHED, Reason.TOO_SLOW, Reason.OUT_OF_MEMORY}
)
STAYS: Final = "What it had before stays as it was."


def only_a_wish(row: PhotoRow, reason: Reason, *, has_cutout: bool) -> bool:
    """Whether no more went wrong than what a `redo` asked for beyond the configuration."""
    return bool(row.overrides) and has_cutout and reason in OF_A_WISH


def given_up(row: PhotoRow, detail: str) -> dict[str, Any]:
    """The columns of a photo that is done as before.

    Args:
        row: while it was to be done again.
        detail: a sentence on what could not be done.
    """
    doubts = (Doubt.NOT_REDONE, *(one for one in row.needs_review if one != Doubt.NOT_REDONE))
    return {
        "detail": f"{detail} {STAYS}",
        "doubts": doubts_text(doubts),
        "reason": "",
        "attempts": 0,
        "interruptions": 0,
        "forced": 0,
        "overrides": "",
    }
