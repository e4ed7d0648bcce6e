"""What is remembered of a photo beside its row: a verdict on its cutouts, and the points that they were made with.

They stand in the ledger's small table of names and values, under the row's number, and go when the photo's name goes.
It judges nothing: both come from people; why a cutout may be wrong stands in the photo's row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct, convert, to_builtins

from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.database import Ledger

VERDICTS = (EventKind.ACCEPTED, EventKind.REJECTED)

_MARK = "photo mark "
_POINTS = "photo points "


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
    """The marks and points of one ledger's photos."""

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
        for row in self._ledger.read(
            "SELECT name, value FROM meta WHERE name >= ? AND name < ?", (_MARK, _MARK + ":")
        ):
            verdict, version, at = json.loads(row["value"])
            found[int(row["name"].removeprefix(_MARK))] = Mark(EventKind(verdict), version, at)
        return found

    def made_with(self, photo: int, fixes: Fixes) -> None:
        """Remembers the points of a photo's present cutouts; none are nothing to remember."""
        name = f"{_POINTS}{photo:d}"
        if fixes:
            self._ledger.set_meta(name, json.dumps(to_builtins(fixes)))
        else:
            self._ledger.write("DELETE FROM meta WHERE name = ?", (name,))

    def points(self) -> dict[int, Fixes]:
        """The points of present cutouts, by photo."""
        return {
            int(row["name"].removeprefix(_POINTS)): convert(json.loads(row["value"]), Fixes)
            for row in self._ledger.read(
                "SELECT name, value FROM meta WHERE name >= ? AND name < ?", (_POINTS, _POINTS + ":")
            )
        }

    def handed_on(self, old: int, new: int) -> Fixes:
        """Both are another row's from now on, which speaks for the same photo. Returns its points."""
        for kind in (_MARK, _POINTS):
            self._ledger.write(
                "UPDATE OR REPLACE meta SET name = ? WHERE name = ?", (f"{kind}{new:d}", f"{kind}{old:d}")
            )
        return self.points().get(new, NOTHING_FIXED)


def version_of(ledger: Ledger, digests: Sequence[str]) -> str:
    """A short text that stands for exactly these cutouts, by their digests in the order of their rows."""
    return ledger.key(" ".join(digests).encode())[:6].hex()


def drop_orphans(ledger: Ledger) -> None:
    """Forgets marks and points of photos whose rows or names are gone."""
    for kind in (_MARK, _POINTS):
        ledger.write(
            "DELETE FROM meta WHERE name >= ? AND name < ? AND NOT EXISTS (SELECT 1 FROM photos p"
            " WHERE p.path IS NOT NULL AND p.id = CAST(substr(meta.name, ?) AS INTEGER))",
            (kind, kind + ":", len(kind) + 1),
        )
