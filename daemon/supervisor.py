"""The daemon's one loop: every message, every tick and every state change happens here, so there are no locks.

What to do with a message is decided in `keeper.py` (files seen), `dispatch.py` (workers) and `courier.py`
(publication); this module owns their lives, start, stop and reload.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from cutoutd.config.errors import CutoutError
from cutoutd.config.settings import Inbox
from cutoutd.daemon import guest, report, workers
from cutoutd.daemon.backlog import Backlog, Budget
from cutoutd.daemon.control import Control
from cutoutd.daemon.courier import Courier, Route
from cutoutd.daemon.dispatch import Dispatcher
from cutoutd.daemon.intake import State
from cutoutd.daemon.iothread import Done
from cutoutd.daemon.keeper import Keeper
from cutoutd.daemon.ledger import open_ledger
from cutoutd.daemon.listener import Listener
from cutoutd.daemon.lock import StateLock, instance_id, workers_gone
from cutoutd.daemon.orders import Orders
from cutoutd.daemon.outboxes import Outboxes, make_folder
from cutoutd.daemon.outcomes import Outcomes, retry_rules
from cutoutd.daemon.plan import Plan, worker_setup
from cutoutd.daemon.sandbox import SandboxState, guard_supervisor
from cutoutd.daemon.watch import Hint, Rescan, WatchLost

# Commands from other processes, a changed config and dead watches are noticed within this time; a signal is
# noticed at once.
HOUSEKEEPING_S = 5.0
# Start-up does not wait longer than this for folders on slow shares before it warms the workers.
FOLDERS_WAIT_S = 3.0
# How long a new daemon waits for workers that the last one left behind; they die with it, within moments.
ORPHANS_WAIT_S = 30.0
# Messages handled before due work gets its turn.
MESSAGES_PER_TURN = 200
# A loop that is this late was stopped or suspended: deadlines move by as much.
LATE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Signal:
    number: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where this daemon keeps its things."""

    state: Path
    umask: int = 0o022


