"""The daemon's one loop: every message, every tick and every state change happens here, so there are no locks.

`turn()` is the whole of it. What to do with a message is decided in `watching/arrivals.py` (files seen),
`dispatch/dispatcher.py` (workers) and `delivery/publisher.py` (publication); `components.py` holds them together. This
module owns signals, reload and stop; `lifecycle.py` begins and ends it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from cutoutd.config.errors import CutoutError, EngineError
from cutoutd.daemon import host_load, status
from cutoutd.daemon.components import Components, Places
from cutoutd.daemon.config_file import ConfigFile
from cutoutd.daemon.dispatch.self_test import SELF_TEST
from cutoutd.daemon.events import Listener, Listeners
from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.ledger.database import refuse_share
from cutoutd.daemon.ledger.faults import alone
from cutoutd.daemon.ledger.troubles import is_ledgers_own
from cutoutd.daemon.live_status import LIVE_STATUS, LiveStatus
from cutoutd.daemon.mailbox import Mailbox, Message, OfConfig, Signal
from cutoutd.daemon.mistakes import Mistakes
from cutoutd.daemon.plan import Plan
from cutoutd.daemon.sandbox.guard import SandboxState, guard_supervisor
from cutoutd.daemon.upgrade import Installed
from cutoutd.daemon.watching.watcher import Hint, Rescan, Unwatched, WatchLost
from cutoutd.daemon.workers import pool

if TYPE_CHECKING:
    from cutoutd.daemon.fleet.link import RelayLink

# Commands from other processes, a changed config and dead watches are noticed within this time; a signal is
# noticed at once.
HOUSEKEEPING_S = 5.0
# A stop waits so long for photos that are cut out and only wait until nobody writes their files any more.
SETTLE_GRACE_S = 5.0
# Messages handled before due work gets its turn.
MESSAGES_PER_TURN = 200
# A loop that is this late was stopped or suspended: deadlines move by as much.
LATE_S = 1.0


class Supervisor:
    """What a daemon does in each of its lives.

    Args:
        plan: the resolved settings.
        places: state folder and the user's umask.
        listener: hears what happens.
        load: makes a new plan from the config file for a reload; raises CutoutError when it is not valid.
        config_path: looked at for changes when the settings say so.
        hung_up: whether a SIGHUP comes from a terminal that went away, which is no wish for a reload.
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
        hung_up: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.listener = listener if isinstance(listener, Listeners) else Listeners(listener)
        self.listener.configured(plan.settings)
        self.since = time.time()
        self.stopping = False
        self.yielding = ""
        self.sandbox: SandboxState | None = None
        self.mistakes = Mistakes(self.listener)
        self._plan = plan
        self._places = places
        self._mailbox = Mailbox()
        self._config_file = ConfigFile(
            config_path, load, news=self, post=lambda done: self.post(OfConfig(done)), clock=clock
        )
        self._hung_up = hung_up
        self._clock = clock
        self._signals = 0
        self.finished = False
        self._housekeeping_at = clock()
        self._stop_at = self._grace_until = float("inf")
        self.was_ready = False
        self._changes = status.Changes(clock)
        self._foreign_load = host_load.ForeignLoad()
        self._link: RelayLink | None = None
        self.installed = Installed(clock)

    # --- life --------------------------------------------------------------------------------------------------

    def take_process(self) -> None:
        """Gives up what a daemon does not need, and hears this process's signals from now on.

        Where a fleet is configured its relay is started before: afterwards nothing that is started from here has a
        network.

        Raises:
            EngineError: the relay cannot be started.
            LedgerError: with a fleet, the ledger lies on a network share.
        """
        fleet = self._plan.settings.fleet
        if fleet.scheduler and fleet.certificates is not None:
            from cutoutd.daemon.fleet.link import RelayLink

            refuse_share(self._places.state)
            self._link = RelayLink(fleet.scheduler, fleet.certificates)
        self.sandbox = guard_supervisor()
        self._mailbox.hear_signals()

    def end(self) -> None:
        """After the last life: the relay goes too."""
        if self._link is not None:
            self._link.close()

    def make_components(self) -> Components:
        """The parts of one life, made but not started; of what an earlier one's parts still say nothing is heard.

        Raises:
            LedgerError: the ledger cannot be opened.
        """
        self._mailbox.renew()
        self.components = Components(
            self._plan, self._places, self.listener, self._mailbox.queue.put, self._clock, link=self._link
        )
        return self.components

    def rest(self, longest_s: float) -> bool:
        """Between two lives: hears only whether it is to end; other signals are kept for the next life.

        Returns:
            Whether it rested so long and heard nothing.
        """
        if self._signals:  # before the rest began
            self.finished = True
            return False
        heard = self._mailbox.between_lives(longest_s)
        self.finished = isinstance(heard, Signal) and heard.ends
        return heard is None

    # --- the loop ----------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Takes turns until told to stop.

        Raises:
            sqlite3.DatabaseError: the ledger cannot be written now, or is damaged.
        """
        self.components.apply(self._plan)
        planned = self._clock()
        while not self.finished:
            with suppress(Empty):
                self._message(self._mailbox.queue.get(timeout=max(0.0, planned - self._clock())))
            planned = self.turn(planned)

    def post(self, message: Message) -> None:
        """Hands a message to the loop, from any thread."""
        self._mailbox.queue.put(message)

    def turn(self, planned: float) -> float:
        """One turn: every message that has come, all work that is due, one commit, or two where one has to be durable.

        Args:
            planned: monotonic time at which this turn was to begin; a loop that is late was stopped or suspended.

        Returns:
            Monotonic time at which the next turn has something to do, should no message come before.

        Raises:
            sqlite3.OperationalError: the ledger cannot be written now.
            EngineError: the fleet's relay is gone, and only another process can start one.
        """
        self._hear()
        if self._link is not None and self._link.ended and not self.stopping:
            fix = "What is left is done after the next start; service managers start it again by themselves."
            raise EngineError(self._link.ended, fix=fix)
        for done in self.components.group_commit.carry_out():
            # At once, whatever else waits: a photo whose final is owed from now on is still in hand for its draft.
            self._message(done)
        now = self._clock()
        self._tick(now, now - planned if now - planned > LATE_S else 0.0)
        self.components.ledger.commit()
        return self._next_turn()

    def _hear(self) -> None:
        with suppress(Empty):
            for _ in range(MESSAGES_PER_TURN):
                self._message(self._mailbox.queue.get_nowait())

    def _next_turn(self) -> float:
        now, wall = self._clock(), self.components.ledger.clock()
        if self.components.group_commit.waiting():
            return now
        pending = self.components.scheduler.next_due(wall)
        times = [self._housekeeping_at, self.components.next_due()]
        if pending is not None:
            times.append(now + max(0.0, pending - wall))
        if self._changes.unseen:
            times.append(self._changes.due)
        if self.stopping:
            settled_at = self._stop_at + SETTLE_GRACE_S
            times.append(settled_at if now < settled_at else self._grace_until)
        return max(now, min(times))

    def _message(self, message: Message) -> None:
        """Handles one message; what goes wrong with one photo is paid for by that photo, and nothing ends the loop."""
        try:
            self._handle(message)
        except Exception as error:
            if is_ledgers_own(error):
                raise
            with alone(self.mistakes.note):
                self._fault_of(message, error)

    def _fault_of(self, message: Any, error: Exception) -> None:
        """Tells the part whose photo the message was about; raises the error again where it was about none."""
        parts = self.components
        match message:
            case pool.Finished() | pool.Failed() | pool.Died() if message.tag != SELF_TEST:
                parts.dispatcher.fault(message.tag, error)
            case Hint() if inbox_watcher := parts.inbox_watchers.get(os.fsencode(message.inbox)):
                inbox_watcher.arrivals.fault(message.path, error)
            case _:
                raise error

    def _handle(self, message: Message) -> None:
        parts = self.components
        match message:
            case Done():
                message.then(message.value, message.error)
            case OfConfig():
                self._handle(message.done)
            case Hint() | Rescan() | Unwatched() | WatchLost():
                self._seen(message)
            case pool.Finished():
                parts.dispatcher.finished(message)
            case pool.Failed():
                parts.dispatcher.failed(message)
            case pool.Died():
                parts.dispatcher.died(message)
            case pool.SlotReady():
                if parts.slot_ready(message):
                    self.was_ready = True
                    self._changes.at_once()
                    self.listener.ready(self.status())
            case pool.SlotFailed():
                self.listener.warning(
                    f"A worker could not start ({message.error.removesuffix('.')}); tried again in"
                    f" {message.retry_in_s:.0f} s. No photo is lost."
                )
            case Signal():
                self._signal(message.number)
            case _:
                raise TypeError(f"unknown message {message!r}")

    def _seen(self, message: Hint | Rescan | Unwatched | WatchLost) -> None:
        inbox_watcher = self.components.inbox_watchers.get(os.fsencode(message.inbox))
        if inbox_watcher is None:
            return  # its inbox left the config meanwhile
        match message:
            case Hint():
                inbox_watcher.arrivals.hint(message)
            case Rescan():
                inbox_watcher.rescan(message.path)
            case Unwatched():
                inbox_watcher.unwatched()
            case WatchLost():
                inbox_watcher.lost(message.why)

    def _tick(self, now: float, late_s: float) -> None:
        parts = self.components
        for inbox_watcher in parts.inbox_watchers.values():
            inbox_watcher.tick(now, late_s)
        parts.outboxes.tick(now, late_s)
        parts.ask_outboxes(now)
        parts.aftercare.tick(now)
        parts.start_workers(now)
        parts.workers.tick(now, late_s)
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + HOUSEKEEPING_S
            self._housekeep()
        if parts.dispatcher.dispatch():
            parts.worker_manager.at_work(now)
        changed = self._changes.look(now, self.status)
        if changed is not None:
            parts.ledger.set_meta(LIVE_STATUS, changed.to_json())
            self.listener.status(changed)
        if self.stopping:
            self._wind_down(now)

    # --- housekeeping --------------------------------------------------------------------------------------------

    def _housekeep(self) -> None:
        parts = self.components
        for inbox_watcher in parts.inbox_watchers.values():
            inbox_watcher.check_health()
        parts.commands.carry_out()
        if parts.plan.settings.reload_on_change:
            self._config_file.look()
        pids = [slot.pid for slot in parts.workers.status() if slot.pid is not None]
        self.yielding = self._foreign_load.reason_to_yield(
            parts.plan.settings.engine, self._clock(), pids, len(parts.dispatcher.in_hand)
        )
        self._hold_or_go()
        parts.unload_when_idle()
        parts.commands.trim_history()
        parts.publisher.note_failures()
        parts.commands.drop_names()
        parts.commands.drop_masks()
        if parts.healthy():
            self.listener.healthy()
        if not self.stopping and self.installed.look():
            self.listener.warning(
                f"cutoutd {self.installed.other} was installed over this one, which ends for it."
            )
            self.stop()

    def _hold_or_go(self) -> None:
        """Whether new photos may start."""
        parts = self.components
        parts.dispatcher.hold(stopped=self.stopping or bool(self.yielding) or parts.commands.paused)

    def status(self) -> LiveStatus:
        """What `cutoutd status` shows of a running daemon."""
        return status.live_status(
            self.components,
            sandbox=self.sandbox,
            since=self.since,
            stopping=self.stopping,
            yielding=self.yielding,
            mistake=self.mistakes.so_far(),
            config_refused=self._config_file.refused,
        )

    def reload(self) -> None:
        """Has a changed config read, away from the loop; it is taken up as a whole, or the old one stays."""
        self._config_file.read()

    def config_is_read(self) -> None:
        """See ConfigNews."""
        self.listener.reloading()

    def config_plan(self, plan: Plan) -> None:
        """See ConfigNews."""
        before, self._plan = self._plan, plan  # also for a next life, after a full ledger disk
        self.listener.configured(plan.settings)
        if plan.settings.fleet != before.settings.fleet:
            self.listener.warning("The [fleet] of the config has changed; that needs a restart.")
        self.components.apply(plan)
        self.listener.notice("The new config is in force.")
        self.listener.reloaded()

    def config_refused(self, error: CutoutError) -> None:
        """See ConfigNews."""
        why = "; ".join(str(error).splitlines())
        self.listener.warning(f"The new config is not used; the old one stays in force. {why}")
        self.listener.reloaded()

    def config_hangs(self, why: str) -> None:
        """See ConfigNews."""
        self.listener.warning(why)

    # --- stopping ------------------------------------------------------------------------------------------------

    def _signal(self, number: int) -> None:
        if number == signal.SIGHUP and self._hung_up():
            self.listener.notice("The terminal went away; cutoutd goes on without it.")
        elif number == signal.SIGHUP:
            self.reload()
        elif number == signal.SIGUSR1:
            self.components.commands.carry_out()
            self._hold_or_go()
        else:
            self.stop()

    def stop(self) -> None:
        """First call: finish what is in hand. Second: stop now; everything not published stays owed."""
        self._signals += 1
        if self._signals > 1:
            self.finished = True
            return
        self.stopping = True
        self._hold_or_go()
        self._stop_at = self._clock()
        self._grace_until = self._stop_at + self.components.plan.settings.stop_grace
        self.listener.stopping()
        self.components.workers.stop(now=False)

    def _wind_down(self, now: float) -> None:
        parts = self.components
        # What only waits for its file to settle is worth some seconds: somebody may hold the file open for minutes.
        in_hand = parts.hands.at_work() or (parts.hands.photos and now < self._stop_at + SETTLE_GRACE_S)
        nothing_left = not (in_hand or parts.publisher.in_transit() or parts.aftercare.busy())
        if nothing_left or now >= self._grace_until:
            self.finished = True
