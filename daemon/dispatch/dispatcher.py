"""Gives waiting photos to free workers and takes back what they answer; what is finished is `completion`'s.

All methods run in the supervisor's loop.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cutoutd.config.errors import PhotoError, Reason, UsageError, mistake
from cutoutd.config.settings import Inbox
from cutoutd.daemon.delivery.outboxes import Outboxes
from cutoutd.daemon.delivery.publisher import Publisher
from cutoutd.daemon.dispatch.claims import Claims
from cutoutd.daemon.dispatch.completion import Completion
from cutoutd.daemon.dispatch.deliverable_rules import LineError, ListError
from cutoutd.daemon.dispatch.failures import Failures
from cutoutd.daemon.dispatch.hands import Hands, InHand, moved_on
from cutoutd.daemon.dispatch.job_builder import Circumstances, make_job
from cutoutd.daemon.dispatch.lost_attempts import LostAttempts
from cutoutd.daemon.dispatch.outbox_refusals import OutboxRefusals
from cutoutd.daemon.dispatch.photo_options import options_for
from cutoutd.daemon.dispatch.renames import RenameDetector
from cutoutd.daemon.dispatch.scheduler import NOTHING_HELD, Scheduler, alone
from cutoutd.daemon.dispatch.second_look import SecondLook, said_of_its_file
from cutoutd.daemon.dispatch.self_test import SELF_TEST, SelfTest
from cutoutd.daemon.dispatch.worker_manager import WorkerManager
from cutoutd.daemon.events import Listener, PhotoEvent
from cutoutd.daemon.files.folders import OTHERS
from cutoutd.daemon.files.story import Story
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.retry_rules import RetryRule
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals.aftercare import AfterCare
from cutoutd.daemon.plan import InboxPlan, Plan
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers import pool, protocol

if TYPE_CHECKING:
    from cutoutd.daemon.fleet.slots import FleetSlots

UNSEEN = "does not see a photo that is there, or sees it otherwise"
# A list of photos that cannot be read is looked at again over five minutes before its photos fail.
NO_LIST = RetryRule(8, 2.0, 120.0)


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
    hands: Hands
    instance: str
    umask: int
    stopped: bool = False
    # What workers claim of photos' sizes, and nobody else has seen.
    _sizes: Claims = field(default_factory=Claims)
    workers: pool.Workers | FleetSlots = field(init=False)
    failures: Failures = field(init=False)
    outbox_refusals: OutboxRefusals = field(init=False)
    renames: RenameDetector = field(init=False)
    second_look: SecondLook = field(init=False)
    completion: Completion = field(init=False)
    # A new number for each try, in this life and (by the clock) after the last one's: what clears up after an
    # earlier try may still wait on a slow outbox's thread.
    _first_try: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    _tries: Iterator[int] = field(init=False)
    _lost: LostAttempts = field(init=False)

    def __post_init__(self) -> None:
        """Connects the parts of its own."""
        self.workers = self.worker_manager.slots
        self._tries = itertools.count(self._first_try)
        self._lost = LostAttempts(
            self.outboxes, self.publisher.discard_all, self._first_try, self.hands.clock
        )
        self.renames = RenameDetector(self.ledger, self.transitions, self.aftercare, self.hands.settings_of)
        self.failures = Failures(
            self.hands, self.transitions, self.worker_manager, self.publisher, self.aftercare, self.listener
        )
        self.second_look = SecondLook(
            self.hands, self.failures, self.transitions, self.aftercare, self.renames
        )
        self.outbox_refusals = OutboxRefusals(
            self.hands, self.failures, self.transitions, self.outboxes, self.worker_manager, self.listener
        )
        self.completion = Completion(
            hands=self.hands,
            transitions=self.transitions,
            worker_manager=self.worker_manager,
            publisher=self.publisher,
            aftercare=self.aftercare,
            outboxes=self.outboxes,
            failures=self.failures,
            outbox_refusals=self.outbox_refusals,
            renames=self.renames,
            second_look=self.second_look,
            listener=self.listener,
        )

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self.hands.plan

    @property
    def in_hand(self) -> Mapping[int, InHand]:
        """Photos in hand, by the id of their row."""
        return self.hands.photos

    @property
    def paused(self) -> Mapping[bytes, str]:
        """Why photos of an inbox wait."""
        return self.outbox_refusals.paused

    @property
    def self_test(self) -> SelfTest:
        """What decides whether a photo or the machine is at fault."""
        return self.failures.self_test

    def event(self, row: PhotoRow) -> PhotoEvent:
        """What listeners hear of a row."""
        return self.hands.event(row)

    def fault(self, photo: int, error: Exception) -> None:
        """A mistake of ours that one photo brought out."""
        self.failures.fault(photo, error)

    # --- giving out ------------------------------------------------------------------------------------------

    def dispatch(self) -> bool:
        """Fills free slots. Returns whether any photo is waiting or in hand."""
        self._lost.look(
            self.worker_manager.joins(),
            [one.settings.outbox for one in self.plan.inboxes],
            self.transitions.promised_temporaries,
        )
        if self.self_test.at_work():
            self.self_test.examine()
            return True
        if self.stopped:
            return bool(self.hands.photos)
        self.hands.share_among(self.worker_manager.machines())
        while self.workers.free():
            pick = self.scheduler.next(
                self.hands.budget, now=self.ledger.clock(), paused=frozenset(self.paused), held=self._held()
            )
            if pick is None:
                break
            started = True
            with self.failures.alone(pick[0].id):
                started = self._start(*pick)
            if not started:
                break
        return bool(self.hands.photos)

    def _held(self) -> Mapping[bytes, Collection[Stage]]:
        """What no free worker can take: work for a large network, while those that have it are busy."""
        stages = self.plan.large_stages()
        if not any(stages.values()) or self.workers.free(self.worker_manager.slots_for(large=True)):
            return NOTHING_HELD
        return stages

    def _start(self, row: PhotoRow, allowance_mp: float) -> bool:
        """Gives a photo to a worker, or ends it. False where no worker could take it after all: it waits."""
        inbox = self.plan.inbox(row.inbox)
        if inbox is None or row.path is None:
            self.transitions.ended(row.id, Reason.VANISHED, "Its inbox is no longer in the config.")
            return True
        try:
            settings = self.plan.settings
            overrides = Overrides.from_json(row.overrides)
            options = options_for(inbox.settings, settings.limits, overrides, row.path, settings.preset)
        except ListError as error:  # it is being written, or its disk is away
            self._waits_for_list(row, str(error))
            return True
        except LineError as error:
            self.failures.asked_in_vain(row, str(error))
            return True
        except UsageError as error:  # the configuration has changed since the `redo`
            as_usual = "`cutoutd retry`, or `redo` where it has a cutout, makes it as its inbox says."
            self.failures.asked_in_vain(row, f"{error.what}. {as_usual}")
            return True
        model = inbox.model(row.stage)
        known = Intake(self.ledger).known_digests(row)
        now = Circumstances(
            instance=self.instance,
            attempt=next(self._tries),
            allowance_mp=allowance_mp,
            known=known,
            lone=self._is_lone(row),
            umask=self.umask_of(inbox),
            outbox_inode=self.outboxes.inode(inbox.settings.outbox),
            masks=masks.folder_of(self.ledger.path.parent),
            plain=self.outboxes.portable_names(inbox.settings.outbox),
        )
        job = make_job(row, inbox, options, now)
        self.transitions.started(row.id, model.name)
        self.ledger.commit()
        self.hands.budget.take(row.id, float("inf") if alone(row) else row.megapixels or allowance_mp)
        self.hands.photos[row.id] = InHand(
            row, inbox, options.deliverables, known, job.temporaries, self.hands.clock()
        )
        limit_s = self.plan.settings.limits.time_per_photo
        slots = self.worker_manager.slots_for(large=inbox.large(row.stage))
        try:
            self.workers.submit(row.id, jobs.RUN_JOB, job, limit_s=limit_s, slots=slots)
        except pool.NoFreeSlotError:  # the worker died this very moment
            self.hands.let_go(row.id)
            self.transitions.again(row.id)
            return False
        self.hands.photos[row.id].node = self.worker_manager.node_of(row.id)
        self.listener.photo_started(self.hands.event(row))
        return True

    def _waits_for_list(self, row: PhotoRow, detail: str) -> None:
        """What the photo becomes is not known yet; its original stays where it is even when it fails for that."""
        if self.transitions.tried(row, Reason.CANNOT_RENDER, detail, NO_LIST):
            self.listener.photo_retry(self.hands.event(row, reason=Reason.CANNOT_RENDER, detail=detail))
        else:
            self.failures.over(row, Reason.CANNOT_RENDER, detail, at_fault=False)

    def _is_lone(self, row: PhotoRow) -> bool:
        """Whether no other photo waits or is in hand."""
        return self.hands.budget.in_hand == 0 and not self.scheduler.others_wait(row.id)

    def umask_of(self, inbox: InboxPlan) -> int:
        """The mode mask for what is published from an inbox."""
        return int(inbox.settings.umask, 8) & OTHERS if inbox.settings.umask else self.umask

    # --- taking back -----------------------------------------------------------------------------------------

    def finished(self, event: pool.Finished) -> None:
        """A worker returned a result; TypeError where it is no answer about a photo."""
        if event.tag == SELF_TEST:
            self.self_test.passed()
            return
        hand, row = self._in_a_workers_hand(event.tag)
        if hand is None or row is None:
            return
        result: protocol.Result = event.result
        if isinstance(result, protocol.Finished):
            self._sizes.forget(event.tag)
            self.outbox_refusals.took(event.tag)
            self.hands.budget.take(event.tag, 0.0)  # its pixels are gone from memory
            hand.finished = result
            for note in result.notes:
                self.listener.notice(f"{self.hands.event(row).name}: {note}")
            self.completion.settle(event.tag)
            return
        self.publisher.discard_all(hand.temporaries)
        if isinstance(result, protocol.Unchanged) and not moved_on(hand.row, row):
            self.hands.budget.take(event.tag, 0.0)
            Story(self.second_look.known_content(hand, row, result), self.failures.paid_by(row.id))
            return
        large = self.hands.large(event.tag)
        self.hands.let_go(event.tag)
        if moved_on(hand.row, row) and isinstance(result, protocol.Unchanged | protocol.Refused):
            self.transitions.again(row.id)  # the answer may be about bytes that are no longer there
        elif (said := said_of_its_file(result)) and row.settled and self.second_look.lies_there(row):
            if hand.node:  # that machine may see another folder, or an old state of this one
                self.worker_manager.doubt(hand.node, UNSEEN)
                self.transitions.again(row.id)
            else:
                self.second_look.unseen(row, said, large=large)
        elif isinstance(result, protocol.OverBudget):
            self.transitions.learned_megapixels(row.id, result.megapixels)
            if self._sizes.unseen(row.id):  # honest ones need one answer to know a photo's size
                self.failures.like_a_death(row, "it is larger than they had said before", large=large)
        elif isinstance(result, protocol.Changed):
            self.failures.changed(row)
        elif isinstance(result, protocol.OutboxRefused):
            self.outbox_refusals.said(row, result.code, result.detail, hand.temporaries, large=large)
        elif isinstance(result, protocol.Refused):
            if hand.node and self.second_look.is_readable_here(row, result.reason):
                self.worker_manager.doubt(hand.node, UNSEEN)
                self.transitions.again(row.id)
            else:
                self.failures.refused(row, result.reason, result.detail)
        else:  # `fault` is told, or the row would stay "running" with nobody at work on it
            raise TypeError(f"no answer about a photo: {type(result).__name__}")

    def _in_a_workers_hand(self, photo: int) -> tuple[InHand, PhotoRow] | tuple[None, None]:
        """The photo that an answer is about; nothing where none is awaited: let go, or answered before."""
        hand, row = self.hands.photos.get(photo), self.hands.row(photo)
        if row is None:
            self.hands.let_go(photo)
        if hand is None or row is None or hand.finished is not None or hand.comparing:
            return None, None
        return hand, row

    def _take_back(self, photo: int) -> tuple[PhotoRow, bool] | None:
        """A photo whose worker brought no result, and whether it was with a large network; None: none is awaited."""
        hand, row = self._in_a_workers_hand(photo)
        if hand is None or row is None:
            return None
        large = self.hands.large(photo)
        self.hands.let_go(photo)
        self.publisher.discard_all(hand.temporaries)
        if hand.node:  # it may be writing still
            self._lost.lost(hand.temporaries)
        return row, large

    def failed(self, event: pool.Failed) -> None:
        """The worker's function raised something unforeseen; the worker lives."""
        if event.tag == SELF_TEST:
            self.self_test.failed(str(event.error), lives=True)
            return
        taken = self._take_back(event.tag)
        if taken is None:
            return
        row, large = taken
        error = event.error
        if isinstance(error, PhotoError):
            self.failures.refused(row, error.reason, str(error))
            return
        if event.sound:
            self.transitions.again(row.id)
            self.self_test.guilty(
                row, Reason.CRASHED, f"Processing it failed ({mistake(error)}).", large=large
            )
            return
        # A fault of ours or a library's would hit every photo: the test photo tells whether this one is at fault.
        self.transitions.again(row.id)
        detail = f"Processing it failed unexpectedly ({mistake(error)})."
        self.self_test.suspect(row, Reason.CRASHED, detail, large=large)

    def died(self, event: pool.Died) -> None:
        """The worker is gone; whether the photo is at fault is decided after the test photo ran."""
        if event.tag == SELF_TEST:
            self.self_test.failed(event.detail, lives=False)
            return
        taken = self._take_back(event.tag)
        if taken is None:
            return
        row, large = taken
        if event.cause == "killed":  # we ended it, or its node is gone: the photo is simply owed
            self.transitions.again(row.id)
            return
        self.transitions.again(row.id)
        self.self_test.suspect_of_death(row, event, large=large)

    def follow(self, plan: Plan) -> None:
        """Another plan is in force."""
        self.hands.follow(plan)
        for photo in list(self.hands.photos):
            self.completion.settle(photo)  # what only waits for its file is let go where its inbox has left
        self.outbox_refusals.follow()

    def hold(self, *, stopped: bool) -> None:
        """Whether new photos may start."""
        self.stopped = stopped

    def next_due(self) -> float:
        """Monotonic time at which the self-test has something to do, or infinity."""
        return self.self_test.next_due()

    def misread(self, photo: int) -> None:
        """After-care found other content in an original than its worker had said, though nobody changed it."""
        self.second_look.misread(photo)

    def take_from_workers(self, hangs: Callable[[Inbox], bool]) -> None:
        """Ends the workers that read or write a folder which hangs; their photos are owed as before."""
        for photo, hand in self.hands.photos.items():
            if hand.finished is None and not hand.comparing and hangs(hand.plan.settings):
                self.workers.kill(photo)
