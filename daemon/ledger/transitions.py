"""What became of a photo in hand, as ledger rows: retries, failures, deliveries; it touches no file.

Which state may follow which is not decided here: `states.py` has the table, and every step goes through it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cutoutd.config.errors import SKIPPED, Reason
from cutoutd.daemon.backoff import backoff_s
from cutoutd.daemon.files.names import name_key
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.outbox_names import leave_outdated
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import COLUMNS, Delivery, PhotoRow, delivery_row, doubts_text, photo_row
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.retry_rules import RetryRule
from cutoutd.daemon.ledger.states import Aftercare, DeliveryState, Stage, State
from cutoutd.daemon.ledger.wishes import given_up, only_a_wish

# After this many deaths of the daemon with a photo in hand it runs alone and last: it may be the cause.
INTERRUPTIONS_ALONE = 3
# A photo may come back this often without a pause: for a reload, an outbox's absence, a file that was written anew.
AGAINS_AT_ONCE = 3
# And after this many it fails as crashed, with its name, instead of taking the daemon down for ever.
INTERRUPTIONS_FAILED = 6


# Begins the detail of a photo whose original could not be moved yet.
AFTERCARE = "after-care: "

NEVER_THE_SAME = (
    "Each time it was read, something else lay at its name. It is taken up again as soon as it changes;"
    " `cutoutd retry` tries it at once."
)


class Transitions:
    """Moves rows from pending through running and delivering to their end."""

    def __init__(self, ledger: Ledger, rules: Mapping[str, RetryRule]) -> None:
        self.ledger = ledger
        self._rules = dict(rules)
        self._agains: dict[int, int] = {}  # of photos that came back to pending and did not end since
        self._intake = Intake(ledger)

    def follow(self, rules: Mapping[str, RetryRule]) -> None:
        """Other limits are in force."""
        self._rules = dict(rules)

    def get(self, photo: int) -> PhotoRow | None:
        """The row with this id."""
        return self._intake.get(photo)

    def _move(self, photo: int, to: State, **columns: Any) -> None:
        self.ledger.move(photo, to, columns)

    def started(self, photo: int, model: str) -> None:
        """A worker has the photo in hand."""
        self._move(photo, State.RUNNING, started=self.ledger.clock(), model=model)

    def again(self, photo: int, *, pause_s: float = 0.0, settled: bool | None = None) -> None:
        """Back to pending without counting an attempt; the more often in a row, the longer it waits.

        Args:
            photo: the row.
            pause_s: how long it waits at least.
            settled: whether its file is known to be complete; unset, as it was.
        """
        count = self._agains[photo] = self._agains.get(photo, 0) + 1
        pause_s = max(pause_s, backoff_s(count - AGAINS_AT_ONCE, 1.0, 60.0))
        known = {} if settled is None else {"settled": int(settled)}
        self._move(
            photo, State.PENDING, not_before=self.ledger.clock() + pause_s if pause_s else 0.0, **known
        )

    def forced(self, photo: int) -> None:
        """A copy of a known photo: it owes its own cutout all the same."""
        self._move(photo, State.PENDING, forced=1)

    def without_its_wish(self, photo: int) -> None:
        """What a `redo` asked for was meant for what lay there then: the photo is made as its inbox says."""
        self._move(photo, State.PENDING, overrides="")

    def learned_megapixels(self, photo: int, megapixels: float) -> None:
        """The photo did not fit the budget: back to pending with its size known."""
        self._move(photo, State.PENDING, megapixels=megapixels)

    def tried(
        self, row: PhotoRow, reason: Reason, detail: str, rule: RetryRule | None = None, *, so_far: str = ""
    ) -> bool:
        """Counts an attempt that ended with `reason`.

        Args:
            row: the photo.
            reason: why it was not cut out.
            detail: a sentence about it.
            so_far: the sentence while it is still tried; the same, if not given.
            rule: how often it is tried; the one for the reason, if not given.

        Returns:
            True when the photo will be tried again, False when it has failed (or is skipped) for good.
        """
        attempts = row.attempts + 1
        rule = rule or self._rules.get(reason, RetryRule(1))
        if attempts < rule.attempts:
            self._move(
                row.id,
                State.PENDING,
                attempts=attempts,
                not_before=self.ledger.clock() + rule.pause_s(attempts),
                reason=reason,
                detail=so_far or detail,
            )
            return True
        self.ended(row.id, reason, detail, attempts=attempts)
        return False

    def ended(self, photo: int, reason: Reason, detail: str, *, attempts: int = 1) -> None:
        """The photo has failed or is skipped; its earlier cutout, if any, stays; for a wish in vain, all does."""
        self._agains.pop(photo, None)
        row = self._intake.get(photo)
        if row is not None and only_a_wish(row, reason, has_cutout=self._intake.has_cutout(photo)):
            self._move(photo, State.DONE, **given_up(row, detail))
            return
        self._leave_original(photo)  # that was to be moved when it was ordered anew
        self._move(
            photo,
            State.SKIPPED if reason in SKIPPED else State.FAILED,
            reason=reason,
            detail=detail,
            attempts=attempts,
            finished=self.ledger.clock(),
            forced=0,
        )

    def _leave_original(self, photo: int) -> None:
        self.ledger.write(
            "UPDATE photos SET aftercare = 'none' WHERE id = ? AND aftercare = 'owed'", (photo,)
        )

    def changed_while_read(self, row: PhotoRow) -> int:
        """The file is not what was read: the row is superseded and a fresh one owed. Returns its id.

        A row that already has a cutout (done again, or on its second stage) stays as the one to be replaced.
        An original in an archive is no path that a camera writes to: it is simply read once more.
        """
        if row.archived_to is not None:
            self.again(row.id)
            return row.id
        attempts = row.attempts + 1
        rule = self._rules.get(Reason.BUSY, RetryRule(1))
        if attempts >= rule.attempts:
            self.ended(row.id, Reason.BUSY, NEVER_THE_SAME, attempts=attempts)
            return row.id
        # At once the first time; a path that shows the reader another file than the scan is not tried in a circle.
        now = self.ledger.clock()
        replaced = self._intake.has_cutout(row.id)
        self._move(row.id, State.DONE if replaced else State.SUPERSEDED, live=0, finished=now)
        # Done again before its original was moved: what lies there now is another photo's, or no longer what it was.
        self._leave_original(row.id)
        cursor = self.ledger.write(
            "INSERT INTO photos (inbox, path, key, size, mtime_ns, inode, access, ctime_ns, state, settled,"
            " proven, stage, forced, overrides, previous, arrived, attempts, not_before)"
            " SELECT inbox, path, key, size, mtime_ns, inode, access, ctime_ns, 'pending', settled,"
            " proven, stage, forced, overrides, ?, arrived, ?, ? FROM photos WHERE id = ?",
            (
                row.id if replaced else row.previous,
                attempts,
                now + rule.pause_s(row.attempts) if row.attempts else 0.0,
                row.id,
            ),
        )
        return int(cursor.lastrowid or 0)

    def deliveries(self, photo: int) -> list[Delivery]:
        """The photo's deliverables that are on their way or lie in an outbox."""
        rows = self.ledger.read(
            "SELECT * FROM deliverables WHERE photo = ? AND state IN ('delivering', 'done') ORDER BY id",
            (photo,),
        )
        return [delivery_row(row) for row in rows]

    def earlier(self, row: PhotoRow) -> dict[str, Delivery]:
        """By label, our cutouts that this photo's new ones replace: its own, or those of earlier content."""
        own = {d.label: d for d in self.deliveries(row.id) if d.state is DeliveryState.DONE}
        previous = None if row.previous is None else self._intake.get(row.previous)
        if previous is None or previous.archived_to is not None or previous.aftercare is not Aftercare.NONE:
            return own  # an earlier frame's original is elsewhere: its cutout is the only one, it stays
        # Both, since a crash may have left some of this row's cutouts published and others not.
        return {d.label: d for d in self.deliveries(previous.id) if d.state is DeliveryState.DONE} | own

    def delivering(
        self,
        row: PhotoRow,
        digest: str,
        deliveries: Sequence[Delivery],
        *,
        confidence: float | None = None,
        doubts: Iterable[str] = (),
    ) -> bool:
        """Commits, on the disk, every name before it is tried. False when a name has been taken meanwhile.

        Args:
            row: the photo.
            digest: of its content.
            deliveries: the names, and what is to lie under them.
            confidence: the expected overlap of the cutout with the truth, 0..1; None where nobody can say.
            doubts: why somebody should look at it; none where nobody need.
        """
        judged = {"confidence": confidence, "doubts": doubts_text(doubts)}
        try:
            with self.ledger.durably():
                for delivery in deliveries:
                    self._give_up(row, delivery)
                for delivery in deliveries:
                    self._claim(row, delivery)
                self._move(row.id, State.DELIVERING, digest=digest, **judged)
        except sqlite3.IntegrityError:
            return False
        return True

    def _give_up(self, row: PhotoRow, delivery: Delivery) -> None:
        """What makes room for this one."""
        # What the row has under another name by an earlier setting (a format, a name) is withdrawn once this one is
        # there; see outbox_names.py. So is what this one does not replace in its place.
        if delivery.leaves is not None:  # with its name, which may not have been kept, until it is withdrawn
            gone = delivery.leaves
            self.ledger.write(
                "UPDATE deliverables SET state = 'leaving', gives_way_to = ?, name = ?, name_key = ?"
                " WHERE id = ? AND state = 'done'",
                (row.id, gone.name, name_key(gone.name), gone.id),
            )
        self.ledger.write(
            "UPDATE deliverables SET state = 'leaving', gives_way_to = photo WHERE photo = ? AND label = ?"
            " AND state = 'done' AND outbox = ? AND name_key <> ? AND name IS NOT NULL",
            (row.id, delivery.label, delivery.outbox, delivery.name_key),
        )
        # An earlier claim of this label by this row gives its name up, and so does whatever this row, or the one that
        # it follows, has under this name: its label may be another since.
        self.ledger.write(
            "UPDATE deliverables SET state = 'replaced' WHERE state IN ('delivering', 'done')"
            " AND ((photo = ? AND label = ?)"
            " OR (photo IN (?, ?) AND outbox = ? AND name_key IN (?, nameless(?))))",
            (
                row.id,
                delivery.label,
                row.id,
                row.previous,
                delivery.outbox,
                delivery.name_key,
                delivery.name_key,
            ),
        )

    def _claim(self, row: PhotoRow, delivery: Delivery) -> None:
        """The name is this one's from now on. Raises sqlite3.IntegrityError."""
        # Names may have been forgotten since this one was found to be free, or another's to replace.
        held = (
            "SELECT 1 FROM deliverables WHERE outbox = ? AND name_key = nameless(?)"
            " AND state IN ('delivering', 'done')"
        )
        if self.ledger.one(held, (delivery.outbox, delivery.name_key)) is not None:
            raise sqlite3.IntegrityError("another photo holds this name")
        self.ledger.write(
            "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, out_size, replaces,"
            " temporary, manifest, stage, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'delivering')",
            (
                row.id,
                delivery.label,
                delivery.outbox,
                delivery.name,
                delivery.name_key,
                delivery.out_digest,
                delivery.out_size,
                delivery.replaces,
                delivery.temporary,
                delivery.manifest,
                row.stage,
            ),
        )

    def delivered(
        self, row: PhotoRow, *, timings: Mapping[str, float], aftercare: Aftercare, next_stage: Stage | None
    ) -> None:
        """All deliverables lie whole in their outboxes.

        Args:
            row: the photo.
            timings: seconds per stage.
            aftercare: whether the original is to be moved, or how far that has come.
            next_stage: the better cutout that is owed after this draft, else None.
        """
        self._agains.pop(row.id, None)
        self.ledger.write(
            "UPDATE deliverables SET state = 'done', temporary = NULL"
            " WHERE photo = ? AND state = 'delivering'",
            (row.id,),
        )
        if row.previous is not None:
            leave_outdated(self.ledger, row.id)
            if not self._intake.has_cutout(row.previous):
                self.ledger.move(row.previous, State.SUPERSEDED, {"live": 0}, only_from=(State.DONE,))
        if row.overrides:
            Remarks(self.ledger).made_with(row.id, Overrides.from_json(row.overrides).corrections)
        columns = {
            "forced": 0,
            "overrides": "" if next_stage is None else row.overrides,  # the final is made as the draft was
            "reason": "",
            "detail": "",
            "attempts": 0,
            "interruptions": 0,
            "finished": self.ledger.clock(),
            "timings": json.dumps({k: round(v, 4) for k, v in timings.items()}),
            "aftercare": aftercare if next_stage is None else row.aftercare,
        }
        self.ledger.move(
            row.id,
            State.DONE if next_stage is None else State.PENDING,
            columns,
            stage=Stage.FINAL,
        )

    def interrupted(self, row: PhotoRow) -> None:
        """The daemon ended while the photo was in hand: an interruption, not an attempt."""
        count = row.interruptions + 1
        if count >= INTERRUPTIONS_FAILED:
            self.ended(row.id, Reason.CRASHED, f"The daemon ended {count} times with this photo in hand")
            return
        self._move(row.id, State.PENDING, interruptions=count)

    def in_state(self, state: State) -> list[PhotoRow]:
        """All rows in a state, oldest first."""
        rows = self.ledger.read(f"SELECT {COLUMNS} FROM photos WHERE state = ? ORDER BY id", (state,))
        return [photo_row(row) for row in rows]

    def aftercare(
        self, photo: int, status: Aftercare, *, hidden: bytes | None = None, to: bytes | None = None
    ) -> None:
        """Records how far the original's after-care has come; when done, the path is free for new photos.

        Where it stays, or begins anew, it lies in its inbox, and nowhere that was planned for it before.
        """
        self.ledger.write(
            "UPDATE photos SET aftercare = ?, hidden_name = ?,"
            " archived_to = CASE WHEN ? IN ('none', 'owed') THEN NULL ELSE coalesce(?, archived_to) END,"
            " live = CASE WHEN ? = 'done' THEN 0 ELSE live END,"
            " detail = CASE WHEN ? = 'done' AND detail LIKE ? THEN '' ELSE detail END WHERE id = ?",
            (status, hidden, status, to, status, status, f"{AFTERCARE}%", photo),
        )

    def hiding(self, photo: int, hidden: bytes) -> bool:
        """Commits that an original gets this name of ours; False where its photo is to be done again by now."""
        cursor = self.ledger.write(
            "UPDATE photos SET aftercare = 'hidden', hidden_name = ?"
            " WHERE id = ? AND aftercare = 'owed' AND state IN ('done', 'failed')",
            (hidden, photo),
        )
        return bool(cursor.rowcount)

    def aftercare_failed(self, photo: int, why: str) -> None:
        """The original could not be moved: it stays, `status` says so, and it is tried again.

        A failed photo's detail says why it failed.
        """
        self.ledger.write(
            "UPDATE photos SET detail = ? WHERE id = ? AND state = 'done'", (f"{AFTERCARE}{why}", photo)
        )

    def promised_temporaries(self) -> frozenset[bytes]:
        """Absolute paths of temporaries that are committed to be published."""
        rows = self.ledger.read(
            "SELECT temporary FROM deliverables WHERE state = 'delivering' AND temporary IS NOT NULL"
        )
        return frozenset(row["temporary"] for row in rows)

    def given_back(self, photo: int, ctime_ns: int) -> None:
        """The original has its name again, and by that a new change time; its after-care begins anew."""
        self.ledger.write(
            "UPDATE photos SET aftercare = 'owed', hidden_name = NULL, archived_to = NULL, ctime_ns = ?"
            " WHERE id = ? AND aftercare = 'hidden'",
            (ctime_ns, photo),
        )
