"""Choices that somebody made on a gallery's page and saved as a file: read, looked at, and kept in the ledger."""

from __future__ import annotations

import json
import re
from typing import Any, Final, cast

from msgspec import Struct

from cutoutd.config.errors import UsageError
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.remarks import VERDICTS, Remarks
from cutoutd.daemon.ledger.shots import versions
from cutoutd.service.gallery.feed import FORMAT

# 10,000 photos are half a megabyte.
LARGEST_FILE: Final = 4_000_000
# Taken back.
NONE: Final = "none"
_VERSION: Final = re.compile(r"[0-9a-f]{12}")
_NOT_OURS: Final = "Save it on the gallery's page, with `Save choices`."


class Choice(Struct, frozen=True):
    """What was chosen for one photo; `verdict` None takes an earlier choice back."""

    photo: int
    verdict: EventKind | None
    version: str


class Taken(Struct, frozen=True):
    """What became of a file's choices: by verdict, and those about photos or cutouts that are no longer there."""

    accepted: int = 0
    rejected: int = 0
    taken_back: int = 0
    outdated: int = 0


def read_choices(text: str, gallery: str) -> list[Choice]:
    """The choices in a saved file.

    Args:
        text: the file's.
        gallery: which ledger they have to be about (`gallery_id`).

    Raises:
        UsageError: it is something else.
    """
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("These are no choices of a gallery", fix=_NOT_OURS) from None
    if not isinstance(found, dict):
        raise UsageError("These are no choices of a gallery", fix=_NOT_OURS)
    told = cast("dict[str, Any]", found)
    if told.get("cutoutd_review") != FORMAT or not isinstance(told.get("marks"), dict):
        raise UsageError("These are no choices of a gallery", fix=_NOT_OURS)
    if told.get("gallery") != gallery:
        raise UsageError(
            "These choices are about another ledger's photos",
            fix="Read them on the machine, and with the state folder, that made the page.",
        )
    return [_choice(number, one) for number, one in cast("dict[str, Any]", told["marks"]).items()]


def _choice(number: str, told: Any) -> Choice:
    one = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    verdict, version = one.get("verdict"), one.get("version")
    known = {kind.value: kind for kind in VERDICTS}
    if (
        not (number.isascii() and number.isdigit() and len(number) <= 18)
        or not (isinstance(verdict, str) and (verdict == NONE or verdict in known))
        or not (isinstance(version, str) and _VERSION.fullmatch(version))
    ):
        raise UsageError("One of these choices cannot be read", fix=_NOT_OURS)
    return Choice(int(number), known.get(verdict), version)


def keep(ledger: Ledger, choices: list[Choice]) -> Taken:
    """Keeps choices about cutouts as they are now, in one transaction; what is kept already is left as it is."""
    remarks = Remarks(ledger)
    now, marks = versions(ledger), remarks.marks()
    count: dict[EventKind | None, int] = {EventKind.ACCEPTED: 0, EventKind.REJECTED: 0, None: 0}
    outdated = 0
    with ledger.durably():
        for choice in choices:
            if now.get(choice.photo) != choice.version:
                outdated += 1
                continue
            count[choice.verdict] += 1
            mark = marks.get(choice.photo)
            if mark is None or (mark.verdict, mark.version) != (choice.verdict, choice.version):
                remarks.mark(choice.photo, choice.verdict, choice.version)
    return Taken(count[EventKind.ACCEPTED], count[EventKind.REJECTED], count[None], outdated)
