"""Gives waiting photos to free workers and turns what comes back into ledger rows; it publishes nothing itself.

All methods run in the supervisor's loop.
"""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cutoutd.config.errors import PhotoError, Reason, UsageError, mistake, printable
from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Inbox
from cutoutd.config.timeouts import run_with_timeout
from cutoutd.daemon.backoff import backoff_s
from cutoutd.daemon.delivery.outboxes import Outboxes
from cutoutd.daemon.delivery.publisher import (
    OF_THE_NAME,
    Delivered,
    NameRefused,
    OutboxTrouble,
    Outcome,
    PlaceRefused,
    Publisher,
)
from cutoutd.daemon.dispatch.claims import MOST_CLAIMS, ROOM_BYTES, Claims
from cutoutd.daemon.dispatch.job_builder import Circumstances, make_job, root_of
from cutoutd.daemon.dispatch.order_rules import LineError, ListError
from cutoutd.daemon.dispatch.photo_options import options_for
from cutoutd.daemon.dispatch.renames import LOOK_S, RenameDetector
from cutoutd.daemon.dispatch.scheduler import NOTHING_HELD, Budget, Scheduler, alone
from cutoutd.daemon.dispatch.self_test import SELF_TEST, SelfTest, Suspect
from cutoutd.daemon.dispatch.worker_manager import WorkerManager
from cutoutd.daemon.events import Listener, PhotoEvent
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.ledger import faults
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, PhotoRow, differ
from cutoutd.daemon.ledger.retry_rules import RetryRule, incomplete_so_far
from cutoutd.daemon.ledger.states import Stage, State
from cutoutd.daemon.ledger.transitions import NEVER_THE_SAME, Transitions
from cutoutd.daemon.originals.aftercare import AfterCare
from cutoutd.daemon.plan import InboxPlan, Plan
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers import pool

NAME_FIX = (
    "Give the photo a shorter or plainer name; where a link lies, make it a folder; then `cutoutd retry` it."
)

# A photo whose place in the outbox was refused waits so long, doubled each time, up to the second.
REFUSED_PAUSE_S, LONGEST_REFUSED_PAUSE_S = 2.0, 300.0
NO_PLACE = RetryRule(3, REFUSED_PAUSE_S, LONGEST_REFUSED_PAUSE_S)
# A list of photos that cannot be read is looked at again over five minutes before its photos fail.
NO_LIST = RetryRule(8, 2.0, 120.0)
# What no single path is to blame for, even when a small probe succeeds.
OF_THE_WHOLE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.EHOSTDOWN,
        errno.ENODEV,
        errno.ETIMEDOUT,
    }
)

_LOG = logging.getLogger("cutoutd")


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
    comparing: bool = False


