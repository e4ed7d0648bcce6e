"""File facts in, ledger rows out: decides whether a file seen in an inbox is new work; it reads no file."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from cutoutd.config.errors import SKIPPED, Reason
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import COLUMNS, Facts, PhotoRow, Settled, differ, photo_row
from cutoutd.daemon.ledger.states import OWED, Aftercare, Stage, State

# Files that were skipped for what a look at their names said.
_UNOPENED = (
    "state = 'skipped' AND live = 1 AND reason IN"
    f" ('{Reason.NOT_A_PHOTO}', '{Reason.NOT_A_REGULAR_FILE}', '{Reason.PLACEHOLDER}')"
)


# What a file that lies there refutes, unchanged or not: it was gone, its folder was a link for a moment, or its content
# was elsewhere.
REFUTED = (Reason.VANISHED, Reason.NOT_A_REGULAR_FILE, Reason.PLACEHOLDER)


class Seen(StrEnum):
    """What a look at a file meant for the ledger."""

    NEW = "new"
    CHANGED = "changed"
    KNOWN = "known"
    WAITING = "waiting"


class ToRecheck(Struct, frozen=True):
    """A photo whose file may be gone, or readable by now."""

    photo: int
    path: bytes
    state: State
    reason: str


class Intake:
    """Turns what is seen in inboxes into rows that are owed."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def get(self, photo: int) -> PhotoRow | None:
        """The row with this id."""
        row = self.ledger.one(f"SELECT {COLUMNS} FROM photos WHERE id = ?", (photo,))
        return None if row is None else photo_row(row)

    def live(self, inbox: bytes, path: bytes) -> PhotoRow | None:
        """The one row that speaks for a path."""
        row = self.ledger.one(
            f"SELECT {COLUMNS} FROM photos WHERE inbox = ? AND key = ? AND live = 1",
            (inbox, self.ledger.key(path)),
        )
        return None if row is None else photo_row(row)

    def observe(
        self,
        inbox: bytes,
        path: bytes,
        facts: Facts,
        *,
        settled: Settled,
        closed: bool = False,
        stage: Stage = Stage.FINAL,
    ) -> tuple[Seen, int | None]:
        """Records that a photo lies in an inbox with these facts.

        Args:
            inbox: the inbox's absolute path.
            path: relative to the inbox.
            facts: from a fresh `lstat`.
            settled: what is known of its writer.
            closed: a writer has just closed it: whatever the facts say, the content decides.
            stage: `draft` where a quick cutout comes first.

        Returns:
            What it meant, and the id of the row that is now owed (None when nothing is).
        """
        row = self.live(inbox, path)
        if row is None:
            return self._first_sight(inbox, path, facts, settled=settled, closed=closed, stage=stage)
        same = not differ(row.facts, facts)
        if row.state == State.PENDING:
            self._refresh(row, facts, settled=settled)
            return Seen.WAITING, row.id
        if row.state == State.RUNNING:
            # The outcome compares what the worker read with these facts and runs again when they differ.
            self._refresh(row, facts, settled=settled, keep_state=True)
            return Seen.WAITING, row.id
        if row.state == State.DELIVERING and same and not closed:
            return Seen.WAITING, row.id
        if row.state == State.DELIVERING:
            # Names are committed and a delivery may take hours (an outbox that is away): what lies here now is
            # the next photo, which waits until this one is through (`queue.py`) and then replaces its cutout.
            return Seen.CHANGED, self._succeed(row, path, facts, settled=settled, stage=stage)
        if same and not closed and not _deserves_another_look(row, facts):
            was = Settled.KNOWN if row.proven else Settled.RESTED
            self._refresh(row, facts, settled=was if row.settled else settled, keep_state=True)
            return Seen.KNOWN, None
        return Seen.CHANGED, self._succeed(row, path, facts, settled=settled, stage=stage)

    def is_buried(self, inbox: bytes, path: bytes, facts: Facts) -> bool:
        """Whether this file was dealt with so long ago that its row is gone."""
        stones = self.ledger.read(
            "SELECT size, mtime_ns, inode, ctime_ns FROM tombstones WHERE inbox = ? AND key = ?",
            (inbox, self.ledger.key(path)),
        )
        return any(
            not differ(Facts(one["size"], one["mtime_ns"], one["inode"], 0, one["ctime_ns"]), facts)
            for one in stones
        )

    def _first_sight(
        self, inbox: bytes, path: bytes, facts: Facts, *, settled: Settled, closed: bool, stage: Stage
    ) -> tuple[Seen, int | None]:
        if not closed and self.is_buried(inbox, path, facts):
            return Seen.KNOWN, None
        return Seen.NEW, self._insert(inbox, path, facts, settled=settled, stage=stage, previous=None)

    def _succeed(
        self, row: PhotoRow, path: bytes, facts: Facts, *, settled: Settled, stage: Stage
    ) -> int | None:
        """A new owed row for a path whose file looks different; the old one steps back until that is sure."""
        self.ledger.write("UPDATE photos SET live = 0 WHERE id = ?", (row.id,))
        previous = row.id if row.state == State.DELIVERING or self.has_cutout(row.id) else row.previous
        return self._insert(row.inbox, path, facts, settled=settled, stage=stage, previous=previous)

    def has_cutout(self, photo: int) -> bool:
        """Whether a cutout of this row lies in an outbox; its successor, if any, then replaces that one.

        A failed or skipped row mostly has none, so that its successor looks through to the last good one; but
        one that failed when it was done again has.
        """
        found = self.ledger.one(
            "SELECT 1 FROM deliverables WHERE photo = ? AND state = 'done' LIMIT 1", (photo,)
        )
        return found is not None

    def _insert(
        self, inbox: bytes, path: bytes, facts: Facts, *, settled: Settled, stage: Stage, previous: int | None
    ) -> int:
        cursor = self.ledger.write(
            "INSERT INTO photos (inbox, path, key, size, mtime_ns, inode, access, ctime_ns, state, settled,"
            " proven, stage, previous, arrived) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?)",
            (
                inbox,
                path,
                self.ledger.key(path),
                facts.size,
                facts.mtime_ns,
                facts.inode,
                facts.access,
                facts.ctime_ns,
                int(settled is not Settled.NOT),
                int(settled is Settled.KNOWN),
                stage,
                previous,
                self.ledger.clock(),
            ),
        )
        return int(cursor.lastrowid or 0)

    def _refresh(self, row: PhotoRow, facts: Facts, *, settled: Settled, keep_state: bool = False) -> None:
        now = (int(settled is not Settled.NOT), int(settled is Settled.KNOWN))
        if row.facts == facts and (row.settled, row.proven) == now:
            return
        moved_on = not keep_state and differ(row.facts, facts)
        self.ledger.write(
            "UPDATE photos SET size = ?, mtime_ns = ?, inode = ?, access = ?, ctime_ns = ?, settled = ?,"
            " proven = ?, attempts = ?, not_before = ? WHERE id = ?",
            (
                facts.size,
                facts.mtime_ns,
                facts.inode,
                facts.access,
                facts.ctime_ns,
                *now,
                0 if moved_on else row.attempts,  # other content: earlier attempts say nothing about it
                0.0 if moved_on else row.not_before,
                row.id,
            ),
        )

    def skip(self, inbox: bytes, path: bytes, facts: Facts, reason: Reason, detail: str = "") -> bool:
        """Records a file that is looked at but never opened; False when that was known already."""
        row = self.live(inbox, path)
        state = State.SKIPPED if reason in SKIPPED else State.FAILED
        if row is None and state is State.SKIPPED and self.is_buried(inbox, path, facts):
            return False
        if row is not None:
            if row.state in (*OWED, State.DONE) or (row.reason == reason and row.facts == facts):
                return False
            if row.state is State.SKIPPED is state and row.reason == reason and not self.has_cutout(row.id):
                # Another of its kind, as where a folder and a link take turns: the row says all that is to be said.
                self._refresh(row, facts, settled=Settled.RESTED, keep_state=True)
                return True
            self.ledger.write("UPDATE photos SET live = 0 WHERE id = ?", (row.id,))
        photo = self._insert(inbox, path, facts, settled=Settled.RESTED, stage=Stage.FINAL, previous=None)
        columns = {"reason": reason, "detail": detail, "finished": self.ledger.clock()}
        self.ledger.move(photo, state, columns)
        return True

    def unsettle(self, inbox: bytes, path: bytes) -> None:
        """A waiting photo is being written again: it is not published before it settles anew."""
        self.ledger.write(
            "UPDATE photos SET settled = 0, proven = 0 WHERE inbox = ? AND key = ? AND live = 1"
            " AND state IN ('pending', 'running')",
            (inbox, self.ledger.key(path)),
        )

    def known_digests(self, row: PhotoRow) -> dict[str, int]:
        """Digests that would mean "no new work" for this row, each with the row it came from (0: tombstone).

        These are the path's earlier content, its tombstones, and finished photos of equal size and time
        whose file may have been renamed to this path.
        """
        if row.forced or row.digest:  # to be done again, or on its second stage
            return {}
        known: dict[str, int] = {}
        for stone in self.ledger.read(
            "SELECT digest FROM tombstones WHERE inbox = ? AND key = ?", (row.inbox, row.key)
        ):
            known[stone["digest"]] = 0
        for other in reversed(self.twins(row)):  # of equal ones the first has the last word
            if other.digest and other.state not in (State.RUNNING, State.DELIVERING):
                known[other.digest] = other.id
        previous = None if row.previous is None else self.get(row.previous)
        if previous is not None and previous.digest:
            known[previous.digest] = previous.id
        return known

    def twins(self, row: PhotoRow, digest: str | None = None) -> list[PhotoRow]:
        """Photos of equal size under other names: copies of it, or what it was called before.

        They have a cutout, or are in hand and may get one (whose content may not be known yet). With a digest also
        those at whose path another file was seen since: theirs may be the file that went to another name.

        Args:
            row: the photo.
            digest: those that are known, or may turn out, to have this content. With None, before it is known,
                those of equal time: a guess that may save the work.
        """
        has_cutout = "EXISTS (SELECT 1 FROM deliverables d WHERE d.photo = photos.id AND d.state = 'done')"
        may_have_one = f"live = 1 AND (state IN ('done', 'running', 'delivering') OR {has_cutout})"
        stepped_back = f"live = 0 AND archived_to IS NULL AND state = 'done' AND {has_cutout}"
        # The unary plus keeps indexes of inbox and size out of it: some cameras make all files equally large.
        alike = "+inbox = ? AND +size = ? AND aftercare = 'none' AND key <> ?"
        values: tuple[Any, ...] = (row.inbox, row.size, row.key)
        if digest is None:
            same_time = "inbox = ? AND size = ? AND mtime_ns = ?"
            query = f"SELECT id FROM photos WHERE {same_time} AND {may_have_one} AND {alike}"
            values = (row.inbox, row.size, row.mtime_ns, *values)
        else:
            # Whoever was ever delivered has a digest: without one are those in hand alone.
            query = (
                f"SELECT id FROM photos WHERE digest = ? AND (({may_have_one}) OR ({stepped_back})) AND {alike}"
                " UNION ALL SELECT id FROM photos"
                f" WHERE state IN ('running', 'delivering') AND +digest IS NULL AND +live = 1 AND {alike}"
            )
            values = (digest, *values, *values)
        # The very file comes first: a copy that was deleted is gone too, and its cutout stays.
        order = "ORDER BY inode = ? DESC, live DESC, digest IS NULL, id DESC LIMIT 20"
        values = (*values, row.inode)
        rows = self.ledger.read(f"SELECT {COLUMNS} FROM photos WHERE id IN ({query}) {order}", values)
        return [photo_row(one) for one in rows]

    def unchanged(self, row: PhotoRow, same_as: int, digest: str) -> None:
        """The content turned out to be known: the row goes, the earlier one learns the new hints."""
        if same_as == 0:
            self.ledger.write(
                "UPDATE tombstones SET size = ?, mtime_ns = ?, inode = ?, ctime_ns = ?"
                " WHERE inbox = ? AND key = ? AND digest = ?",
                (row.size, row.mtime_ns, row.inode, row.ctime_ns, row.inbox, row.key, digest),
            )
            self.ledger.write("DELETE FROM photos WHERE id = ?", (row.id,))
            return
        earlier = self.get(same_as)
        self.ledger.write("DELETE FROM photos WHERE id = ?", (row.id,))
        self.ledger.write(
            "UPDATE photos SET live = 1, path = ?, key = ?, size = ?, mtime_ns = ?, inode = ?, access = ?,"
            " ctime_ns = ?, proven = ? WHERE id = ?",
            (
                row.path,
                row.key,
                row.size,
                row.mtime_ns,
                row.inode,
                row.access,
                row.ctime_ns,
                row.proven,
                same_as,
            ),
        )
        if earlier is not None and earlier.key != row.key:
            # What lies at its earlier name is no successor of it: its cutout comes beside this one, not instead.
            self.ledger.write(
                "UPDATE photos SET previous = NULL WHERE inbox = ? AND key = ? AND live = 1 AND previous = ?",
                (earlier.inbox, earlier.key, same_as),
            )
        if self.has_cutout(same_as):
            said = {"reason": "", "detail": ""}
            self.ledger.move(same_as, State.DONE, said, only_from=(State.SUPERSEDED,))
            # It was away when another cutout was owed, a final or what a `redo` asked for: that still is.
            afresh = {**said, "attempts": 0, "not_before": 0.0, "forced": 1, "settled": row.settled}
            self.ledger.move(same_as, State.PENDING, afresh, only_from=(State.SKIPPED,))

    def paths_to_recheck(self, inbox: bytes) -> list[ToRecheck]:
        """Failed photos, and those in hand that still settle, to be looked for."""
        rows = self.ledger.read(
            "SELECT id, path, state, reason FROM photos WHERE inbox = ? AND live = 1 AND path IS NOT NULL"
            " AND aftercare <> 'hidden' AND (state = 'failed' OR (state = 'running' AND settled = 0)) ORDER BY id",
            (inbox,),
        )
        return [ToRecheck(row["id"], row["path"], State(row["state"]), row["reason"]) for row in rows]

    def unopened(self, inbox: bytes, after: int, count: int) -> list[ToRecheck]:
        """Files that were skipped unopened, by id and beyond the one with this id."""
        rows = self.ledger.read(
            f"SELECT id, path, state, reason FROM photos WHERE {_UNOPENED} AND inbox = ? AND path IS NOT NULL"
            " AND id > ? ORDER BY id LIMIT ?",
            (inbox, after, count),
        )
        return [ToRecheck(row["id"], row["path"], State(row["state"]), row["reason"]) for row in rows]

    def is_unopened(self, inbox: bytes, path: bytes) -> bool:
        """Whether the file at a path was skipped unopened."""
        asked = f"SELECT 1 FROM photos WHERE {_UNOPENED} AND inbox = ? AND key = ?"
        return self.ledger.one(asked, (inbox, self.ledger.key(path))) is not None

    def gone_unopened(self, inbox: bytes, path: bytes) -> None:
        """A file that was skipped unopened is gone: a name under which a photo was written, or a film put elsewhere.

        Nothing was ever made of it, so that there is nothing to remember either.
        """
        self.ledger.write(
            f"DELETE FROM photos WHERE {_UNOPENED} AND inbox = ? AND key = ?"
            " AND NOT EXISTS (SELECT 1 FROM deliverables WHERE photo = photos.id)",
            (inbox, self.ledger.key(path)),
        )

    def gone_after_failure(self, photo: int) -> None:
        """A failed photo whose file is gone is no longer anybody's concern."""
        row = self.get(photo)
        if row is not None and row.live and row.archived_to is None and row.aftercare is not Aftercare.HIDDEN:
            gone = {"reason": Reason.VANISHED}
            self.ledger.move(photo, State.SKIPPED, gone, only_from=(State.FAILED,))

    def permitted(self, photo: int) -> None:
        """A photo that failed because it might not be read, and may be by now, is tried as if it were new."""
        row = self.get(photo)
        if row is not None and row.reason == Reason.NO_PERMISSION and row.live and row.archived_to is None:
            afresh = {"reason": "", "detail": "", "attempts": 0, "not_before": 0.0}
            self.ledger.move(photo, State.PENDING, afresh, only_from=(State.FAILED,))


def _deserves_another_look(row: PhotoRow, facts: Facts) -> bool:
    """Whether an unchanged file is tried again anyway: it came back, or its permissions were changed."""
    return row.reason in REFUTED or (row.reason == Reason.NO_PERMISSION and row.access != facts.access)
