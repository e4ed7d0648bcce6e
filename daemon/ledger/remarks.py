"""What is remembered of a photo beside its row: a verdict on its cutouts, and points or mask that they were made with.

They stand in the ledger's small table of names and values, under the row's number, and go when the photo's name goes.
It judges nothing: both come from people; why a cutout may be wrong stands in the photo's row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct, convert, to_builtins

from cutoutd.config.fixes import Fixes
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.masks import MADE_WITH
from cutoutd.daemon.ledger.overrides import NOTHING_SAID, Corrections

VERDICTS = (EventKind.ACCEPTED, EventKind.REJECTED)

_MARK = "photo mark "
_POINTS = "photo points "
_KINDS = (_MARK, _POINTS, MADE_WITH)


class Mark(Struct, frozen=True):
    """What somebody decided about one photo's cutouts.

    Attributes:
        verdict: `EventKind.ACCEPTED` or `EventKind.REJECTED`.
        version: of which cutouts (`version_of`); a mark says nothing about later ones.
        at: wall-clock seconds.
    """

    verdict: EventKind
    version: str
    at: float


class Remarks:
    """The marks, points and masks of one ledger's photos."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def mark(self, photo: int, verdict: EventKind | None, version: str) -> None:
        """Remembers a decision, as an event too; None takes it back.

        Raises:
            ValueError: the verdict is none of `VERDICTS`.
        """
        name = f"{_MARK}{photo:d}"
        if verdict is None:
            self._ledger.write("DELETE FROM meta WHERE name = ?", (name,))
            return
        if verdict not in VERDICTS:
            raise ValueError(verdict)
        now = self._ledger.clock()
        self._ledger.set_meta(name, json.dumps([verdict.value, version, round(now, 3)]))
        self._ledger.write(
            "INSERT INTO events (photo, kind, at) VALUES (?, ?, ?)", (photo, verdict.value, now)
        )

    def marks(self) -> dict[int, Mark]:
        """The decisions, by photo; whether they are about today's cutouts is for the reader to ask."""
        found: dict[int, Mark] = {}
        for photo, value in self._all(_MARK).items():
            verdict, version, at = json.loads(value)
            found[photo] = Mark(EventKind(verdict), version, at)
        return found

    def made_with(self, photo: int, corrections: Corrections) -> None:
        """Remembers what was said of the subject of a photo's present cutouts; nothing said is nothing to remember."""
        points = json.dumps(to_builtins(corrections.fixes)) if corrections.fixes else ""
        for kind, value in ((_POINTS, points), (MADE_WITH, corrections.mask)):
            if value:
                self._ledger.set_meta(f"{kind}{photo:d}", value)
            else:
                self._ledger.write("DELETE FROM meta WHERE name = ?", (f"{kind}{photo:d}",))

    def corrections(self) -> dict[int, Corrections]:
        """The points or the mask of present cutouts, by photo."""
        points = {
            photo: Corrections(convert(json.loads(value), Fixes))
            for photo, value in self._all(_POINTS).items()
        }
        return points | {photo: Corrections(mask=name) for photo, name in self._all(MADE_WITH).items()}

    def handed_on(self, old: int, new: int) -> Corrections:
        """All is another row's from now on, which speaks for the same photo. Returns what was said of its subject."""
        for kind in _KINDS:
            self._ledger.write(
                "UPDATE OR REPLACE meta SET name = ? WHERE name = ?", (f"{kind}{new:d}", f"{kind}{old:d}")
            )
        return self.corrections().get(new, NOTHING_SAID)

    def _all(self, kind: str) -> dict[int, str]:
        """What is remembered of one kind, by photo."""
        rows = self._ledger.read(
            "SELECT name, value FROM meta WHERE name >= ? AND name < ?", (kind, kind + ":")
        )
        return {int(row["name"].removeprefix(kind)): str(row["value"]) for row in rows}


def version_of(ledger: Ledger, digests: Sequence[str]) -> str:
    """A short text that stands for exactly these cutouts, by their digests in the order of their rows."""
    return ledger.key(" ".join(digests).encode())[:6].hex()


def drop_orphans(ledger: Ledger) -> None:
    """Forgets marks, points and masks of photos whose rows or names are gone."""
    for kind in _KINDS:
        ledger.write(
            "DELETE FROM meta WHERE name >= ? AND name < ? AND NOT EXISTS (SELECT 1 FROM photos p"
            " WHERE p.path IS NOT NULL AND p.id = CAST(substr(meta.name, ?) AS INTEGER))",
            (kind, kind + ":", len(kind) + 1),
        )
