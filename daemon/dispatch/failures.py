"""What becomes of a photo that was not cut out: tried again, read anew, suspected, or failed with a name.

What an outbox refused is `outbox_refusals.py`'s. All methods run in the supervisor's loop.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from cutoutd.config.errors import Reason, mistake
from cutoutd.config.settings import Inbox
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.daemon.delivery.publisher import Publisher
from cutoutd.daemon.dispatch.claims import MOST_CLAIMS
from cutoutd.daemon.dispatch.hands import Hands, moved_on
from cutoutd.daemon.dispatch.job_builder import root_of
from cutoutd.daemon.dispatch.self_test import SelfTest, Suspect
from cutoutd.daemon.dispatch.worker_manager import WorkerManager
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.story import Story
from cutoutd.daemon.ledger import faults
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.retry_rules import incomplete_so_far
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.ledger.transitions import NEVER_THE_SAME, Transitions
from cutoutd.daemon.ledger.undelivered import undeliver
from cutoutd.daemon.originals.aftercare import AfterCare

_LOG = logging.getLogger("cutoutd")


@dataclass(slots=True)
class Failures:
    """Decides by reason; the self-test decides where a photo or the machine may be at fault.

    Attributes:
        refusals: how often in this life a photo's place in its outbox was refused; forgotten when it fails.
    """

    hands: Hands
    transitions: Transitions
    worker_manager: WorkerManager
    publisher: Publisher
    aftercare: AfterCare
    listener: Listener
    refusals: dict[int, int] = field(default_factory=dict[int, int])
    self_test: SelfTest = field(init=False)

    def __post_init__(self) -> None:
        """Connects the self-test."""
        self.self_test = SelfTest(
            self.worker_manager.slots,
            plan=lambda: self.hands.plan,
            listener=self.listener,
            clock=self.hands.clock,
            on_guilty=self._guilty,
            on_ill=self.worker_manager.recycle,
        )

    def alone(self, photo: int) -> AbstractContextManager[None]:
        """What goes wrong with one photo inside is that photo's alone."""
        return faults.alone(lambda error: self.fault(photo, error))

    def paid_by(self, photo: int) -> Callable[[Exception], None]:
        """What a story about this photo tells its mistakes: they fail, or put off, this photo."""
        return faults.paid_by(lambda error: self.fault(photo, error))

    def fault(self, photo: int, error: Exception) -> None:
        """A mistake of ours that one photo, or what came back about it, brought out: that photo alone pays for it."""
        _LOG.error("photo %d", photo, exc_info=error)
        hand, row = self.hands.photos.get(photo), self.hands.row(photo)
        self.hands.let_go(photo)
        if row is None:
            return
        if hand is not None and hand.finished is not None:
            self.publisher.discard(hand.finished)
        if row.state == State.DELIVERING:
            undeliver(self.transitions, row.id)
            row = self.hands.row(photo) or row
        if row.state not in (State.PENDING, State.RUNNING):
            return  # its end is committed, and only what came after it went wrong
        detail = f"cutoutd made a mistake with it ({mistake(error)}); please report it."
        self.tried(row, Reason.CRASHED, f"{detail} `cutoutd retry` tries it again.")

    def tried(self, row: PhotoRow, reason: Reason, detail: str) -> None:
        """Counts an attempt that ended with `reason`, and tells of it; what has failed for good may be put aside."""
        inbox = self.hands.plan.inbox(row.inbox)
        so_far, rule = detail, None
        if reason is Reason.UNREADABLE and not row.proven and row.archived_to is None and inbox is not None:
            so_far = f"Incomplete so far, perhaps still being written. {detail}"
            rule = incomplete_so_far(inbox.settings.after.failed_after)
        if self.transitions.tried(row, reason, detail, so_far=so_far, rule=rule):
            self.listener.photo_retry(self.hands.event(row, reason=reason, detail=so_far))
            return
        self.refusals.pop(row.id, None)
        self.over(row, reason, detail)

    def ended(self, row: PhotoRow, reason: Reason, detail: str) -> None:
        """A waiting photo fails for good, whatever its attempts were, and its worker with it."""
        self.worker_manager.recycle()
        self.transitions.ended(row.id, reason, detail)
        self.over(row, reason, detail)

    def asked_in_vain(self, row: PhotoRow, detail: str) -> None:
        """Nobody could be told to do it; the photo is not at fault, so its original stays where it is."""
        self.transitions.ended(row.id, Reason.CANNOT_RENDER, detail)
        self.over(row, Reason.CANNOT_RENDER, detail, at_fault=False)

    def over(self, row: PhotoRow, reason: Reason, detail: str, *, at_fault: bool = True) -> None:
        """Tells how a photo has ended, and sees to its original: put aside only where the photo is `at_fault`."""
        ended = self.hands.row(row.id)
        if ended is None:
            return
        if ended.state == State.FAILED:
            if at_fault:
                self.aftercare.failed(ended)
            self.listener.photo_failed(self.hands.event(row, reason=reason, detail=detail))
        elif ended.state == State.DONE:
            told = self.hands.event(row, detail=ended.detail)
            self.listener.warning(f"{told.name} was not done again. {told.detail}".rstrip())
            Story(self._stays(ended), self.paid_by(row.id))

    async def _stays(self, row: PhotoRow) -> None:
        """A wish was in vain. Where another photo lies under its name since, that one is owed, as its inbox says."""
        lies = "" if row.archived_to is not None else await self.aftercare.content_of(row)
        now = self.hands.row(row.id)
        if lies and lies != row.digest and now is not None and now.state == State.DONE and now.live:
            self.transitions.again(row.id)
        else:
            self.aftercare.after(row.id)

    def changed(self, row: PhotoRow) -> None:
        """The file is not what was read: it is read again, or its successor is."""
        if not row.settled:
            self.transitions.again(row.id)
            return
        if row.archived_to is not None:  # nobody writes there: not even the second time is likely to be true
            self.tried(row, Reason.BUSY, NEVER_THE_SAME)
            return
        self.transitions.changed_while_read(row)
        ended = self.hands.row(row.id)
        if ended is not None and ended.state == State.FAILED:
            self.listener.photo_failed(self.hands.event(row, reason=Reason.BUSY, detail=NEVER_THE_SAME))

    def refused(self, row: PhotoRow, reason: Reason, detail: str) -> None:
        """A worker could make nothing of it."""
        if not row.settled and reason not in (Reason.VANISHED, Reason.NOT_A_REGULAR_FILE):
            # It may simply not be complete yet: look again when it is.
            self.transitions.again(row.id, pause_s=max(1.0, 2 * self._settle_s(row)))
            return
        path = row.original
        if reason is Reason.NO_PERMISSION and path is not None:
            inbox = self.hands.plan.inbox(row.inbox)
            root = b"" if inbox is None else root_of(row, inbox)
            fs = RealFileSystem(root or os.path.dirname(path))
            if run_with_timeout(LOOK_S, lambda: fs.is_readable(path), otherwise=False):
                # It is the worker that may not: bound to a folder that is no more, or started before an original
                # in the trash was to be done again.
                self.worker_manager.recycle()
                detail = "The folder that it lies in is newer than the workers; they start anew, and it is tried again."
        self.tried(row, reason, detail)

    def _settle_s(self, row: PhotoRow) -> float:
        inbox = self.hands.plan.inbox(row.inbox)
        return float(Inbox.model_fields["settle"].default) if inbox is None else inbox.settings.settle

    def like_a_death(self, row: PhotoRow, what: str, *, large: bool) -> None:
        """Workers have said so often what nobody else sees that they end, and that the photo is at fault for it."""
        self.worker_manager.recycle()
        self.transitions.again(row.id)
        detail = f"Its workers said {MOST_CLAIMS} times that {what}, and it was not so."
        self.self_test.suspect(row, Reason.CRASHED, detail, large=large)

    def _guilty(self, suspect: Suspect) -> None:
        """The machine is sound, so the photo did it, unless another file lies there by now."""
        with self.alone(suspect.row.id):
            row = self.hands.row(suspect.row.id)
            if row is not None and row.state == State.PENDING and not moved_on(suspect.row, row):
                self.tried(row, suspect.reason, suspect.detail)
