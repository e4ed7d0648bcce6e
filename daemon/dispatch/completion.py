"""From a worker's result to a published photo: its file settled, what was read compared, its cutouts delivered, told.

All methods run in the supervisor's loop; how cutouts are published is `delivery/`'s business.
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine
from typing import Any

from msgspec import Struct

from cutoutd.config.errors import Reason
from cutoutd.daemon.delivery.outboxes import Outboxes
from cutoutd.daemon.delivery.outcomes import (
    Delivered,
    Lost,
    NameRefused,
    OutboxTrouble,
    Outcome,
    PlaceRefused,
)
from cutoutd.daemon.delivery.publisher import Publisher
from cutoutd.daemon.dispatch.failures import Failures
from cutoutd.daemon.dispatch.hands import Hands, InHand, may_hide_a_change, moved_on, only_touched
from cutoutd.daemon.dispatch.outbox_refusals import OutboxRefusals
from cutoutd.daemon.dispatch.renames import RenameDetector
from cutoutd.daemon.dispatch.second_look import SecondLook
from cutoutd.daemon.dispatch.worker_manager import WorkerManager
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.story import Story
from cutoutd.daemon.ledger.records import Facts, PhotoRow, differ
from cutoutd.daemon.ledger.states import Aftercare, State
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals.aftercare import AfterCare


class Completion(Struct, frozen=True):
    """What becomes of finished photos."""

    hands: Hands
    transitions: Transitions
    worker_manager: WorkerManager
    publisher: Publisher
    aftercare: AfterCare
    outboxes: Outboxes
    failures: Failures
    outbox_refusals: OutboxRefusals
    renames: RenameDetector
    second_look: SecondLook
    listener: Listener

    def settle(self, photo: int) -> None:
        """Publishes a finished photo once its file is known to be complete and to be what was read."""
        hand = self.hands.photos.get(photo)
        if hand is None or hand.finished is None or hand.delivering:
            return
        row = self.hands.row(photo)
        if row is None:
            self.publisher.discard(hand.finished)
            self.hands.let_go(photo)
            return
        if self.hands.settings_of(row.inbox) is None:
            # Nobody would say when its file is complete, nor where its cutouts go: it waits until its inbox is back.
            self.publisher.discard(hand.finished)
            self.hands.let_go(photo)
            self.transitions.again(photo)
            return
        if hand.gone and not row.settled:
            self.gone(photo)
            return
        read = hand.finished
        known = Facts(read.size, read.mtime_ns, read.inode)
        if only_touched(hand.row, row, known):
            if row.settled:
                self._begin_comparing(hand, row, read.digest)
        elif moved_on(hand.row, row) or (row.archived_to is None and differ(row.facts, known)):
            self.publisher.discard(read)
            self.hands.let_go(photo)
            self.failures.changed(row)
        elif row.settled and not hand.compared and self._must_compare(row, read.digest):
            self._begin_comparing(hand, row, read.digest)
        elif row.settled and hand.compared and self.renames.renamed(row, read.digest):
            self.publisher.discard(read)
            self.hands.let_go(photo)
        elif row.settled and self._took_over_a_wish(row):
            self.publisher.discard(read)
            self.hands.let_go(photo)
            self.transitions.forced(photo)
        elif row.settled and self._is_of_another_content(row, read.digest):
            self.publisher.discard(read)
            self.hands.let_go(photo)
            self.transitions.without_its_wish(photo)
        elif row.settled:
            hand.delivering = True
            self._see_through(row, self.publisher.deliver(row, read, hand.deliverables))

    def _must_compare(self, row: PhotoRow, digest: str) -> bool:
        """Whether only its content tells that this is the photo that was read."""
        hidden = row.archived_to is None and may_hide_a_change(row.facts, self.hands.ledger.clock())
        return hidden or self.renames.may_be_renamed(row, digest)

    def _took_over_a_wish(self, row: PhotoRow) -> bool:
        """Whether it turned out just now to be a photo that had another name, with points or a `redo` of its own."""
        now = self.hands.row(row.id)
        return now is not None and now.overrides != row.overrides

    def _is_of_another_content(self, row: PhotoRow, digest: str) -> bool:
        """Whether what a `redo` asked for (a mask, a point, one deliverable of two) was meant for another picture."""
        before = row if row.digest or row.previous is None else self.hands.row(row.previous)
        return bool(row.overrides and before is not None and before.digest and before.digest != digest)

    def gone(self, photo: int) -> None:
        """The file vanished before it settled: a finished result is dropped, a waiting row ends."""
        hand = self.hands.photos.get(photo)
        row = self.hands.row(photo)
        if hand is not None and hand.finished is None:
            hand.gone = True  # its reader may have read it before: then its result waits for nothing
            return
        if row is None or (hand is not None and hand.delivering) or row.aftercare is Aftercare.HIDDEN:
            return  # by our own doing, in the last case
        if hand is not None and hand.finished is not None:
            self.publisher.discard(hand.finished)
            self.hands.let_go(photo)
        if row.state in (State.PENDING, State.RUNNING):
            self.transitions.ended(photo, Reason.VANISHED, "It was gone before it could be read.")

    # --- the story of one publication --------------------------------------------------------------------------

    def resume_deliveries(self, inboxes: Collection[bytes] | None = None) -> None:
        """Goes on with what was being published when the daemon ended or an outbox went away; unset, in all inboxes."""
        for row in self.transitions.in_state(State.DELIVERING):
            if inboxes is None or row.inbox in inboxes:
                self._see_through(row, self.publisher.resume(row))
        self.publisher.withdraw()

    def _see_through(self, row: PhotoRow, publication: Coroutine[Any, Any, Outcome | None]) -> None:
        Story(self._published(row, publication), self.failures.paid_by(row.id))

    async def _published(self, row: PhotoRow, publication: Coroutine[Any, Any, Outcome | None]) -> None:
        """A photo is published, and what becomes of that is its own, its outbox's or its original's business."""
        outcome = await publication
        if isinstance(outcome, Delivered):
            self._done(row.id, outcome)
        hand, large = self.hands.photos.get(row.id), self.hands.large(row.id)
        if outcome is not None:
            self.hands.let_go(row.id)
        match outcome:
            case Lost() if hand is not None and hand.node:
                self.worker_manager.doubt(hand.node, "wrote a cutout that does not arrive here")
            case Lost():
                self.second_look.cutout_lost(row.id, large=large)
            case Delivered(owed=True):
                self.aftercare.after(row.id)
            case Delivered():
                self.aftercare.cut_out(row)
            case NameRefused():
                self.outbox_refusals.name_refused(row, outcome.why)
            case PlaceRefused():
                self.outbox_refusals.place_refused(row, outcome.code, outcome.why, seen=True)
            case OutboxTrouble():
                self.outbox_refusals.outbox_trouble(row.inbox, outcome.why)
            case _:
                pass  # nothing more is owed, or it is made again

    def _done(self, photo: int, delivered: Delivered) -> None:
        row = self.hands.row(photo)
        if row is None:
            return
        inbox = self.hands.plan.inbox(row.inbox)
        if inbox is not None:
            self.outboxes.went_well(inbox.settings.outbox)
        self.second_look.forget(photo)
        self.listener.photo_done(self.hands.done_event(row, delivered.paths, delivered.timings))

    def _begin_comparing(self, hand: InHand, row: PhotoRow, digest: str) -> None:
        if not hand.comparing:
            Story(self._compare(hand, row, digest), self.failures.paid_by(row.id))

    async def _compare(self, hand: InHand, row: PhotoRow, digest: str) -> None:
        """The content decides: something changed that is neither size nor time of writing, perhaps only the mode; its
        times are too coarse to show a change; or a row with the content that its worker claims to have read may turn
        out to be the photo's.
        """
        hand.comparing = True
        now = await self.aftercare.content_of(row)
        hand.comparing = False
        if self.hands.photos.get(row.id) is not hand or hand.finished is None:
            return
        if now == digest:
            seen = self.hands.row(row.id)
            # Where it is being written again since, it is compared once more when it has settled.
            hand.row, hand.compared = row, seen is not None and bool(seen.settled)
            self.settle(row.id)
            return
        large = self.hands.large(row.id)
        self.publisher.discard(hand.finished)
        self.hands.let_go(row.id)
        row = self.hands.row(row.id) or row
        if now and not differ(hand.row.facts, row.facts) and self.second_look.lies_there(row):
            self.second_look.unseen(row, "it holds something else than it does", large=large)
        else:
            self.failures.changed(row)