class Supervisor:
    """One daemon, from its lock to its last commit.

    Args:
        plan: the resolved settings.
        places: state folder and the user's umask.
        listener: hears what happens.
        load: makes a new plan from the config file for a reload; raises CutoutError when it is not valid.
        config_path: looked at for changes when the settings say so.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        plan: Plan,
        places: Places,
        listener: Listener,
        *,
        load: Callable[[], Plan] | None = None,
        config_path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.places = places
        self.listener = listener
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.sandbox: SandboxState | None = None
        self.since = time.time()
        self.models: Mapping[str, Any] = {}
        self.worker_sandbox: SandboxState | None = None
        self.stopping = False
        self.ready = False
        self.yielding = ""
        self.unloaded = False
        self._load = load
        self._config_path = config_path
        self._clock = clock
        self._signals = 0
        self._finished = False
        self._present: dict[Path, tuple[int, int]] = {}
        self._bound: dict[Path, tuple[int, int]] = {}
        self._workers_started = False
        self._started_at = clock()
        self._housekeeping_at = clock()
        self._grace_until = float("inf")
        self._busy_at = clock()
        self._status_at = 0.0
        self._last_status: dict[str, Any] = {}
        self._config_mtime = _mtime(config_path)
        self._foreign_load = guest.ForeignLoad()

    # --- life --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Holds the state folder, does the work until it is told to stop, and leaves everything owed in the ledger.

        Raises:
            AlreadyRunningError: another daemon is at work with this state folder.
            LedgerError: the ledger cannot be opened.
        """
        lock = StateLock(self.places.state)
        try:
            self.listener.starting("Opening the ledger")
            self._open()
            self._take_signals()
            try:
                self._recover()
                self._apply()
                self._loop()
            finally:
                self._close()
        finally:
            lock.release()

    def _open(self) -> None:
        self.sandbox = guard_supervisor()
        self.ledger, aside = open_ledger(self.places.state / "ledger.sqlite")
        if aside is not None:
            self.listener.warning(
                f"The ledger was damaged and lies at {aside}; a new one is built from what is there."
            )
        instance = instance_id(self.places.state)
        settings = self.plan.settings
        self.control = Control(self.ledger)
        self.backlog = Backlog(self.ledger)
        self.keepers: dict[bytes, Keeper] = {}
        self.outcomes = Outcomes(self.ledger, _rules(self.plan))
        self.courier = Courier(
            self.ledger,
            self.outcomes,
            instance=instance,
            on_done=self._photo_done,
            on_trouble=self._outbox_trouble_for,
            on_released=self._released,
            on_warning=self.listener.warning,
        )
        self.outboxes = Outboxes(
            self.ledger,
            post=self.queue.put,
            clock=self._clock,
            instance=instance,
            folder_mode=0o777 & ~self.places.umask,
            keep=self._temporaries_to_keep,
            on_open=self._outbox_open,
            on_trouble=self._outbox_trouble,
        )
        self.workers = workers.Workers(
            worker_setup(self.plan, self.places.state, {}),
            self.plan.workers,
            post=self.queue.put,
            clock=self._clock,
        )
        self.dispatcher = Dispatcher(
            ledger=self.ledger,
            outcomes=self.outcomes,
            backlog=self.backlog,
            workers=self.workers,
            courier=self.courier,
            listener=self.listener,
            plan=self.plan,
            budget=Budget(settings.limits.photos_in_flight, settings.limits.megapixels_in_flight),
            instance=instance,
            clock=self._clock,
            umask=self.places.umask,
            on_outbox_trouble=self._outbox_trouble_for,
        )
        self.orders = Orders(self.ledger, self.keepers, lambda: self.plan.settings.history.keep)

    def _take_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, lambda number, _frame: self.queue.put(_Signal(number)))

    def _recover(self) -> None:
        """What the last life left in hand: waits until its workers are gone, then owes it again."""
        until = self._clock() + ORPHANS_WAIT_S
        while not workers_gone(self.places.state / "workers.lock"):
            if self._clock() > until:
                raise CutoutError(
                    "Workers of an earlier cutoutd are still alive",
                    self.places.state,
                    "End them and start again.",
                )
            time.sleep(0.05)
        for row in self.outcomes.in_state(State.RUNNING):
            self.outcomes.interrupted(row)
        self.ledger.commit()

    def _apply(self) -> None:
        """Brings folders, watches, queue and workers in line with the plan; used at start and after a reload."""
        plan = self.plan
        self.dispatcher.plan = plan
        self.backlog.configure(
            {one.key: (one.settings.priority, one.settings.order == "newest") for one in plan.inboxes}
        )
        self.outboxes.configure({one.settings.outbox for one in plan.inboxes})
        wanted = {one.key: one for one in plan.inboxes}
        for key in [key for key, keeper in self.keepers.items() if _changed(keeper, wanted.get(key))]:
            self.keepers.pop(key).close()
        for key, one in wanted.items():
            stage = "draft" if one.draft is not None else "final"
            if key in self.keepers:
                self.keepers[key].stage = stage
                self.keepers[key].settings = one.settings
                continue
            self._make_on_first_start(one.settings)
            self.keepers[key] = Keeper(
                one.settings,
                self.ledger,
                post=self.queue.put,
                listener=self.listener,
                clock=self._clock,
                on_settled=self.dispatcher.settle,
                on_gone=self.dispatcher.gone,
                on_open=self._folder_open,
                on_stir=self._wake_workers,
                stage=stage,
            )
        self.dispatcher.paused = {k: v for k, v in self.dispatcher.paused.items() if k in wanted}
        self._route()

    def _make_on_first_start(self, inbox: Inbox) -> None:
        key = os.fsencode(inbox.path)
        if self.ledger.one("SELECT 1 FROM folders WHERE path = ?", (key,)) is None:
            with suppress(OSError):  # the keeper says, in a sentence, what is wrong with it
                make_folder(inbox.path, 0o777 & ~self.places.umask)

    def _route(self) -> None:
        self.courier.remember_mounts()
        self.courier.configure(
            {
                one.key: Route(
                    settings=one.settings,
                    io=self.outboxes.io(one.settings.outbox),
                    inbox_io=self.keepers[one.key].io,
                    mode=0o666 & ~self.dispatcher.umask_of(one),
                    keep_names=self.plan.settings.history.filenames,
                    final_stage=one.draft is not None,
                    portable=self.outboxes.portable_names(one.settings.outbox),
                )
                for one in self.plan.inboxes
            }
        )

    # --- the loop ------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        planned = self._clock()
        while not self._finished:
            with suppress(Empty):
                self._message(self.queue.get(timeout=max(0.0, planned - self._clock())))
                for _ in range(MESSAGES_PER_TURN):
                    self._message(self.queue.get_nowait())
            now = self._clock()
            late_s = now - planned if now - planned > LATE_S else 0.0
            self._tick(now, late_s)
            self.ledger.commit()
            planned = self._next_turn()

    def _next_turn(self) -> float:
        now = self._clock()
        due = self.workers.next_deadline()
        pending = self.backlog.next_due(self.ledger.clock())
        times = [
            self._housekeeping_at,
            self.outboxes.next_due(),
            self.dispatcher.next_due(),
            *(keeper.next_due() for keeper in self.keepers.values()),
        ]
        if due is not None:
            times.append(due)
        if pending is not None:
            times.append(now + max(0.0, pending - self.ledger.clock()))
        if self.stopping:
            times.append(self._grace_until)
        if not self._workers_started:
            times.append(self._started_at + FOLDERS_WAIT_S)
        return max(now, min(times))

    def _message(self, message: Any) -> None:
        match message:
            case Done():
                message.then(message.value, message.error)
            case Hint():
                keeper = self.keepers.get(os.fsencode(message.inbox))
                if keeper is not None:
                    keeper.hint(message)
            case Rescan():
                keeper = self.keepers.get(os.fsencode(message.inbox))
                if keeper is not None:
                    keeper.rescan(message.why)
            case WatchLost():
                keeper = self.keepers.get(os.fsencode(message.inbox))
                if keeper is not None:
                    keeper.lost(message.why)
            case workers.Finished():
                self.dispatcher.finished(message)
            case workers.Failed():
                self.dispatcher.failed(message)
            case workers.Died():
                self.dispatcher.died(message)
            case workers.SlotReady():
                self._slot_ready(message)
            case workers.SlotFailed():
                self.listener.warning(
                    f"A worker could not start ({message.error}); tried again in {message.retry_in_s:.0f} s. "
                    "No photo is lost."
                )
            case _Signal():
                self._signal(message.number)
            case _:
                raise TypeError(f"unknown message {message!r}")

    def _tick(self, now: float, late_s: float) -> None:
        for keeper in self.keepers.values():
            keeper.tick(now)
        self.outboxes.tick(now)
        if not self._workers_started:
            self._start_workers(now)
        self.workers.tick(now, late_s)
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + HOUSEKEEPING_S
            self._housekeep()
        if self.dispatcher.dispatch():
            self._busy_at = now
        self._announce(now)
        if self.stopping:
            self._wind_down(now)

    def _start_workers(self, now: float) -> None:
        """Workers start once the folders they are confined to are known, or have kept us waiting too long."""
        known = self.outboxes.all_known() and all(k.watching or k.trouble for k in self.keepers.values())
        if not known and now < self._started_at + FOLDERS_WAIT_S:
            return
        self.listener.starting("Loading the model")
        self._workers_started = True
        self._bound = dict(self._present)
        self.workers.recycle(worker_setup(self.plan, self.places.state, self._present))
        self.workers.start()

    def _wake_workers(self) -> None:
        """A file stirs: workers that were unloaded start while it settles."""
        if self.unloaded:
            self.unloaded = False
            self.workers.load()
        self._busy_at = self._clock()

    def _slot_ready(self, event: workers.SlotReady) -> None:
        self.models = event.facts.get("warm_up") or {}
        self.worker_sandbox = event.facts.get("sandbox")
        if not self.ready:
            self.ready = True
            for row in self.outcomes.in_state(State.DELIVERING):
                self.courier.resume(row)
            for row in self.outcomes.aftercare_owed():
                self.courier.after(row.id)
            self.listener.ready(self.status())

    # --- folders -------------------------------------------------------------------------------------------------

    def _folder_open(self, path: Path, inode: tuple[int, int]) -> None:
        """A folder is there. Landlock binds inodes, so another folder under the name needs other workers."""
        self._present[path] = inode
        if self._workers_started and self._bound.get(path) != inode:
            self._bound = dict(self._present)
            self.workers.recycle(worker_setup(self.plan, self.places.state, self._present))

    def _outbox_open(self, path: Path, inode: tuple[int, int]) -> None:
        self._folder_open(path, inode)
        self._route()
        for one in self.plan.inboxes:
            if one.settings.outbox == path and self.dispatcher.paused.pop(one.key, None) is not None:
                self.listener.notice(f"The outbox {path} can be used again.")
        if self.ready:
            keys = {one.key for one in self.plan.inboxes if one.settings.outbox == path}
            for row in self.outcomes.in_state(State.DELIVERING):
                if row.inbox in keys:
                    self.courier.resume(row)

    def _outbox_trouble(self, path: Path, why: str) -> None:
        for one in self.plan.inboxes:
            if one.settings.outbox == path:
                self.dispatcher.trouble(one.key, why)

    def _outbox_trouble_for(self, inbox: bytes, why: str) -> None:
        one = self.plan.inbox(inbox)
        if one is not None:
            self.outboxes.blame(one.settings.outbox, why)
            self._outbox_trouble(one.settings.outbox, why)

    def _temporaries_to_keep(self) -> frozenset[bytes]:
        """Temporaries that are still to be published, or are being written now."""
        rows = self.ledger.read(
            "SELECT temporary FROM deliverables WHERE state = 'delivering' AND temporary IS NOT NULL"
        )
        return frozenset(row["temporary"] for row in rows) | self.dispatcher.temporaries()

    def _released(self, photo: int) -> None:
        self.dispatcher.released(photo)

    def _photo_done(self, photo: int, paths: list[bytes], timings: Any) -> None:
        row = self.outcomes.get(photo)
        if row is None:
            return
        inbox = self.plan.inbox(row.inbox)
        if inbox is not None:
            self.outboxes.praise(inbox.settings.outbox)
        self.listener.photo_done(self.dispatcher.done_event(row, paths, timings))

    # --- housekeeping ----------------------------------------------------------------------------------------------

    def _housekeep(self) -> None:
        for keeper in self.keepers.values():
            keeper.check_health()
        self.orders.carry_out()
        settings = self.plan.settings
        if settings.reload_on_change and _mtime(self._config_path) != self._config_mtime:
            self.reload()
        self.yielding = self._reason_to_yield()
        self.dispatcher.stopped = self.stopping or bool(self.yielding) or self.orders.paused
        self._unload_when_idle()
        self.orders.trim_history()
        if self.ready:
            self.listener.healthy()

    def _reason_to_yield(self) -> str:
        """Why a good guest starts no new photo now, or an empty text."""
        engine = self.plan.settings.engine
        if engine.pause_on_battery and guest.on_battery():
            return "on battery power; goes on when plugged in"
        if engine.max_load:
            pids = [slot.pid for slot in self.workers.status() if slot.pid is not None]
            own = guest.cpu_seconds(pids)
            load = self._foreign_load.per_core(self._clock(), own, len(self.dispatcher.in_hand))
            if load > engine.max_load:
                return f"other programs keep the machine busy (load {load:.1f} per core)"
        return ""

    def _unload_when_idle(self) -> None:
        limit_s = self.plan.settings.engine.idle_unload
        idle = self._clock() - self._busy_at
        if limit_s and idle > limit_s and self.ready and not self.unloaded and not self.intake_owed():
            self.unloaded = True
            self.workers.unload()
        elif self.unloaded and not self.dispatcher.stopped and self.intake_owed():
            self._wake_workers()

    def intake_owed(self) -> bool:
        """Whether any photo is still to be finished."""
        return (
            self.ledger.one(
                "SELECT 1 FROM photos WHERE state IN ('pending', 'running', 'delivering') LIMIT 1"
            )
            is not None
        )

    def status(self) -> dict[str, Any]:
        """What `cutoutd status` shows of a running daemon."""
        return report.live_status(self)

    def _announce(self, now: float) -> None:
        """Publishes the status when it changed, at most once a second."""
        if now - self._status_at < 1.0:
            return
        status = self.status()
        if status != self._last_status:
            self._last_status = status
            self._status_at = now
            self.control.publish(status)
            self.listener.status(status)

    def reload(self) -> None:
        """Takes up a changed config as a whole, or keeps the old one and says why."""
        self._config_mtime = _mtime(self._config_path)
        if self._load is None:
            return
        self.listener.reloading()
        try:
            plan = self._load()
        except CutoutError as error:
            self.listener.warning(f"The new config is not used; the old one stays in force. {error}")
            self.listener.reloaded()
            return
        self.plan = plan
        self.outcomes.rules = _rules(plan)
        limits = plan.settings.limits
        self.dispatcher.budget.photos, self.dispatcher.budget.megapixels = (
            limits.photos_in_flight,
            limits.megapixels_in_flight,
        )
        self._apply()
        self._bound = dict(self._present)
        self.workers.resize(plan.workers)
        self.workers.recycle(worker_setup(plan, self.places.state, self._present))
        self.listener.notice("The new config is in force.")
        self.listener.reloaded()

    # --- stopping ----------------------------------------------------------------------------------------------------

    def _signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self.reload()
        elif number == signal.SIGUSR1:
            self.orders.carry_out()
            self.dispatcher.stopped = self.stopping or bool(self.yielding) or self.orders.paused
        else:
            self.stop()

    def stop(self) -> None:
        """First call: finish what is in hand. Second: stop now; everything not published stays owed."""
        self._signals += 1
        if self._signals == 1:
            self.stopping = True
            self.dispatcher.stopped = True
            self._grace_until = self._clock() + self.plan.settings.stop_grace
            self.listener.stopping()
            self.workers.stop(now=False)
        else:
            self._finished = True

    def _wind_down(self, now: float) -> None:
        nothing_left = not self.dispatcher.in_hand and not self.courier.in_transit()
        if nothing_left or now >= self._grace_until:
            self._finished = True

    def _close(self) -> None:
        """Whatever is still in hand goes back into the ledger; our temporaries go."""
        self.workers.stop(now=True)
        self.ledger.rollback()
        for row in self.outcomes.in_state(State.RUNNING):
            self.outcomes.again(row.id)
        for path, names in self.dispatcher.temporaries_by_outbox().items():
            with suppress(KeyError):
                self.outboxes.discard(path, names)
        self.control.publish({"state": "stopped"})
        self.ledger.commit()
        for keeper in self.keepers.values():
            keeper.close()
        self.outboxes.close(2.0)
        for keeper in self.keepers.values():
            keeper.join(2.0)
        self.ledger.close()


def _rules(plan: Plan) -> Any:
    limits = plan.settings.limits
    return retry_rules(
        attempts_after_death=limits.attempts_after_death,
        attempts_when_busy=limits.attempts_when_busy,
        settle_s=max(one.settings.settle_unhinted for one in plan.inboxes),
    )


def _changed(keeper: Keeper, wanted: Any) -> bool:
    """Whether an inbox left the config or is to be watched differently."""
    if wanted is None:
        return True
    watched = ("path", "recursive", "include", "exclude", "events", "settle", "settle_unhinted")
    watched += ("settle_polled", "poll_every", "rescan_every")
    return any(getattr(keeper.settings, name) != getattr(wanted.settings, name) for name in watched)


def _mtime(path: Path | None) -> int:
    try:
        return 0 if path is None else path.stat().st_mtime_ns
    except OSError:
        return 0
