"""The control plane inside the ledger: status out, commands in, no sockets; for daemon and command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from cutoutd.config.errors import printable
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.overrides import NO_OVERRIDES, NOTHING_SAID, Overrides
from cutoutd.daemon.ledger.records import COLUMNS, PhotoRow, photo_row
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.retention import ENDED
from cutoutd.daemon.ledger.states import OWED, State
from cutoutd.daemon.ledger.transitions import AFTERCARE
from cutoutd.daemon.ledger.troubles import DamagedRowError
from cutoutd.daemon.live_status import LIVE_STATUS, LiveStatus


class Verb(StrEnum):
    """What the command line can ask of the daemon."""

    PAUSE = "pause"
    RESUME = "resume"
    RESCAN = "rescan"
    RETRY = "retry"
    REDO = "redo"
    FORGET = "forget"


# Which rows a command can be about.
_MEANT = {
    Verb.RETRY: "state = 'failed' AND (live = 1 OR archived_to IS NOT NULL)",
    # A row that stepped back for a newer photo at its path has no original of its own any more.
    Verb.REDO: "state IN ('done', 'failed') AND path IS NOT NULL AND (live = 1 OR archived_to IS NOT NULL)",
    Verb.FORGET: ENDED,
}
# Delivered photos at whose cutout somebody should look, whose originals we know.
_TO_REVIEW = "state = 'done' AND doubts <> '' AND (live = 1 OR archived_to IS NOT NULL)"


class CommandArguments(Struct, frozen=True):
    """What a command is about, and how; a command takes what it knows of.

    Attributes:
        photos: ids of their rows; None: all.
        since: only photos finished after this, wall-clock seconds; None: whenever.
        overrides: what differs from the configuration.
        everything: `forget` drops the rows too.
    """

    photos: frozenset[int] | None = None
    since: float | None = None
    overrides: Overrides = NO_OVERRIDES
    everything: bool = False

    @classmethod
    def from_json(cls, text: str) -> CommandArguments:
        """The record of a row's text; an empty one says nothing.

        Raises:
            UsageError: from `Overrides.of`.
            ValueError, TypeError: it says something else.
        """
        told = dict[str, Any](json.loads(text or "{}"))
        photos, since, overrides = (
            told.pop("photos", None),
            told.pop("since", None),
            told.pop("overrides", None),
        )
        everything = bool(told.pop("everything", False))
        if told:  # another version's, or nobody's: it may have meant fewer photos
            raise ValueError(f"it is also told {', '.join(told)}")
        return cls(
            None if photos is None else frozenset(int(photo) for photo in photos),
            None if since is None else float(since),
            Overrides.of(overrides or {}),
            everything,
        )

    def to_json(self) -> str:
        """The text for a row, with nothing that is not set."""
        every = {
            "photos": None if self.photos is None else sorted(self.photos),
            "since": self.since,
            "overrides": self.overrides.told() or None,
            "everything": self.everything or None,
        }
        return json.dumps({name: value for name, value in every.items() if value is not None})


ABOUT_ALL = CommandArguments()


class Command(Struct, frozen=True):
    """One command from the command line, not yet taken up: a row's texts, which are read when it is carried out."""

    id: int
    verb: str
    arguments: str


class CommandAnswer(Struct, frozen=True):
    """What came of a command.

    Attributes:
        count: how many photos it was about; None where none are counted.
        refused: why nothing was done, as a sentence: the command makes no sense; else empty.
        fix: what to do then.
        waiting: the daemon has not answered yet, and will carry it out.
        left_out: how many more were meant whose inboxes are not in the configuration: nobody would take them up.
    """

    count: int | None = None
    refused: str = ""
    fix: str = ""
    waiting: bool = False
    left_out: int = 0