@dataclass(slots=True)
class Dispatcher:
    """The middle of the daemon: slots on one side, ledger rows on the other."""

    ledger: Ledger
    transitions: Transitions
    scheduler: Scheduler
    worker_manager: WorkerManager
    outboxes: Outboxes
    publisher: Publisher
    aftercare: AfterCare
    listener: Listener
    plan: Plan
    budget: Budget
    instance: str
    umask: int
    clock: Callable[[], float] = time.monotonic
    in_hand: dict[int, InHand] = field(default_factory=dict[int, InHand])
    paused: dict[bytes, str] = field(default_factory=dict[bytes, str])
    stopped: bool = False
    # Photos whose place in the outbox was refused: how often in this life, and those that the probe will judge.
    _refusals: dict[int, int] = field(default_factory=dict[int, int])
    _to_blame: dict[bytes, dict[int, str]] = field(default_factory=dict[bytes, dict[int, str]])
    # What workers claim and nobody else has seen; of outboxes as a whole, those that the next probe will judge: the
    # photo, whether a large network worked on it, and the folders in the outbox that it was to go to.
    _sizes: Claims = field(default_factory=Claims)
    _troubles: Claims = field(default_factory=Claims)
    _to_prove: dict[bytes, dict[int, tuple[bool, list[bytes]]]] = field(
        default_factory=dict[bytes, dict[int, tuple[bool, list[bytes]]]]
    )
    workers: pool.Workers = field(init=False)
    _intake: Intake = field(init=False)
    self_test: SelfTest = field(init=False)
    renames: RenameDetector = field(init=False)
    # A new number for each try, in this life and (by the clock) after the last one's: what clears up after an
    # earlier try may still wait on a slow outbox's thread.
    _tries: Iterator[int] = field(default_factory=lambda: itertools.count(int(time.time())))

    def __post_init__(self) -> None:
        """Connects the parts of its own."""
        self.workers = self.worker_manager.slots
        self._intake = Intake(self.ledger)
        self.renames = RenameDetector(self.ledger, self.transitions, self.aftercare, self._settings_of)
        self.self_test = SelfTest(
            self.workers,
            plan=lambda: self.plan,
            listener=self.listener,
            clock=self.clock,
            on_guilty=self._guilty,
            on_ill=self.worker_manager.recycle,
        )

    def _settings_of(self, key: bytes) -> Inbox | None:
        inbox = self.plan.inbox(key)
        return None if inbox is None else inbox.settings

    # --- giving out ------------------------------------------------------------------------------------------

    def dispatch(self) -> bool:
        """Fills free slots. Returns whether any photo is waiting or in hand."""
        if self.self_test.at_work():
            self.self_test.examine()
            return True
        if self.stopped:
            return bool(self.in_hand)
        while self.workers.free():
            pick = self.scheduler.next(
                self.budget, now=self.ledger.clock(), paused=frozenset(self.paused), held=self._held()
            )
            if pick is None:
                break
            with self._alone(pick[0].id):
                self._start(*pick)
        return bool(self.in_hand)

    def _held(self) -> Mapping[bytes, Collection[Stage]]:
        """What no free worker can take: work for a large network, while those that have it are busy."""
        free = self.workers.free(self.plan.pool_size.slots(large=True))
        return NOTHING_HELD if free else self.plan.large_stages()

    def _start(self, row: PhotoRow, allowance_mp: float) -> None:
        inbox = self.plan.inbox(row.inbox)
        if inbox is None or row.path is None:
            self.transitions.ended(row.id, Reason.VANISHED, "Its inbox is no longer in the config.")
            return
        overrides: dict[str, Any] = json.loads(row.overrides) if row.overrides else {}
        try:
            settings = self.plan.settings
            options = options_for(inbox.settings, settings.limits, overrides, row.path, settings.preset)
        except ListError as error:  # it is being written, or its disk is away
            self._waits_for_list(row, str(error))
            return
        except LineError as error:
            self._cannot_be_ordered(row, str(error))
            return
        except UsageError as error:  # the configuration has changed since the `redo`
            self._cannot_be_ordered(row, f"{error.what}. `cutoutd retry` makes it as its inbox says.")
            return
        model = inbox.model(row.stage)
        known = self._intake.known_digests(row)
        now = Circumstances(
            instance=self.instance,
            attempt=next(self._tries),
            allowance_mp=allowance_mp,
            known=known,
            lone=self._is_lone(row),
            umask=self.umask_of(inbox),
            outbox_inode=self.outboxes.inode(inbox.settings.outbox),
        )
        job = make_job(row, inbox, options, now)
        self.transitions.started(row.id, model.name)
        self.ledger.commit()
        self.budget.take(row.id, float("inf") if alone(row) else row.megapixels or allowance_mp)
        self.in_hand[row.id] = InHand(row, inbox, options.orders, known, job.temporaries, self.clock())
        limit_s = self.plan.settings.limits.time_per_photo
        slots = self.plan.pool_size.slots(large=inbox.large(row.stage))
        try:
            self.workers.submit(row.id, jobs.RUN_JOB, job, limit_s=limit_s, slots=slots)
        except pool.NoFreeSlotError:  # the worker died this very moment
            self._let_go(row.id)
            self.transitions.again(row.id)
            return
        self.listener.photo_started(self.event(row))

    def _waits_for_list(self, row: PhotoRow, detail: str) -> None:
        """What the photo becomes is not known yet; its original stays where it is even when it fails for that."""
        event = self.event(row, reason=Reason.CANNOT_RENDER, detail=detail)
        if self.transitions.tried(row, Reason.CANNOT_RENDER, detail, NO_LIST):
            self.listener.photo_retry(event)
        else:
            self.listener.photo_failed(event)

    def _cannot_be_ordered(self, row: PhotoRow, detail: str) -> None:
        """Fails what no worker could be told to do; the photo is not to blame, so its original stays where it is."""
        self.transitions.ended(row.id, Reason.CANNOT_RENDER, detail)
        self.listener.photo_failed(self.event(row, reason=Reason.CANNOT_RENDER, detail=detail))

    def _is_lone(self, row: PhotoRow) -> bool:
        """Whether no other photo waits or is in hand."""
        return self.budget.in_hand == 0 and not self.scheduler.queue.others_wait(row.id)

    def umask_of(self, inbox: InboxPlan) -> int:
        """The mode mask for what is published from an inbox."""
        return int(inbox.settings.umask, 8) if inbox.settings.umask else self.umask

    # --- taking back -----------------------------------------------------------------------------------------

    def finished(self, event: pool.Finished) -> None:
        """A worker returned a result."""
        if event.tag == SELF_TEST:
            self.self_test.passed()
            return
        hand = self.in_hand.get(event.tag)
        row = self._row(event.tag)
        if hand is None or row is None:
            self._let_go(event.tag)
            return
        result: jobs.Result = event.result
        if isinstance(result, jobs.Finished):
            self._sizes.forget(event.tag)
            self._troubles.forget(event.tag)
            self.budget.take(event.tag, 0.0)  # its pixels are gone from memory
            hand.finished = result
            for note in result.notes:
                self.listener.notice(f"{self.event(row).name}: {note}")
            self.settle(event.tag)
            return
        large = self._large(event.tag)
        self._let_go(event.tag)
        if _moved_on(hand.row, row) and isinstance(result, jobs.Unchanged | jobs.Refused):
            self.transitions.again(row.id)  # the answer may be about bytes that are no longer there
        elif isinstance(result, jobs.Unchanged):
            self.renames.unchanged(row, result.same_as, result.digest)
        elif isinstance(result, jobs.OverBudget):
            self.transitions.learned_megapixels(row.id, result.megapixels)
            if self._sizes.unseen(row.id):  # honest ones need one answer to know a photo's size
                self._like_a_death(row, "it is larger than they had said before", large=large)
        elif isinstance(result, jobs.Changed):
            self._changed(row)
        elif isinstance(result, jobs.OutboxRefused) and result.code in OF_THE_NAME:
            link = result.code == errno.ELOOP
            self.name_refused(row, "a link lies in its place" if link else os.strerror(result.code))
        elif isinstance(result, jobs.OutboxRefused):
            if result.code in OF_THE_WHOLE:
                inside = list(dict.fromkeys(os.path.dirname(name) for name in hand.temporaries))
                self._to_prove.setdefault(row.inbox, {})[row.id] = (large, inside)
            self.place_refused(row, result.code, result.detail)
        else:
            self._refused(row, result.reason, result.detail)

    def failed(self, event: pool.Failed) -> None:
        """The worker's function raised something unforeseen; the worker lives."""
        if event.tag == SELF_TEST:
            self.self_test.failed(str(event.error), lives=True)
            return
        row = self._row(event.tag)
        large = self._large(event.tag)
        self._let_go(event.tag)
        if row is None:
            return
        error = event.error
        if isinstance(error, PhotoError):
            self._refused(row, error.reason, str(error))
            return
        # A fault of ours or a library's would hit every photo: the test photo tells whether this one is to blame.
        self.transitions.again(row.id)
        detail = f"Processing it failed unexpectedly ({mistake(error)})."
        self.self_test.suspect(row, Reason.CRASHED, detail, large=large)

    def died(self, event: pool.Died) -> None:
        """The worker is gone; whether the photo is to blame is decided after the test photo ran."""
        if event.tag == SELF_TEST:
            self.self_test.failed(event.detail, lives=False)
            return
        row = self._row(event.tag)
        large = self._large(event.tag)
        self._let_go(event.tag)
        if row is None:
            return
        if event.cause == "killed":  # we ended it: the photo is simply owed
            self.transitions.again(row.id)
            return
        self.transitions.again(row.id)
        self.self_test.suspect_of_death(row, event, large=large)

    def _alone(self, photo: int) -> AbstractContextManager[None]:
        """What goes wrong with one photo inside is that photo's alone."""
        return faults.alone(lambda error: self.fault(photo, error))

    def fault(self, photo: int, error: Exception) -> None:
        """A mistake of ours that one photo, or what came back about it, brought out: that photo alone pays for it."""
        _LOG.error("photo %d", photo, exc_info=error)
        hand, row = self.in_hand.get(photo), self._row(photo)
        self._let_go(photo)
        if row is None:
            return
        if hand is not None and hand.finished is not None:
            self.publisher.discard(row.inbox, hand.finished)
        if row.state == State.DELIVERING:
            self.transitions.undeliver(row.id)
            row = self._row(photo) or row
        if row.state not in (State.PENDING, State.RUNNING):
            return  # its end is committed, and only what came after it went wrong
        detail = f"cutoutd made a mistake with it ({mistake(error)}); please report it."
        self._tried(row, Reason.CRASHED, f"{detail} `cutoutd retry` tries it again.")

    def _large(self, photo: int) -> bool:
        """Whether a large network works on a photo in hand."""
        hand = self.in_hand.get(photo)
        return hand is not None and hand.plan.large(hand.row.stage)

    def _row(self, photo: int) -> PhotoRow | None:
        return self._intake.get(photo)

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
            self.publisher.discard(hand.row.inbox, hand.finished)
            self._let_go(photo)
            return
        read = hand.finished
        known = Facts(read.size, read.mtime_ns, read.inode)
        if _only_touched(hand.row, row, known):
            if row.settled and not hand.comparing:
                story = self._compare(hand, row, read.digest)
                faults.begin(story, lambda error: self.fault(photo, error))
        elif _moved_on(hand.row, row) or (row.archived_to is None and differ(row.facts, known)):
            self.publisher.discard(row.inbox, read)
            self._let_go(photo)
            self._changed(row)
        elif row.settled and self.renames.renamed(row, read.digest):
            self.publisher.discard(row.inbox, read)
            self._let_go(photo)
        elif row.settled:
            hand.delivering = True
            self._see_through(row, self.publisher.deliver(row, read, hand.orders))

    # --- the story of one publication --------------------------------------------------------------------------

    def resume_deliveries(self, inboxes: Collection[bytes] | None = None) -> None:
        """Goes on with what was being published when the daemon ended or an outbox went away; unset, in all inboxes."""
        for row in self.transitions.in_state(State.DELIVERING):
            if inboxes is None or row.inbox in inboxes:
                self._see_through(row, self.publisher.resume(row))
        self.publisher.withdraw()

    def _see_through(self, row: PhotoRow, publication: Coroutine[Any, Any, Outcome | None]) -> None:
        faults.begin(self._published(row, publication), lambda error: self.fault(row.id, error))

    async def _published(self, row: PhotoRow, publication: Coroutine[Any, Any, Outcome | None]) -> None:
        """A photo is published, and what becomes of that is its own, its outbox's or its original's business."""
        outcome = await publication
        if isinstance(outcome, Delivered):
            self._done(row.id, outcome)
        if outcome is not None:
            self._let_go(row.id)
        match outcome:
            case Delivered(owed=True):
                self.aftercare.after(row.id)
            case NameRefused():
                self.name_refused(row, outcome.why)
            case PlaceRefused():
                self.place_refused(row, outcome.code, outcome.why, seen=True)
            case OutboxTrouble():
                self.outbox_trouble(row.inbox, outcome.why)
            case _:
                pass  # nothing more is owed, or it is made again

    def _done(self, photo: int, delivered: Delivered) -> None:
        row = self._row(photo)
        if row is None:
            return
        inbox = self.plan.inbox(row.inbox)
        if inbox is not None:
            self.outboxes.praise(inbox.settings.outbox)
        self.listener.photo_done(self.done_event(row, delivered.paths, delivered.timings))

    async def _compare(self, hand: InHand, row: PhotoRow, digest: str) -> None:
        """Something changed that is neither size nor time of writing, perhaps only the mode: the content decides."""
        hand.comparing = True
        now = await self.aftercare.content_of(row)
        hand.comparing = False
        if self.in_hand.get(row.id) is not hand or hand.finished is None:
            return
        if now == digest:
            hand.row = row
            self.settle(row.id)
            return
        self.publisher.discard(row.inbox, hand.finished)
        self._let_go(row.id)
        self._changed(self._row(row.id) or row)

    def gone(self, photo: int) -> None:
        """The file vanished before it settled: a finished result is dropped, a waiting row ends."""
        hand = self.in_hand.get(photo)
        row = self._row(photo)
        if row is None or (hand is not None and (hand.finished is None or hand.delivering)):
            return  # a reader will find it missing by itself
        if hand is not None and hand.finished is not None:
            self.publisher.discard(row.inbox, hand.finished)
            self._let_go(photo)
        if row.state in (State.PENDING, State.RUNNING):
            self.transitions.ended(photo, Reason.VANISHED, "It was gone before it could be read.")

    def _changed(self, row: PhotoRow) -> None:
        if not row.settled:
            self.transitions.again(row.id)
            return
        if row.archived_to is not None:  # nobody writes there: not even the second time is likely to be true
            self._tried(row, Reason.BUSY, NEVER_THE_SAME)
            return
        self.transitions.changed_while_read(row)
        ended = self._row(row.id)
        if ended is not None and ended.state == State.FAILED:
            self.listener.photo_failed(self.event(row, reason=Reason.BUSY, detail=NEVER_THE_SAME))

    def _like_a_death(self, row: PhotoRow, what: str, *, large: bool) -> None:
        """Workers have said so often what nobody else sees that they end, and that the photo is to blame for it."""
        self.worker_manager.recycle()
        self.transitions.again(row.id)
        detail = f"Its workers said {MOST_CLAIMS} times that {what}, and it was not so."
        self.self_test.suspect(row, Reason.CRASHED, detail, large=large)

    def _refused(self, row: PhotoRow, reason: Reason, detail: str) -> None:
        if not row.settled and reason not in (Reason.VANISHED, Reason.NOT_A_REGULAR_FILE):
            # It may simply not be complete yet: look again when it is.
            self.transitions.again(row.id, pause_s=max(1.0, 2 * self._settle_s(row)))
            return
        if reason is Reason.NO_PERMISSION and row.path is not None:
            path = row.archived_to or os.path.join(row.inbox, row.path)
            inbox = self.plan.inbox(row.inbox)
            root = b"" if inbox is None else root_of(row, inbox)
            fs = RealFileSystem(root or os.path.dirname(path))
            if run_with_timeout(LOOK_S, lambda: fs.is_readable(path), otherwise=False):
                # It is the worker that may not: bound to a folder that is no more, or started before an original
                # in the trash was to be done again.
                self.worker_manager.recycle()
                detail = "The folder that it lies in is newer than the workers; they start anew, and it is tried again."
        self._tried(row, reason, detail)

    def name_refused(self, row: PhotoRow, why: str) -> None:
        """The outbox cannot hold this one cutout's name or path; others are not held up by it."""
        now = self._row(row.id)
        if now is None or now.state not in (State.PENDING, State.RUNNING):
            return  # another photo lies at its path by now
        folder = printable(os.path.dirname(row.path or b""))
        named = f" ({folder})" if folder else ""
        detail = f"The outbox refuses the name or the folder{named} of its cutout: {why}."
        self._tried(row, Reason.CANNOT_RENDER, f"{detail} {NAME_FIX}")

    def place_refused(self, row: PhotoRow, code: int, why: str, *, seen: bool = False) -> None:
        """The outbox, or only a folder in it, does not take this cutout: which of them, a probe of the outbox shows.

        The photo waits meanwhile, and longer each time, so that it is not the first to be tried again.

        Args:
            row: of the photo.
            code: the errno.
            why: the same in words.
            seen: this process met it, beside probes of the outbox that went well; unset, a worker only says so.
        """
        now = self._row(row.id)
        if now is None or now.state not in (State.PENDING, State.RUNNING):
            return  # another photo lies at its path by now
        refusals = self._refusals.get(row.id, 0) + 1
        self._refusals[row.id] = refusals
        self.transitions.again(row.id, pause_s=backoff_s(refusals, REFUSED_PAUSE_S, LONGEST_REFUSED_PAUSE_S))
        inbox = self.plan.inbox(row.inbox)
        if inbox is None or (code in OF_THE_WHOLE and not (seen and self._has_room(row))):
            self.outbox_trouble(row.inbox, why)
            return
        self._to_blame.setdefault(row.inbox, {})[row.id] = os.strerror(code)
        self.outboxes.probe(inbox.settings.outbox)

    def outbox_takes(self, inbox: bytes) -> None:
        """The probe of an inbox's outbox went well: those whose path it refused have themselves to blame.

        So have those, in the end, whose workers said again and again that nothing could be written there at all.
        """
        for photo, (large, inside) in self._to_prove.pop(inbox, {}).items():
            faults.begin(
                self._try_folders(photo, inside, large=large),
                lambda error, photo=photo: self.fault(photo, error),
            )
        for photo, why in self._to_blame.pop(inbox, {}).items():
            with self._alone(photo):
                row = self._row(photo)
                if row is not None and row.state == State.PENDING:
                    self._has_no_place(row, why)

    async def _try_folders(self, photo: int, inside: list[bytes], *, large: bool) -> None:
        """The outbox takes files; whether the photo's own folder in it does, tells who is right: its worker or we."""
        row = self._row(photo)
        one = None if row is None else self.plan.inbox(row.inbox)
        if row is None or one is None or row.state != State.PENDING or not self._has_room(row):
            self._troubles.forget(photo)
            return
        why = await self.outboxes.refusal(one.settings.outbox, inside)
        row = self._row(photo)
        if row is None or row.state != State.PENDING:
            self._troubles.forget(photo)
        elif why:
            self._troubles.forget(photo)
            self._has_no_place(row, why)
        elif self._troubles.unseen(photo):
            self._like_a_death(row, "its outbox was full or broken", large=large)

    def _has_no_place(self, row: PhotoRow, why: str) -> None:
        """Counts a refusal; the photo is sound, so that its original stays where it is even when it fails."""
        folder = printable(os.path.dirname(row.path or b"")) or "the outbox itself"
        detail = (
            f"The outbox takes other cutouts, but not this one ({why}). See whether {folder} there is a folder"
            " that may be written; then `cutoutd retry` makes it."
        )
        if self.transitions.tried(row, Reason.CANNOT_RENDER, detail, NO_PLACE):
            self.listener.photo_retry(self.event(row, reason=Reason.CANNOT_RENDER, detail=detail))
            return
        self._refusals.pop(row.id, None)
        self.listener.photo_failed(self.event(row, reason=Reason.CANNOT_RENDER, detail=detail))

    def _has_room(self, row: PhotoRow) -> bool:
        """Whether its outbox, as this process sees it, holds more than any cutout needs."""
        inbox = self.plan.inbox(row.inbox)
        if inbox is None:
            return False
        outbox = os.fsencode(inbox.settings.outbox)
        try:
            free = run_with_timeout(LOOK_S, lambda: RealFileSystem(outbox).free_bytes(outbox), otherwise=0)
        except OSError:
            return False
        return free > ROOM_BYTES

    def outbox_refuses(self, inbox: bytes) -> None:
        """The outbox as a whole is in trouble: no photo is to blame."""
        self._to_blame.pop(inbox, None)
        for photo in self._to_prove.pop(inbox, {}):
            self._troubles.forget(photo)

    def _settle_s(self, row: PhotoRow) -> float:
        inbox = self.plan.inbox(row.inbox)
        return 0.5 if inbox is None else inbox.settings.settle

    def _tried(self, row: PhotoRow, reason: Reason, detail: str) -> None:
        inbox = self.plan.inbox(row.inbox)
        so_far, rule = detail, None
        if reason is Reason.UNREADABLE and not row.proven and row.archived_to is None and inbox is not None:
            so_far = f"Incomplete so far, perhaps still being written. {detail}"
            rule = incomplete_so_far(inbox.settings.after.failed_after)
        if self.transitions.tried(row, reason, detail, so_far=so_far, rule=rule):
            self.listener.photo_retry(self.event(row, reason=reason, detail=so_far))
            return
        ended = self._row(row.id)
        self._refusals.pop(row.id, None)
        if ended is not None and ended.state == State.FAILED:
            self.aftercare.failed(ended)
            self.listener.photo_failed(self.event(row, reason=reason, detail=detail))

    def outbox_trouble(self, inbox: bytes, why: str) -> None:
        """Its outbox cannot be written now: it is tried again after a pause, and whatever goes there waits."""
        one = self.plan.inbox(inbox)
        if one is not None:
            self.outboxes.blame(one.settings.outbox, why)
            self.outbox_down(one.settings.outbox, why)

    def outbox_down(self, path: Path, why: str) -> None:
        """An outbox cannot be used: all inboxes whose cutouts go there pause."""
        self.worker_manager.folder_lost(path)
        for one in self.plan.inboxes:
            if one.settings.outbox == path:
                self.trouble(one.key, why)

    def trouble(self, inbox: bytes, why: str) -> None:
        """An outbox cannot be used: its inbox pauses until it can; no photo is blamed."""
        if inbox not in self.paused:
            self.listener.warning(
                f"Photos of {printable(inbox)} wait: {why}. Nothing is lost; it goes on by itself."
            )
        self.paused[inbox] = why

    def _guilty(self, suspect: Suspect) -> None:
        """The machine is sound, so the photo did it, unless another file lies there by now."""
        with self._alone(suspect.row.id):
            row = self._row(suspect.row.id)
            if row is not None and row.state == State.PENDING and not _moved_on(suspect.row, row):
                self._tried(row, suspect.reason, suspect.detail)

    def follow(self, plan: Plan) -> None:
        """Another plan is in force."""
        self.plan = plan
        limits = plan.settings.limits
        self.budget.resize(limits.photos_in_flight, limits.megapixels_in_flight)
        wanted = {one.key for one in plan.inboxes}
        self.paused = {key: why for key, why in self.paused.items() if key in wanted}

    def hold(self, *, stopped: bool) -> None:
        """Whether new photos may start."""
        self.stopped = stopped

    def usable(self, inboxes: Collection[bytes]) -> bool:
        """Their folders can be used: photos are taken up again. Returns whether any of them waited."""
        waited = [self.paused.pop(key, None) for key in inboxes]
        return any(why is not None for why in waited)

    def next_due(self) -> float:
        """Monotonic time at which the examiner has something to do, or infinity."""
        return self.self_test.next_due()

    def inboxes_in_use(self, now: float, longer_than_s: float) -> list[Inbox]:
        """Inboxes of photos that have been in hand for longer than so many seconds."""
        hands = self.in_hand.values()
        found = {hand.plan.key: hand.plan.settings for hand in hands if now - hand.started > longer_than_s}
        return list(found.values())

    def take_from_workers(self, hangs: Callable[[Inbox], bool]) -> None:
        """Ends the workers that read or write a folder which hangs; their photos are owed as before."""
        for photo, hand in self.in_hand.items():
            if hand.finished is None and hangs(hand.plan.settings):
                self.workers.kill(photo)

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
            outbox="" if inbox is None else printable(inbox.settings.outbox),
            stage=_stage(inbox, row if hand is None else hand.row),
        )

    def done_event(self, row: PhotoRow, paths: list[bytes], timings: Mapping[str, float]) -> PhotoEvent:
        """What listeners hear of a delivered photo."""
        named = self.plan.settings.log.filenames
        hand = self.in_hand.get(row.id)
        anew = hand is None or bool(hand.row.forced)
        return replace(
            self.event(row),
            latency_s=0.0 if anew else max(0.0, self.ledger.clock() - row.arrived),
            outputs=tuple(printable(path) for path in paths) if named else (),
            seconds=sum(timings.values()),
            timings=dict(timings),
        )


def _stage(inbox: InboxPlan | None, row: PhotoRow) -> str:
    """Which of two cutouts it is, where there are two."""
    return "" if inbox is None or inbox.draft is None else row.stage


def _only_touched(before: PhotoRow, now: PhotoRow, read: Facts) -> bool:
    """Whether the photo in the inbox has changed since as if by `chmod`: same file, same size, same time of writing."""
    return (
        _moved_on(before, now)
        and not differ(now.facts, read)
        and (before.size, before.mtime_ns, before.inode) == (now.size, now.mtime_ns, now.inode)
    )


def _moved_on(before: PhotoRow, now: PhotoRow) -> bool:
    """Whether another file was seen at the photo's path since."""
    return now.archived_to is None and differ(before.facts, now.facts)
