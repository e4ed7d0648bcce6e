"""Photos as somebody looks at them: the picture, its cutouts, what is to be said; it changes nothing."""

from __future__ import annotations

import os
import sqlite3

from msgspec import Struct

from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.overrides import NOTHING_SAID, Overrides
from cutoutd.daemon.ledger.records import doubts_of
from cutoutd.daemon.ledger.remarks import Mark, Remarks, version_of
from cutoutd.models.networks.doubt import Doubt

# What nobody has looked at yet is no picture; what is owed again still has its draft or its earlier cutout.
_SHOWN = (
    "p.path IS NOT NULL AND (p.state IN ('running', 'delivering', 'done', 'failed')"
    " OR (p.state = 'pending' AND EXISTS"
    " (SELECT 1 FROM deliverables d WHERE d.photo = p.id AND d.state = 'done')))"
)


class Picture(Struct, frozen=True):
    """One file: absolute path, and a key that another content would not have."""

    path: bytes
    key: str


class Made(Struct, frozen=True):
    """One finished deliverable."""

    label: str
    picture: Picture


class Shot(Struct, frozen=True):
    """One photo.

    Attributes:
        photo: its row; later photos have larger numbers.
        name: relative to its inbox.
        state: `done`, `failed` or, while it is in hand, `working`; a draft or an earlier cutout may be there all the
            same.
        when: wall-clock seconds at which it ended; while it is in hand, at which it was taken up.
        said: sentences: why it failed, or what is worth a look.
        before: the original.
        made: what it was made into.
        version: which cutouts these are.
        mark: what somebody decided about exactly these; None where nobody did.
        fixes: the points that they were made with, or are being made with.
    """

    photo: int
    name: bytes
    state: str
    when: float
    model: str
    said: tuple[str, ...]
    before: Picture
    made: tuple[Made, ...]
    version: str
    mark: Mark | None
    fixes: Fixes = NOTHING_FIXED

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All files that are to be seen, the original first."""
        return (self.before, *(one.picture for one in self.made))


class Standing(Struct, frozen=True):
    """How many photos there are beside those shown: waiting, in hand, and failed."""

    waiting: int
    in_hand: int
    failed: int


def last_shots(ledger: Ledger, count: int) -> list[Shot]:
    """The photos that were taken up last and whose names are kept, the newest first."""
    rows = ledger.read(
        "SELECT p.id, p.inbox, p.path, p.key, p.size, p.mtime_ns, p.state, p.started, p.finished, p.model,"
        " p.reason, p.detail, p.confidence, p.doubts, p.archived_to, p.overrides FROM photos p"
        f" WHERE {_SHOWN} ORDER BY p.id DESC LIMIT ?",
        (count,),
    )
    made = _made(ledger, min((row["id"] for row in rows), default=0))
    remarks = Remarks(ledger)
    marks, made_with = remarks.marks(), remarks.corrections()
    shots: list[Shot] = []
    for row in rows:
        photo = int(row["id"])
        outputs, digests = made.get(photo, ((), ()))
        version, mark = version_of(ledger, digests), marks.get(photo)
        state = str(row["state"]) if row["state"] in ("done", "failed") else "working"
        original = row["archived_to"] or os.path.join(bytes(row["inbox"]), bytes(row["path"]))
        facts = b"%b %d %d" % (bytes(row["key"]), row["size"], row["mtime_ns"])
        shots.append(
            Shot(
                photo=photo,
                name=bytes(row["path"]),
                state=state,
                when=float((row["finished"] if state != "working" else row["started"]) or 0.0),
                model=str(row["model"]),
                said=_said(row, state),
                before=Picture(bytes(original), _short(ledger, b"before " + facts)),
                made=outputs,
                version=version,
                mark=mark if mark is not None and mark.version == version else None,
                fixes=Overrides.from_json(row["overrides"])
                .with_corrections(made_with.get(photo, NOTHING_SAID))
                .fixes,
            )
        )
    return shots


def _said(row: sqlite3.Row, state: str) -> tuple[str, ...]:
    if state == "failed":
        return (str(row["detail"] or row["reason"]),)
    doubts = doubts_of(row["doubts"]) if state == "done" else ()
    sure = "" if row["confidence"] is None else f" ({row['confidence']:.0%} sure)"
    told = (f"Worth a look: {', '.join(doubts)}{sure}.",) if doubts else ()
    return (*told, str(row["detail"])) if Doubt.NOT_REDONE in doubts and row["detail"] else told


def standing(ledger: Ledger) -> Standing:
    """What is owed and what has failed."""
    found = {
        row["state"]: int(row["n"])
        for row in ledger.read(
            "SELECT state, count(*) AS n FROM photos WHERE state IN ('pending', 'running', 'delivering', 'failed')"
            " AND (live = 1 OR archived_to IS NOT NULL) GROUP BY state"
        )
    }
    in_hand = found.get("running", 0) + found.get("delivering", 0)
    return Standing(found.get("pending", 0), in_hand, found.get("failed", 0))


def _made(ledger: Ledger, first: int) -> dict[int, tuple[tuple[Made, ...], tuple[str, ...]]]:
    """Finished deliverables and their digests, by photo, from the photo numbered `first` on."""
    found: dict[int, tuple[tuple[Made, ...], tuple[str, ...]]] = {}
    for row in ledger.read(
        "SELECT photo, label, outbox, name, out_digest FROM deliverables"
        " WHERE photo >= ? AND state = 'done' AND name IS NOT NULL ORDER BY photo, id",
        (first,),
    ):
        path = os.path.join(bytes(row["outbox"]), bytes(row["name"]))
        digest = str(row["out_digest"])
        one = Made(str(row["label"]), Picture(path, _short(ledger, digest.encode())))
        made, digests = found.get(row["photo"], ((), ()))
        found[row["photo"]] = ((*made, one), (*digests, digest))
    return found


def _short(ledger: Ledger, content: bytes) -> str:
    """Stands for a content without telling its digest."""
    return ledger.key(content)[:6].hex()


def versions(ledger: Ledger) -> dict[int, str]:
    """Which cutouts there are now, by photo, of those whose names are kept."""
    named = {row["id"] for row in ledger.read("SELECT id FROM photos WHERE path IS NOT NULL")}
    return {
        photo: version_of(ledger, digests)
        for photo, (_, digests) in _made(ledger, 0).items()
        if photo in named
    }


def decided(ledger: Ledger) -> dict[int, str]:
    """What somebody decided, by photo, where it is about the present cutouts: "accepted" or "rejected"."""
    marks = Remarks(ledger).marks()
    now = versions(ledger) if marks else {}
    return {photo: mark.verdict.value for photo, mark in marks.items() if now.get(photo) == mark.version}