class Control:
    """Commands and status, as rows."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def command(self, verb: Verb, arguments: CommandArguments = ABOUT_ALL) -> int:
        """Leaves a command for the daemon; durable, so it is carried out even after a restart."""
        with self.ledger.durably():
            cursor = self.ledger.write(
                "INSERT INTO commands (verb, arguments, created) VALUES (?, ?, ?)",
                (verb, arguments.to_json(), self.ledger.clock()),
            )
        return int(cursor.lastrowid or 0)

    def waiting(self) -> list[Command]:
        """Commands nobody has taken up, oldest first."""
        rows = self.ledger.read("SELECT id, verb, arguments FROM commands WHERE taken IS NULL ORDER BY id")
        return [Command(row["id"], row["verb"], row["arguments"]) for row in rows]

    def able(self, verb: Verb) -> set[int]:
        """The photos that a command can be about: `retry`, `redo` or `forget`."""
        return {row["id"] for row in self.ledger.read(f"SELECT id FROM photos WHERE {_MEANT[verb]}")}

    def answer(self, command: int, answer: CommandAnswer) -> None:
        """Marks a command as carried out."""
        self.ledger.write(
            "UPDATE commands SET taken = ?, answer = ? WHERE id = ?",
            (self.ledger.clock(), json.dumps(asdict(answer)), command),
        )
        # Old answers are of no use to anyone.
        self.ledger.write(
            "DELETE FROM commands WHERE taken IS NOT NULL AND taken < ?", (self.ledger.clock() - 3600,)
        )

    def answered(self, command: int) -> CommandAnswer | None:
        """The daemon's answer, or None while it is not there."""
        row = self.ledger.one("SELECT answer FROM commands WHERE id = ? AND taken IS NOT NULL", (command,))
        if row is None:
            return None
        told = dict[str, Any](json.loads(row["answer"] or "{}"))
        return CommandAnswer(
            told.get("count"),
            told.get("refused", ""),
            told.get("fix", ""),
            left_out=told.get("left_out", 0),
        )

    def published(self) -> LiveStatus | None:
        """The last live status; None when no daemon has run, or said something that nobody understands."""
        raw = self.ledger.get_meta(LIVE_STATUS)
        return None if raw is None else LiveStatus.from_json(str(raw))

    def counts(self, inbox: bytes | None = None) -> dict[str, int]:
        """How many live photos stand in each state.

        Raises:
            DamagedRowError: one stands in a state that there is not.
        """
        condition, values = ("", ()) if inbox is None else (" AND inbox = ?", (inbox,))
        counts = {state.value: 0 for state in State if state is not State.SUPERSEDED}
        for row in self.ledger.read(
            "SELECT state, count(*) AS n FROM photos WHERE state <> 'superseded'"
            f" AND (live = 1 OR state = 'done' OR archived_to IS NOT NULL){condition} GROUP BY state",
            values,
        ):
            if row["state"] not in counts:
                raise DamagedRowError(f"{row['state']!r} is no state of a photo")
            counts[row["state"]] = row["n"]
        return counts

    def waits(self, inbox: bytes) -> bool:
        """Whether a photo of it waits for a worker."""
        asked = "SELECT 1 FROM photos WHERE inbox = ? AND state = 'pending' LIMIT 1"
        return bool(self.ledger.read(asked, (inbox,)))

    def owed(self) -> dict[bytes, int]:
        """How many photos of each inbox are still to be finished."""
        rows = self.ledger.read(
            f"SELECT inbox, count(*) AS n FROM photos WHERE state IN ({', '.join('?' * len(OWED))})"
            " GROUP BY inbox ORDER BY inbox",
            OWED,
        )
        return {row["inbox"]: row["n"] for row in rows}

    def recent(self, count: int) -> list[PhotoRow]:
        """The photos that ended last, newest first."""
        rows = self.ledger.read(
            f"SELECT {COLUMNS} FROM photos WHERE state IN ('done', 'failed') AND finished IS NOT NULL"
            " ORDER BY finished DESC LIMIT ?",
            (count,),
        )
        return [photo_row(row) for row in rows]

    def failures(self) -> list[PhotoRow]:
        """Failed photos, oldest first."""
        rows = self.ledger.read(
            f"SELECT {COLUMNS} FROM photos WHERE state = 'failed' AND (live = 1 OR archived_to IS NOT NULL)"
            " ORDER BY finished, id"
        )
        return [photo_row(row) for row in rows]

    def to_review(self) -> list[PhotoRow]:
        """Delivered photos at whose cutout somebody should look, oldest first."""
        rows = self.ledger.read(f"SELECT {COLUMNS} FROM photos WHERE {_TO_REVIEW} ORDER BY finished, id")
        return [photo_row(row) for row in rows]

    def skipped_files(self, count: int) -> list[PhotoRow]:
        """The files that were skipped last, newest first."""
        rows = self.ledger.read(
            f"SELECT {COLUMNS} FROM photos WHERE state = 'skipped' AND live = 1 ORDER BY finished DESC, id DESC"
            " LIMIT ?",
            (count,),
        )
        return [photo_row(row) for row in rows]

    def ended_since(self, when: float) -> dict[str, int]:
        """How many photos were done and have failed since a moment, by the wall clock."""
        counts = {State.DONE.value: 0, State.FAILED.value: 0}
        for row in self.ledger.read(
            "SELECT state, count(*) AS n FROM photos WHERE state IN ('done', 'failed') AND finished >= ?"
            " GROUP BY state",
            (when,),
        ):
            counts[row["state"]] = row["n"]
        return counts

    def skipped(self) -> dict[str, int]:
        """How many files were skipped, by reason."""
        rows = self.ledger.read(
            "SELECT reason, count(*) AS n FROM photos WHERE state = 'skipped' AND live = 1 GROUP BY reason"
        )
        return {row["reason"]: row["n"] for row in rows}

    def aftercare_troubles(self) -> list[str]:
        """Sentences on originals that could not be moved yet."""
        rows = self.ledger.read(
            "SELECT path, detail FROM photos WHERE state = 'done' AND aftercare IN ('owed', 'hidden')"
            " AND detail <> '' LIMIT 5"
        )
        return [
            f"{printable(row['path'] or b'an original')}: its cutout is done, but the original could not be moved yet "
            f"({row['detail'].removeprefix(AFTERCARE)}); it stays, and is tried again"
            for row in rows
        ]

    def outputs(self, photo: int) -> list[bytes]:
        """Absolute paths of a photo's cutouts, where their names are still kept."""
        rows = self.ledger.read(
            "SELECT outbox, name FROM deliverables WHERE photo = ? AND state = 'done' AND name IS NOT NULL"
            " ORDER BY id",
            (photo,),
        )
        return [os.path.join(row["outbox"], row["name"]) for row in rows]

    def retry(
        self,
        photos: Collection[int] | None = None,
        meant: Callable[[bytes, bytes], bool] | None = None,
    ) -> int:
        """Failed photos become pending, with what a `redo` asked of them.

        The arguments, and what is returned, are those of `redo`.
        """
        return self._revive(_MEANT[Verb.RETRY], None, meant, photos)

    def redo(
        self,
        *,
        since: float | None = None,
        overrides: Overrides = NO_OVERRIDES,
        meant: Callable[[bytes, bytes], bool] | None = None,
        photos: Collection[int] | None = None,
    ) -> int:
        """Finished photos become pending again; their new cutouts replace their own earlier ones.

        The points or the mask that a photo was made with go on counting unless others take their place.

        Failed ones only where `photos` names them: a point or a mask may be all that they lacked.

        Args:
            since: only photos finished after this wall-clock time; None: whenever.
            overrides: what differs from the configuration, kept with the row; unset, nothing.
            photos: ids of rows, or None for all.
            meant: whether the photo with this inbox and path is to be done again; all, if not given.

        Returns:
            How many photos will be done again.

        Raises:
            UsageError: from `meant`; then none will.
        """
        condition = _MEANT[Verb.REDO]
        if photos is None:
            condition += " AND state = 'done'"
        if since is not None:
            condition += f" AND finished >= {float(since)}"
        return self._revive(condition, overrides, meant, photos)

    def _revive(
        self,
        condition: str,
        overrides: Overrides | None,
        meant: Callable[[bytes, bytes], bool] | None = None,
        photos: Collection[int] | None = None,
    ) -> int:
        """As `redo`; without overrides each photo keeps its own."""
        rows = self.ledger.read(f"SELECT id, inbox, path, overrides FROM photos WHERE {condition}")
        found: list[tuple[int, bytes, bytes, str]] = [
            (row["id"], bytes(row["inbox"]), row["path"] or b"", row["overrides"])
            for row in rows
            if photos is None or row["id"] in photos
        ]
        # Asked before anything is written.
        chosen = [(photo, own) for photo, inbox, path, own in found if meant is None or meant(inbox, path)]
        afresh = {
            "attempts": 0,
            "interruptions": 0,
            "not_before": 0.0,
            "forced": 1,
            "settled": 1,
        }
        made_with = Remarks(self.ledger).corrections()
        for photo, own in chosen:
            # That of a photo that is done goes on if nothing comes of this.
            self.ledger.write(
                "UPDATE photos SET aftercare = 'none' WHERE id = ? AND aftercare = 'owed' AND state = 'failed'",
                (photo,),
            )
            asked = self._as_before(own) if overrides is None else overrides
            wish = asked.with_corrections(made_with.get(photo, NOTHING_SAID)).to_json()
            self.ledger.move(photo, State.PENDING, {**afresh, "overrides": wish})
        return len(chosen)

    def _as_before(self, text: str) -> Overrides:
        """What a row says; earlier versions kept no mask of a photo that has failed."""
        asked = Overrides.from_json(text)
        kept = not asked.mask or masks.lies(self.ledger, asked.mask)
        return asked if kept else replace(asked, mask="")
