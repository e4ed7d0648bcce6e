"""Gives waiting photos to free workers and turns what comes back into ledger rows; it publishes nothing itself.

All methods run in the supervisor's loop.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cutoutd.config.errors import PhotoError, Reason, printable
from cutoutd.config.output import Deliverable
from cutoutd.daemon import job as jobs
from cutoutd.daemon import workers as pool
from cutoutd.daemon.backlog import Backlog, Budget, alone
from cutoutd.daemon.caretaker import Caretaker
from cutoutd.daemon.courier import OF_THE_NAME, Courier
from cutoutd.daemon.intake import Intake, PhotoRow, State
from cutoutd.daemon.ledger import Ledger
from cutoutd.daemon.listener import Listener, PhotoEvent
from cutoutd.daemon.names import Temporary, mirrored_folder
from cutoutd.daemon.outcomes import Outcomes
from cutoutd.daemon.plan import InboxPlan, PhotoOptions, Plan, options_for

# The tag of the bundled test photo; ledger rows count from 1.
SELF_TEST = -1
SELF_TEST_LIMIT_S = 120.0
# A photo that was renamed while its old name is in a worker's hand is looked at again after this long.
RENAMED_PAUSE_S = 1.0
# While even the test photo kills workers, it is tried again after this long, which doubles up to a minute.
SELF_TEST_FIRST_S, SELF_TEST_LONGEST_S = 5.0, 60.0


@dataclass(slots=True)
class InHand:
    """One photo that a worker has, or whose finished cutout waits for its file to settle."""

    row: PhotoRow
    plan: InboxPlan
    orders: tuple[Deliverable, ...]
    known: Mapping[str, int]
    temporaries: tuple[bytes, ...]
    started: float
    finished: jobs.Finished | None = None
    delivering: bool = False


@dataclass(slots=True)
class _Suspect:
    row: PhotoRow
    reason: Reason
    detail: str


_CAUSES = {
    "timeout": (Reason.TOO_SLOW, "It took longer than limits.time_per_photo allows; raise that setting."),
    "out-of-memory": (
        Reason.OUT_OF_MEMORY,
        "It needs more memory than a worker may use; raise limits.worker_memory.",
    ),
    "crashed": (Reason.CRASHED, "The decoder or the engine crashed on it."),
}


@dataclass(slots=True)
class Dispatcher:
    """The middle of the daemon: slots on one side, ledger rows on the other."""

    ledger: Ledger
    outcomes: Outcomes
    backlog: Backlog
    workers: pool.Workers
    courier: Courier
    caretaker: Caretaker
    listener: Listener
    plan: Plan
    budget: Budget
    instance: str
    umask: int
    on_outbox_trouble: Callable[[bytes, str], None]
    on_confined: Callable[[], None]
    outbox_inode: Callable[[Path], tuple[int, int] | None]
    clock: Callable[[], float] = time.monotonic
    in_hand: dict[int, InHand] = field(default_factory=dict[int, InHand])
    paused: dict[bytes, str] = field(default_factory=dict[bytes, str])
    stopped: bool = False
    ailing: str = ""
    _suspects: list[_Suspect] = field(default_factory=list[_Suspect])
    _testing: bool = False
    _test_at: float = 0.0
    # A new number for each try, in this life and (by the clock) after the last one's: what clears up after an
    # earlier try may still wait on a slow outbox's thread.
    _tries: Iterator[int] = field(default_factory=lambda: itertools.count(int(time.time())))
    _test_pause_s: float = SELF_TEST_FIRST_S

    # --- giving out ------------------------------------------------------------------------------------------

    def dispatch(self) -> bool:
        """Fills free slots. Returns whether any photo is waiting or in hand."""
        if self._suspects or self.ailing:
            self._examine()
            return True
        if self.stopped:
            return bool(self.in_hand)
        while self.workers.free():
            pick = self.backlog.next(self.budget, now=self.ledger.clock(), paused=frozenset(self.paused))
            if pick is None:
                break
            self._start(*pick)
        return bool(self.in_hand)

    def _start(self, row: PhotoRow, allowance_mp: float) -> None:
        inbox = self.plan.inbox(row.inbox)
        if inbox is None or row.path is None:
            self.outcomes.ended(row.id, Reason.VANISHED, "Its inbox is no longer in the config.")
            return
        overrides: dict[str, Any] = json.loads(row.overrides) if row.overrides else {}
        options = options_for(inbox.settings, self.plan.settings.limits, overrides)
        model = inbox.model(row.stage)
        known = Intake(self.ledger).known_digests(row)
        job = self._job(row, inbox, options, allowance_mp, known)
        self.outcomes.started(row.id, "", model.name)
        self.ledger.commit()
        self.budget.take(row.id, float("inf") if alone(row) else row.megapixels or allowance_mp)
        self.in_hand[row.id] = InHand(row, inbox, options.orders, known, job.temporaries, self.clock())
        self.workers.submit(row.id, jobs.run_job, job, limit_s=self.plan.settings.limits.time_per_photo)
        self.listener.photo_started(self.event(row))

    def _job(
        self,
        row: PhotoRow,
        inbox: InboxPlan,
        options: PhotoOptions,
        allowance_mp: float,
        known: Mapping[str, int],
    ) -> jobs.Job:
        path = row.path or b""
        outbox = os.fsencode(inbox.settings.outbox)
        date = time.strftime("%Y-%m-%d", time.localtime(row.mtime_ns / 1e9))
        attempt = next(self._tries)
        temporaries = tuple(
            os.path.join(
                outbox,
                mirrored_folder(path, order.folder, date=date, label=order.label),
                Temporary(self.instance, row.id, attempt, index).name(),
            )
            for index, order in enumerate(options.orders)
        )
        lone = (
            self.budget.in_hand == 0
            and self.ledger.one("SELECT 1 FROM photos WHERE state = 'pending' AND id <> ? LIMIT 1", (row.id,))
            is None
        )
        return jobs.Job(
            photo=row.id,
            path=row.archived_to or os.path.join(row.inbox, path),
            name=printable(os.path.basename(path)),
            model=inbox.model(row.stage).name,
            orders=options.orders,
            outboxes=(outbox,) * len(options.orders),
            temporaries=temporaries,
            matte=options.matte,
            limits=options.limits,
            allowance_mp=allowance_mp,
            known=dict(known),
            lone=lone,
            folder_mode=0o777 & ~self.umask_of(inbox),
            manifest=inbox.settings.manifest,
            outbox_inode=self.outbox_inode(inbox.settings.outbox),
        )

    def umask_of(self, inbox: InboxPlan) -> int:
        """The mode mask for what is published from an inbox."""
        return int(inbox.settings.umask, 8) if inbox.settings.umask else self.umask

    # --- taking back -----------------------------------------------------------------------------------------

    def finished(self, event: pool.Finished) -> None:
        """A worker returned a result."""
        if event.tag == SELF_TEST:
            self._test_passed()
            return
        hand = self.in_hand.get(event.tag)
        row = self._row(event.tag)
        if hand is None or row is None:
            self._let_go(event.tag)
            return
        result: jobs.Result = event.result
        if isinstance(result, jobs.Finished):
            self.budget.take(event.tag, 0.0)  # its pixels are gone from memory
            hand.finished = result
            for note in result.notes:
                self.listener.notice(f"{self.event(row).name}: {note}")
            self.settle(event.tag)
            return
        self._let_go(event.tag)
        if _moved_on(hand.row, row) and isinstance(result, jobs.Unchanged | jobs.Refused):
            self.outcomes.again(row.id)  # the answer may be about bytes that are no longer there
        elif isinstance(result, jobs.Unchanged):
            self._unchanged(row, result)
        elif isinstance(result, jobs.OverBudget):
            self.outcomes.learned_megapixels(row.id, result.megapixels)
        elif isinstance(result, jobs.Changed):
            self._changed(row)
        elif isinstance(result, jobs.OutboxRefused) and result.code in OF_THE_NAME:
            self.name_refused(row, os.strerror(result.code))
        elif isinstance(result, jobs.OutboxRefused):
            self.outcomes.again(row.id)
            self.on_outbox_trouble(row.inbox, result.detail)
        else:
            self._refused(row, result.reason, result.detail)

    def failed(self, event: pool.Failed) -> None:
        """The worker's function raised something unforeseen; the worker lives."""
        if event.tag == SELF_TEST:
            self.on_confined()  # it lives on, and may itself be what is ill: the next try is a new worker's
            self._test_failed(str(event.error))
            return
        row = self._row(event.tag)
        self._let_go(event.tag)
        if row is None:
            return
        error = event.error
        if isinstance(error, PhotoError):
            self._refused(row, error.reason, str(error))
            return
        # A fault of ours or a library's would hit every photo: the test photo tells whether this one is to blame.
        self.outcomes.again(row.id)
        detail = f"Processing it failed unexpectedly ({type(error).__name__}: {error})."
        self._suspects.append(_Suspect(row, Reason.CRASHED, detail))

    def died(self, event: pool.Died) -> None:
        """The worker is gone; whether the photo is to blame is decided after the test photo ran."""
        if event.tag == SELF_TEST:
            self._test_failed(event.detail)
            return
        row = self._row(event.tag)
        self._let_go(event.tag)
        if row is None:
            return
        if event.cause == "killed":  # we ended it: the photo is simply owed
            self.outcomes.again(row.id)
            return
        reason, sentence = _CAUSES[event.cause]
        self.outcomes.again(row.id)
        self._suspects.append(_Suspect(row, reason, f"{sentence} ({event.detail})"))

    def _row(self, photo: int) -> PhotoRow | None:
        return Intake(self.ledger).get(photo)

    def _let_go(self, photo: int) -> None:
        self.in_hand.pop(photo, None)
        self.budget.release(photo)

    def settle(self, photo: int) -> None:
        """Publishes a finished photo once its file is known to be complete and to be what was read."""
        hand = self.in_hand.get(photo)
        if hand is None or hand.finished is None or hand.delivering:
            return
        row = self._row(photo)
        if row is None:
            self.courier.discard(hand.row.inbox, hand.finished)
            self._let_go(photo)
            return
        read = hand.finished
        moved_on = row.archived_to is None and (row.size, row.mtime_ns, row.inode) != (
            read.size,
            read.mtime_ns,
            read.inode,
        )
        if moved_on:
            self.courier.discard(row.inbox, read)
            self._let_go(photo)
            self._changed(row)
        elif row.settled and self._renamed(row, read.digest):
            self.courier.discard(row.inbox, read)
            self._let_go(photo)
        elif row.settled:
            hand.delivering = True
            self.courier.deliver(row, read, hand.orders)

    def released(self, photo: int) -> None:
        """The courier no longer holds the photo."""
        self._let_go(photo)

    def gone(self, photo: int) -> None:
        """The file vanished before it settled: a finished result is dropped, a waiting row ends."""
        hand = self.in_hand.get(photo)
        row = self._row(photo)
        if row is None or (hand is not None and (hand.finished is None or hand.delivering)):
            return  # a reader will find it missing by itself
        if hand is not None and hand.finished is not None:
            self.courier.discard(row.inbox, hand.finished)
            self._let_go(photo)
        if row.state in (State.PENDING, State.RUNNING):
            self.outcomes.ended(photo, Reason.VANISHED, "It was gone before it could be read.")

    def _changed(self, row: PhotoRow) -> None:
        if row.settled:
            self.outcomes.changed_while_read(row)
        else:
            self.outcomes.again(row.id)

    def _unchanged(self, row: PhotoRow, result: jobs.Unchanged) -> None:
        other = self._row(result.same_as) if result.same_as else None
        if other is None or other.key == row.key or other.path is None:
            self._known(row, result.same_as, result.digest)
            return
        if self._renamed(row, result.digest):
            return
        # Not a rename: a copy, which owes its own cutout.
        self.ledger.write("UPDATE photos SET state = 'pending', forced = 1 WHERE id = ?", (row.id,))

    def _renamed(self, row: PhotoRow, digest: str) -> bool:
        """Whether the photo had another name before, under which it has its cutout or just gets it."""
        if row.forced or row.digest:
            return False
        for twin in Intake(self.ledger).twins(row, digest):
            if twin.path is None or os.path.lexists(os.path.join(twin.inbox, twin.path)):
                continue
            if twin.state in (State.RUNNING, State.DELIVERING):
                self.outcomes.again(row.id, pause_s=RENAMED_PAUSE_S)  # what becomes of it shows soon
            else:
                self._known(row, twin.id, digest)
            return True
        return False

    def _known(self, row: PhotoRow, same_as: int, digest: str) -> None:
        """The file is one that is done: its row follows, and what was to become of the original still does.

        After-care that was due when the file was renamed found nothing under the old name and gave up.
        """
        Intake(self.ledger).unchanged(row, same_as, digest)
        done = self._row(same_as) if same_as else None
        inbox = self.plan.inbox(row.inbox)
        if done is None or inbox is None or inbox.settings.after.action == "keep":
            return
        if done.state == State.DONE and done.aftercare == "none" and done.archived_to is None:
            self.outcomes.aftercare(done.id, "owed")
            self.caretaker.after(done.id)

    def _refused(self, row: PhotoRow, reason: Reason, detail: str) -> None:
        if not row.settled and reason is not Reason.VANISHED:
            # It may simply not be complete yet: look again when it is.
            self.outcomes.again(row.id, pause_s=max(1.0, 2 * self._settle_s(row)))
            return
        if reason is Reason.NO_PERMISSION and row.path is not None:
            path = row.archived_to or os.path.join(row.inbox, row.path)
            if os.access(path, os.R_OK):  # it is the worker that may not: bound to a folder that is no more
                self.on_confined()
        self._tried(row, reason, detail)

    def name_refused(self, row: PhotoRow, why: str) -> None:
        """The outbox cannot hold this one cutout's name or path; others are not held up by it."""
        detail = f"The outbox refuses the name or the folder of its cutout ({why})."
        self._tried(row, Reason.CANNOT_RENDER, f"{detail} Give the photo a shorter or plainer name.")

    def _settle_s(self, row: PhotoRow) -> float:
        inbox = self.plan.inbox(row.inbox)
        return 0.5 if inbox is None else inbox.settings.settle

    def _tried(self, row: PhotoRow, reason: Reason, detail: str) -> None:
        again = self.outcomes.tried(row, reason, detail)
        event = self.event(row, reason=reason, detail=detail)
        if again:
            self.listener.photo_retry(event)
            return
        ended = self._row(row.id)
        if ended is not None and ended.state == State.FAILED:
            self.caretaker.failed(row, reason, detail)
            self.listener.photo_failed(event)

    def trouble(self, inbox: bytes, why: str) -> None:
        """An outbox cannot be used: its inbox pauses until it can; no photo is blamed."""
        if inbox not in self.paused:
            self.listener.warning(
                f"Photos of {printable(inbox)} wait: {why}. Nothing is lost; it goes on by itself."
            )
        self.paused[inbox] = why

    # --- the test photo --------------------------------------------------------------------------------------

    def _examine(self) -> None:
        if self._testing or self.clock() < self._test_at or not self.workers.free():
            return
        self._testing = True
        self.workers.submit(SELF_TEST, jobs.run_self_test, self.plan.engines, limit_s=SELF_TEST_LIMIT_S)

    def _test_passed(self) -> None:
        self._testing = False
        self._test_pause_s = SELF_TEST_FIRST_S
        if self.ailing:
            self.ailing = ""
            self.listener.notice("The engine works again; photos are taken up.")
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            row = self._row(suspect.row.id)
            if row is not None and row.state == State.PENDING and not _moved_on(suspect.row, row):
                self._tried(row, suspect.reason, suspect.detail)

    def _test_failed(self, why: str) -> None:
        self._testing = False
        self._suspects.clear()  # no photo is to blame
        self._test_at = self.clock() + self._test_pause_s
        self._test_pause_s = min(SELF_TEST_LONGEST_S, self._test_pause_s * 2)
        if not self.ailing:
            self.listener.warning(
                f"Even the built-in test photo cannot be processed ({why}). Photos wait and none is marked failed; "
                "run `cutoutd doctor`."
            )
        self.ailing = why

    def next_due(self) -> float:
        """Monotonic time of the next try of the test photo, or infinity."""
        return self._test_at if self.ailing and not self._testing else float("inf")

    def temporaries(self) -> frozenset[bytes]:
        """Absolute paths of temporaries that belong to photos in hand."""
        return frozenset(name for hand in self.in_hand.values() for name in hand.temporaries)

    def temporaries_by_outbox(self) -> dict[Path, list[bytes]]:
        """The same, for tidying up at the end."""
        found: dict[Path, list[bytes]] = {}
        for hand in self.in_hand.values():
            found.setdefault(hand.plan.settings.outbox, []).extend(hand.temporaries)
        return found

    # --- words -----------------------------------------------------------------------------------------------

    def event(self, row: PhotoRow, *, reason: str = "", detail: str = "") -> PhotoEvent:
        """What listeners hear of a row."""
        hand = self.in_hand.get(row.id)
        inbox = self.plan.inbox(row.inbox)
        named = self.plan.settings.log.filenames and row.path is not None
        return PhotoEvent(
            photo=row.id,
            inbox=inbox.settings.label if inbox is not None else printable(row.inbox),
            name=printable(row.path or b"") if named else f"photo {row.id}",
            reason=reason,
            detail=detail if named else "",
            seconds=0.0 if hand is None else self.clock() - hand.started,
        )

    def done_event(self, row: PhotoRow, paths: list[bytes], timings: Mapping[str, float]) -> PhotoEvent:
        """What listeners hear of a delivered photo."""
        named = self.plan.settings.log.filenames
        return replace(
            self.event(row),
            outputs=tuple(printable(path) for path in paths) if named else (),
            seconds=sum(timings.values()),
            timings=dict(timings),
        )


def _moved_on(before: PhotoRow, now: PhotoRow) -> bool:
    """Whether another file was seen at the photo's path since."""
    return now.archived_to is None and (before.size, before.mtime_ns, before.inode) != (
        now.size,
        now.mtime_ns,
        now.inode,
    )
