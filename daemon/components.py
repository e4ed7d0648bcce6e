"""The daemon's parts, made, connected and brought in line with a plan; when they run is the supervisor's business."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from cutoutd.config.errors import LedgerError
from cutoutd.config.settings import Inbox
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.daemon.delivery.left_outboxes import LeftOutboxes
from cutoutd.daemon.delivery.naming import Route
from cutoutd.daemon.delivery.outboxes import Outboxes
from cutoutd.daemon.delivery.publisher import Publisher
from cutoutd.daemon.dispatch.commands import Commands
from cutoutd.daemon.dispatch.dispatcher import Dispatcher
from cutoutd.daemon.dispatch.hands import Hands
from cutoutd.daemon.dispatch.scheduler import Budget, Scheduler
from cutoutd.daemon.dispatch.worker_manager import WorkerManager
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.folders import make_folder
from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.files.question import ASK_EVERY_S
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.control import Control
from cutoutd.daemon.ledger.database import LEDGER_NAME
from cutoutd.daemon.ledger.file import open_ledger
from cutoutd.daemon.ledger.folders import Folders
from cutoutd.daemon.ledger.group_commit import GroupCommit
from cutoutd.daemon.ledger.retry_rules import RetryRule, retry_rules
from cutoutd.daemon.ledger.states import Stage, State
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.live_status import LIVE_STATUS, DaemonState, LiveStatus
from cutoutd.daemon.lock import instance_id, wait_for_workers
from cutoutd.daemon.mailbox import Message
from cutoutd.daemon.news import News
from cutoutd.daemon.originals.aftercare import AfterCare
from cutoutd.daemon.plan import InboxPlan, Plan
from cutoutd.daemon.watching.inbox import InboxWatcher
from cutoutd.daemon.workers import pool

if TYPE_CHECKING:
    from cutoutd.daemon.fleet.link import RelayLink


class Places(Struct, frozen=True):
    """Where this daemon keeps its things."""

    state: Path
    umask: int = 0o022


class Components:
    """Ledger, queue, watches, workers and delivery of one daemon.

    Args:
        plan: the resolved settings.
        places: state folder and the user's umask.
        listener: hears what happens.
        post: the supervisor's queue.
        clock: monotonic seconds.
        link: to the relay of a fleet, which outlives these parts; None where there is none.

    Raises:
        LedgerError: the ledger cannot be opened.
    """

    def __init__(
        self,
        plan: Plan,
        places: Places,
        listener: Listener,
        post: Callable[[Message], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        link: RelayLink | None = None,
    ) -> None:
        self._link = link
        self.plan = plan
        self._places = places
        self._listener = listener
        self._post = post
        self._clock = clock
        self.ledger, aside = open_ledger(places.state / LEDGER_NAME)
        if aside is not None:
            listener.warning(f"The ledger was damaged and lies at {aside}; it is rebuilt from what is there.")
        try:
            self._make()
        except sqlite3.OperationalError as error:
            self.ledger.abandon()
            raise LedgerError(
                f"The ledger cannot be read ({error})",
                self.ledger.path,
                "Check the folder's permissions and free space.",
            ) from error
        except BaseException:
            self.ledger.abandon()
            raise

    def _make(self) -> None:
        with suppress(OSError):  # without it no mask can be given; its command says why
            masks.make_folder(self._places.state)
        limits = self.plan.settings.limits
        remembered = str(self.ledger.get_meta("instance") or "")
        instance = instance_id(self._places.state, remembered)
        if instance != remembered:
            self.ledger.set_meta("instance", instance)
        self.control = Control(self.ledger)
        self.news = News(self, self._listener)
        self.group_commit = GroupCommit(self.ledger)
        self.scheduler = Scheduler(self.ledger)
        self.inbox_watchers: dict[bytes, InboxWatcher] = {}
        self.transitions = Transitions(self.ledger, _rules(self.plan))
        self.worker_manager = WorkerManager(
            self.plan,
            self._places.state,
            self._listener,
            self._post,
            transitions=self.transitions,
            clock=self._clock,
            link=self._link,
            into_loop=lambda then, value: self._post(Done(lambda one, _error: then(one), value, None)),
        )
        self.aftercare = AfterCare(
            self.ledger,
            self.transitions,
            on_disk=self.group_commit,
            instance=instance,
            folder_mode=0o777 & ~self._places.umask,
            listener=self._listener,
            post=self._post,
            on_folder=self.worker_manager.after_folder,
            on_misread=self._misread,
            clock=self._clock,
        )
        self.left_outboxes = LeftOutboxes(self.ledger, post=self._post, instance=instance)
        self.publisher = Publisher(
            self.ledger,
            self.transitions,
            on_disk=self.group_commit,
            instance=instance,
            discard_elsewhere=self.left_outboxes.discard,
        )
        self.outboxes = Outboxes(
            self.ledger,
            post=self._post,
            clock=self._clock,
            instance=instance,
            folder_mode=0o777 & ~self._places.umask,
            news=self.news,
        )
        self.workers = self.worker_manager.slots
        budget = Budget(limits.photos_in_flight, limits.megapixels_in_flight)
        self.hands = Hands(self.ledger, self.plan, budget, self._clock)
        self.dispatcher = Dispatcher(
            ledger=self.ledger,
            transitions=self.transitions,
            scheduler=self.scheduler,
            worker_manager=self.worker_manager,
            outboxes=self.outboxes,
            publisher=self.publisher,
            aftercare=self.aftercare,
            listener=self._listener,
            hands=self.hands,
            instance=instance,
            umask=self._places.umask,
        )
        self.commands = Commands(self.ledger, self.inbox_watchers, self.plan.settings, clock=self._clock)

    # --- start, change, end ----------------------------------------------------------------------------------

    def recover(self, *, count: bool = True) -> None:
        """What the last life left in hand: waits until its workers are gone, then owes it again.

        Args:
            count: as an interruption of those photos, which may have caused it.

        Raises:
            CutoutError: workers of an earlier daemon do not end.
        """
        wait_for_workers(self._places.state / "workers.lock", self._clock)
        for row in self.transitions.in_state(State.RUNNING):
            if count:
                self.transitions.interrupted(row)
            else:
                self.transitions.again(row.id)
        self.ledger.commit()

    def apply(self, plan: Plan) -> None:
        """Brings folders, watches, queue and workers in line with a plan; used at start and after a reload."""
        before = {one.key: one.settings.outbox for one in self.plan.inboxes}
        self.plan = plan
        self.dispatcher.follow(plan)
        self.transitions.follow(_rules(plan))
        self.commands.follow(plan.settings)
        self.scheduler.configure(
            {one.key: (one.settings.priority, one.settings.order == "newest") for one in plan.inboxes}
        )
        outboxes = {one.settings.outbox for one in plan.inboxes}
        self.outboxes.configure(outboxes, guarded=bool(plan.settings.engine.sandbox))
        self.left_outboxes.follow(outboxes, self.news.temporaries_to_keep())
        wanted = {one.key: one for one in plan.inboxes}
        for key, inbox_watcher in list(self.inbox_watchers.items()):
            if key not in wanted or not wanted[key].watched_like(inbox_watcher.settings):
                self.inbox_watchers.pop(key).close()
        for one in plan.inboxes:
            self._keep(one)
        self.route()
        self.worker_manager.follow(plan)
        now = {one.key: one.settings.outbox for one in plan.inboxes}
        moved = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
        for key in moved:
            # What it is to be asked was another outbox's doing.
            self.dispatcher.outbox_refusals.outbox_refuses(key)
        # Nobody opens an outbox that is open for another inbox: who goes there from now on goes on at once.
        for path in self.outboxes.opened() - self.outboxes.troubles().keys():
            self.news.go_on(moved & self.news.whose(path))

    def _keep(self, one: InboxPlan) -> None:
        stage = Stage.FINAL if one.draft is None else Stage.DRAFT
        inbox_watcher = self.inbox_watchers.get(one.key)
        if inbox_watcher is not None:
            inbox_watcher.follow(one.settings, stage)
            return
        self._make_on_first_start(one.settings)
        self.inbox_watchers[one.key] = InboxWatcher(
            one.settings,
            self.ledger,
            post=self._post,
            listener=self._listener,
            clock=self._clock,
            news=self.news,
            stage=stage,
        )

    def _make_on_first_start(self, inbox: Inbox) -> None:
        if Folders(self.ledger).recorded(inbox.path) is None:
            mode = 0o777 & ~self._places.umask
            # Its watcher says, in a sentence, what is wrong with it, or that it hangs.
            with suppress(OSError):
                run_with_timeout(LOOK_S, lambda: make_folder(inbox.path, mode), None)

    def route(self) -> None:
        """Tells delivery and after-care where each inbox's cutouts and originals go, as things stand now."""
        self.publisher.remember_mounts()
        self.publisher.configure(
            {
                one.key: Route(
                    settings=one.settings,
                    io=self.outboxes.io(one.settings.outbox),
                    mode=0o666 & ~self.dispatcher.umask_of(one),
                    keep_names=self.plan.settings.history.filenames,
                    final_stage=one.draft is not None,
                    final_model=one.final.name,
                    portable=self.outboxes.portable_names(one.settings.outbox),
                    leases=self.outboxes.leases(one.settings.outbox),
                    inode=self.outboxes.inode(one.settings.outbox),
                )
                for one in self.plan.inboxes
            }
        )
        self.aftercare.configure(
            {one.key: (one.settings, self.inbox_watchers[one.key].io) for one in self.plan.inboxes},
            keep_names=self.plan.settings.history.filenames,
            largest_copy=self.plan.settings.limits.max_bytes,
        )

    def close(self) -> None:
        """Whatever is still in hand goes back into the ledger; our temporaries go.

        Raises:
            sqlite3.OperationalError: the ledger takes no more. All is ended none the less, and the next life
                recovers as after a crash.
        """
        self.workers.stop(now=True)
        try:
            self._hand_back()
        except BaseException:
            self.abandon()
            raise
        self._end_folders()
        self.ledger.close()

    def _hand_back(self) -> None:
        self.ledger.rollback()
        for row in self.transitions.in_state(State.RUNNING):
            self.transitions.again(row.id)
        promised = self.transitions.promised_temporaries()
        self.publisher.discard_all(self.hands.temporaries() - promised)
        self.ledger.set_meta(LIVE_STATUS, LiveStatus(state=DaemonState.STOPPED).to_json())
        self.commands.drop_names()
        self.ledger.commit()

    def _end_folders(self) -> None:
        for inbox_watcher in self.inbox_watchers.values():
            inbox_watcher.close()
        self.outboxes.close(2.0)
        self.left_outboxes.close(2.0)
        for inbox_watcher in self.inbox_watchers.values():
            inbox_watcher.join(2.0)

    def abandon(self) -> None:
        """Ends everything without another write: the ledger cannot take one. The next life recovers."""
        self.workers.stop(now=True)
        self._end_folders()
        self.ledger.abandon()

    # --- workers ---------------------------------------------------------------------------------------------

    def start_workers(self, now: float) -> None:
        """Starts them once it is known which folders are there."""
        known = self.outboxes.all_known() and all(
            k.watching or k.trouble for k in self.inbox_watchers.values()
        )
        self.worker_manager.start(now, folders_known=known)

    def unload_when_idle(self) -> None:
        """Ends the workers after a long rest, and brings them back when something is owed after all."""
        self.worker_manager.rest(owed=self.owed, stopped=self.dispatcher.stopped)

    def next_due(self) -> float:
        """Monotonic time at which folders or workers have something to do."""
        return min(
            self.outboxes.next_due(),
            self.dispatcher.next_due(),
            self.aftercare.next_due(),
            self.worker_manager.next_due(),
            *(inbox_watcher.next_due() for inbox_watcher in self.inbox_watchers.values()),
        )

    def healthy(self) -> bool:
        """Whether watches stand (or their folders are known to be missing) and workers can start.

        A watchdog that is no longer fed restarts the daemon, which loses nothing.
        """
        watched = all(
            inbox_watcher.watching or inbox_watcher.trouble for inbox_watcher in self.inbox_watchers.values()
        )
        return self.worker_manager.ready and watched and self.worker_manager.can_start()

    def owed(self) -> bool:
        """Whether any photo is still to be finished."""
        return self.scheduler.any_owed()

    def slot_ready(self, event: pool.SlotReady) -> bool:
        """A worker is warm: from the first one on photos are taken up. True when all networks are, the first time."""
        was_warm, was_ready = self.worker_manager.warm, self.worker_manager.ready
        self.worker_manager.slot_ready(event)
        if not was_warm:
            self.dispatcher.completion.resume_deliveries()
            self.aftercare.resume()
        return self.worker_manager.ready and not was_ready

    def _misread(self, photo: int) -> None:
        self.dispatcher.misread(photo)

    def ask_outboxes(self, now: float) -> None:
        """Photos that take long may wait for a share that hangs; their folders are asked."""
        for one in self.hands.inboxes_in_use(now, ASK_EVERY_S):
            self.outboxes.ask(one.outbox, now)
            inbox_watcher = self.inbox_watchers.get(os.fsencode(one.path))
            if inbox_watcher is not None and inbox_watcher.watching:
                inbox_watcher.ask(now)


def _rules(plan: Plan) -> dict[str, RetryRule]:
    limits = plan.settings.limits
    return retry_rules(
        attempts_after_death=limits.attempts_after_death,
        attempts_when_busy=limits.attempts_when_busy,
        settle_s=max(one.settings.settle_unhinted for one in plan.inboxes),
    )
