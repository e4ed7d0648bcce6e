"""What happened to photos, one row an event, and what hooks still owe for them; it runs no command.

Triggers write the events inside the very transaction that changes the photo (see `migrations.py`), so an event can
neither be missing nor speak of something that did not happen. Names are not copied into it: they are looked up in the
photo's row, so that what is forgotten there is forgotten here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Mapping

from msgspec import Struct

from cutoutd.config.hooks import EventKind
from cutoutd.daemon.backoff import backoff_s
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import doubts_of, timings_of

# An event's facts are looked up one by one; a reader that is far behind takes them in portions.
PORTION = 200
# After a command that failed: 5 s, 10 s, 20 s … and never longer than 5 minutes.
RETRY_FIRST_S = 5.0
RETRY_LAST_S = 300.0


class Event(Struct, frozen=True):
    """Something that happened to one photo.

    Attributes:
        id: grows from event to event; the cursor of whoever reads them.
        at: wall-clock seconds.
        photo: the photo's row.
        inbox: the inbox's folder.
        original: where the original lies now; None once its name is forgotten.
        outputs: absolute paths of its cutouts as they are now.
        reason: why it failed, as a word; empty for other events.
        seconds: of work on the photo, all stages; 0 where it is not known.
        confidence: the expected overlap of its cutout with the truth, 0..1; None where nobody can say, and for events
            that are not about a finished cutout.
        needs_review: why somebody should look at it; none where nobody need.
    """

    id: int
    kind: EventKind
    at: float
    photo: int
    inbox: bytes
    original: bytes | None
    outputs: tuple[bytes, ...]
    reason: str
    detail: str
    model: str
    seconds: float
    confidence: float | None = None
    needs_review: tuple[str, ...] = ()


class HookStanding(Struct, frozen=True):
    """How one hook is doing.

    Attributes:
        waiting: runs that are owed, those that failed before included.
        given_up: runs that failed as often as they may.
        trouble: what the last failed run said, while runs are owed after a failure or given up; else empty.
    """

    waiting: int
    given_up: int
    trouble: str


class Run(Struct, frozen=True):
    """One run that a hook owes."""

    event: Event
    attempts: int


class Events:
    """Reads the events of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def last(self) -> int:
        """The newest event's id; 0 when nothing ever happened."""
        row = self._ledger.one("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return 0 if row is None else int(row["seq"])

    def before(self, at: float) -> int:
        """The cursor from which everything since the wall-clock time `at` is still to come."""
        row = self._ledger.one("SELECT max(id) AS id FROM events WHERE at < ?", (at,))
        return int(row["id"] or 0) if row is not None else 0

    def last_of(self, photo: int, kind: EventKind, upto: int) -> int | None:
        """The id of a photo's last event of this kind that is not younger than event `upto`; None if there is none."""
        row = self._ledger.one(
            "SELECT max(id) AS id FROM events WHERE photo = ? AND kind = ? AND id <= ?", (photo, kind, upto)
        )
        return None if row is None else row["id"]

    def since(self, cursor: int, limit: int = PORTION) -> list[Event]:
        """The next events after the one with id `cursor`, oldest first, at most `limit`."""
        rows = self._ledger.read(f"{_SELECT} WHERE e.id > ? ORDER BY e.id LIMIT ?", (cursor, limit))
        return [self._event(row) for row in rows]

    def one(self, number: int) -> Event | None:
        """The event with this id, or None when its photo's row is gone."""
        row = self._ledger.one(f"{_SELECT} WHERE e.id = ?", (number,))
        return None if row is None else self._event(row)

    def _event(self, row: sqlite3.Row) -> Event:
        failed, done = row["kind"] == EventKind.FAILED, row["kind"] == EventKind.DONE
        path: bytes | None = row["path"]
        moved: bytes | None = row["archived_to"]
        original = None if path is None else moved or os.path.join(bytes(row["inbox"]), path)
        outputs = self._ledger.read(
            "SELECT outbox, name FROM deliverables WHERE photo = ? AND state = 'done' AND name IS NOT NULL"
            " ORDER BY id",
            (row["photo"],),
        )
        timings = timings_of(row["timings"])
        return Event(
            id=row["id"],
            kind=EventKind(row["kind"]),
            at=row["at"],
            photo=row["photo"],
            inbox=bytes(row["inbox"]),
            original=original,
            outputs=tuple(os.path.join(bytes(one["outbox"]), bytes(one["name"])) for one in outputs),
            reason=row["reason"] if failed else "",
            detail=row["detail"] if failed else "",
            model=row["model"],
            seconds=sum(timings.values()),
            confidence=row["confidence"] if done else None,
            needs_review=doubts_of(row["doubts"]) if done else (),
        )


_SELECT = (
    "SELECT e.id, e.kind, e.at, e.photo, p.inbox, p.path, p.archived_to, p.reason, p.detail, p.model, p.timings,"
    " p.confidence, p.doubts"
    " FROM events e JOIN photos p ON p.id = e.photo"
)


class HookQueue:
    """What hooks owe: a row per hook and event until its command has succeeded or was tried often enough."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._events = Events(ledger)

    def take_up(self, hook: str, kinds: Collection[EventKind]) -> None:
        """Owes a run for each event of these kinds since the last call, in one transaction with the cursor.

        A hook that is called up for the first time begins with what happens from now on.
        """
        cursor = self._ledger.get_meta(_cursor(hook))
        last = self._events.last()
        if cursor is None or last > cursor:
            with self._ledger.durably():
                marks = ", ".join("?" * len(kinds))
                if cursor is not None:
                    self._ledger.write(
                        "INSERT OR IGNORE INTO hook_runs (hook, event) SELECT ?, id FROM events"
                        f" WHERE id > ? AND id <= ? AND kind IN ({marks})",
                        (hook, cursor, last, *kinds),
                    )
                self._ledger.set_meta(_cursor(hook), last)

    def due(self, hook: str, now: float, limit: int) -> list[Run]:
        """Runs whose turn it is, oldest event first, at most `limit`; now is wall-clock seconds.

        The first event that waits for another try holds back none that come after it.
        """
        rows = self._ledger.read(
            "SELECT event, attempts FROM hook_runs WHERE hook = ? AND given_up = 0"
            # A pause that is longer than any comes from a clock that was set back.
            " AND (not_before <= ? OR not_before > ?) ORDER BY event LIMIT ?",
            (hook, now, now + RETRY_LAST_S, limit),
        )
        found = [(self._events.one(row["event"]), row) for row in rows]
        gone = [row["event"] for event, row in found if event is None]  # its photo was forgotten meanwhile
        if gone:
            with self._ledger.durably():
                for number in gone:
                    self.succeeded(hook, number)
        return [Run(event, row["attempts"]) for event, row in found if event is not None]

    def next_due(self) -> float | None:
        """Wall-clock time at which a run that failed is to be tried again; None when none is."""
        row = self._ledger.one("SELECT min(not_before) AS at FROM hook_runs WHERE given_up = 0")
        if row is None or row["at"] is None:
            return None
        now = self._ledger.clock()
        return row["at"] if row["at"] <= now + RETRY_LAST_S else now

    def succeeded(self, hook: str, event: int) -> None:
        """Nothing is owed for this event any more."""
        self._ledger.write("DELETE FROM hook_runs WHERE hook = ? AND event = ?", (hook, event))

    def failed(self, hook: str, event: int, *, attempts: int, allowed: int, why: str) -> bool:
        """The command failed: owed again after a pause, or given up. Returns whether it was given up."""
        tried = attempts + 1
        given_up = tried >= allowed
        pause_s = backoff_s(tried, RETRY_FIRST_S, RETRY_LAST_S)
        self._ledger.write(
            "UPDATE hook_runs SET attempts = ?, not_before = ?, error = ?, given_up = ?"
            " WHERE hook = ? AND event = ?",
            (tried, self._ledger.clock() + pause_s, why, int(given_up), hook, event),
        )
        return given_up

    def retry(self) -> int:
        """Owes everything again that was given up. Returns how many runs that are."""
        return self._ledger.write(
            "UPDATE hook_runs SET given_up = 0, attempts = 0, not_before = 0 WHERE given_up = 1"
        ).rowcount

    def keep_only(self, hooks: Mapping[str, str]) -> None:
        """These hooks there are, with the names that people know them by.

        Others are no longer in the configuration: they owe nothing, and begin afresh should they come back.
        """
        marks = ", ".join("?" * len(hooks)) or "''"
        self._ledger.write(f"DELETE FROM hook_runs WHERE hook NOT IN ({marks})", tuple(hooks))
        gone = [name for name in self._names() if name not in hooks]
        for hook in gone:
            self._ledger.write("DELETE FROM meta WHERE name IN (?, ?)", (_cursor(hook), _name(hook)))
        for hook, name in hooks.items():
            self._ledger.set_meta(_name(hook), name)

    def _names(self) -> dict[str, str]:
        start = _name("")
        rows = self._ledger.read(
            "SELECT name, value FROM meta WHERE substr(name, 1, ?) = ? ORDER BY name", (len(start), start)
        )
        return {row["name"][len(start) :]: row["value"] for row in rows}

    def standings(self) -> dict[str, HookStanding]:
        """How each hook is doing that `cutoutd hooks` knows of, by the name that people know it by."""
        return {name: self.standing(hook) for hook, name in self._names().items()}

    def standing(self, hook: str) -> HookStanding:
        """How this hook is doing, for `status`."""
        row = self._ledger.one(
            "SELECT count(*) FILTER (WHERE given_up = 0) AS waiting,"
            " count(*) FILTER (WHERE given_up = 1) AS given_up,"
            " (SELECT error FROM hook_runs WHERE hook = ? AND error <> '' ORDER BY not_before DESC LIMIT 1) AS why"
            " FROM hook_runs WHERE hook = ?",
            (hook, hook),
        )
        if row is None:
            return HookStanding(0, 0, "")
        return HookStanding(row["waiting"], row["given_up"], row["why"] or "")


def _name(hook: str) -> str:
    return f"hook name {hook}"


def _cursor(hook: str) -> str:
    return f"hook cursor {hook}"
