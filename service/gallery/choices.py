"""What somebody decided and pointed at on a gallery's page and saved as a file: read, looked at, kept in the ledger.

It has nothing made anew: that is the daemon's (`cutoutd review` asks it to).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from msgspec import Struct, ValidationError, convert

from cutoutd.config.errors import UsageError
from cutoutd.config.fixes import Fixes
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.remarks import VERDICTS, Remarks, version_of
from cutoutd.daemon.ledger.shots import versions
from cutoutd.service.gallery.feed import FORMAT

# 10,000 photos are half a megabyte.
LARGEST_FILE: Final = 4_000_000
# Taken back.
NONE: Final = "none"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")
_VERSION: Final = re.compile(r"[0-9a-f]{12}")
_NOT_OURS: Final = "Save it on the gallery's page, with `Save choices`."


class Choice(Struct, frozen=True):
    """What was chosen for one photo; `verdict` None takes an earlier choice back."""

    photo: int
    verdict: EventKind | None
    version: str


class Correction(Struct, frozen=True):
    """The points that one photo is to be made with; none at all: with none of those that it had."""

    photo: int
    fixes: Fixes
    version: str


class Saved(Struct, frozen=True):
    """All that a file holds."""

    choices: tuple[Choice, ...] = ()
    corrections: tuple[Correction, ...] = ()


class Taken(Struct, frozen=True):
    """What became of a file's choices: by verdict, photos to be made again with points, and what was outdated.

    `outdated` are those about photos or cutouts that are no longer there.
    """

    accepted: int = 0
    rejected: int = 0
    taken_back: int = 0
    outdated: int = 0
    redone: int = 0


def read_choices(text: str, gallery: str) -> Saved:
    """What a saved file holds.

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
    fixes: Any = told.get("fixes", {})
    if not isinstance(fixes, dict):
        raise UsageError("These are no choices of a gallery", fix=_NOT_OURS)
    return Saved(
        tuple(_choice(number, one) for number, one in cast("dict[str, Any]", told["marks"]).items()),
        tuple(_correction(number, one) for number, one in cast("dict[str, Any]", fixes).items()),
    )


def _choice(number: str, told: Any) -> Choice:
    one, version = _of_photo(number, told)
    verdict = one.get("verdict")
    known = {kind.value: kind for kind in VERDICTS}
    if not (isinstance(verdict, str) and (verdict == NONE or verdict in known)):
        raise _unreadable()
    return Choice(int(number), known.get(verdict), version)


def _correction(number: str, told: Any) -> Correction:
    one, version = _of_photo(number, told)
    try:
        keep, remove = (convert(one.get(kind, []), tuple[str, ...]) for kind in ("keep", "remove"))
        return Correction(int(number), Fixes.of(keep, remove), version)
    except (ValidationError, ValueError) as error:
        raise _unreadable() from error


def _of_photo(number: str, told: Any) -> tuple[dict[str, Any], str]:
    """What is told of a photo, and the version of its cutouts that it is about."""
    one = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    version = one.get("version")
    if not _NUMBER.fullmatch(number) or not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise _unreadable()
    return one, version


def _unreadable() -> UsageError:
    return UsageError("One of these choices cannot be read", fix=_NOT_OURS)


def keep(ledger: Ledger, choices: Sequence[Choice]) -> Taken:
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


def current(ledger: Ledger, corrections: Sequence[Correction]) -> list[Correction]:
    """Those about cutouts as they are now, or about photos that have none as they had none then."""
    now, none = versions(ledger), version_of(ledger, ())
    return [one for one in corrections if now.get(one.photo, none) == one.version]
