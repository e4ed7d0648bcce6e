"""The slots: worker processes started, watched, replaced and ended; which photo goes in is not decided here.

One slot is one `WorkerExecutor`: a worker that dies breaks its own and no other.
Everything but the executors' callbacks runs in the thread of the supervisor's loop; a callback only puts an
event into a queue, so there are no locks. That thread must live as long as the daemon (the main thread
does): Linux ends a worker when the *thread* that started it ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final

from cutoutd.daemon.workers import exit_status
from cutoutd.daemon.workers.executor import WorkerExecutor
from cutoutd.daemon.workers.exit_status import Cause
from cutoutd.daemon.workers.ipc import Answer, Task
from cutoutd.daemon.workers.process import begin_task
from cutoutd.daemon.workers.reaper import Reaper
from cutoutd.daemon.workers.slot import (
    Call,
    Died,
    Event,
    Failed,
    Finished,
    NoFreeSlotError,
    Slot,
    SlotFailed,
    SlotReady,
    SlotState,
    SlotStatus,
    Worker,
    WorkerSetup,
    event_of,
    retry_delay_s,
)

__all__ = [
    "Cause",
    "Died",
    "Event",
    "Failed",
    "Finished",
    "NoFreeSlotError",
    "SlotFailed",
    "SlotReady",
    "SlotStatus",
    "WorkerSetup",
    "Workers",
]

# A worker that stayed up this long before it died idle has not failed to start.
STEADY_S: Final = 60.0
# How long a killed worker may take (a read from a dead mount cannot be killed) until its slot goes on without it.
KILL_S: Final = 10.0


class Workers:
    """All slots. Call `tick` once per turn of the loop: only there are processes started and killed.

    Args:
        setups: how the worker of each slot is made, by the slot's number.
        post: takes an event from any thread, at once and without raising (a `SimpleQueue.put`).
        clock: monotonic seconds.
    """

    def __init__(
        self,
        setups: Sequence[WorkerSetup],
        *,
        post: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setups = tuple(setups)
        self._post = post
        self._clock = clock
        self._slots: dict[int, Slot] = {}
        self._reaper = Reaper(clock)
        self._arrived: SimpleQueue[tuple[Worker, Event, int]] = SimpleQueue()
        self._loaded = self._stopping = False

    def start(self) -> None:
        """Starts every slot; `SlotReady` or `SlotFailed` follows for each."""
        self.load()

    def load(self) -> None:
        """Starts every slot again after `unload`; does nothing while loaded."""
        self._loaded = True
        self._shape()
        self._fill(self._clock())

    def unload(self) -> None:
        """Ends every worker (busy ones after their photo); slots stay empty until `load`."""
        self._absorb()
        self._loaded = False
        for slot in self._slots.values():
            self._vacate(slot)

    def recycle(self, setups: Sequence[WorkerSetup]) -> None:
        """Replaces workers, idle ones now and busy ones after their photo.

        Args:
            setups: for all workers that follow, by the slot's number; a slot that has none any more is given up,
                after the photo it has in hand.
        """
        self._absorb()
        self._setups = tuple(setups)
        self._shape()
        for slot in self._slots.values():
            if slot.state in {SlotState.STARTING, SlotState.IDLE, SlotState.BUSY}:
                self._vacate(slot)
            slot.failures = 0
            slot.retry_at = min(slot.retry_at, self._clock())
        self._fill(self._clock())

    def free(self, among: Sequence[int] | None = None) -> int:
        """How many slots are warm, alive and without a photo; `among` counts only these."""
        self._absorb()
        self._notice_idle_deaths(self._clock())
        return len(self._idle(among))

    def _idle(self, among: Sequence[int] | None) -> list[Slot]:
        """The free ones of these slots, in their order; of all, when None."""
        numbers = sorted(self._slots) if among is None else among
        slots = (self._slots.get(number) for number in numbers)
        return [slot for slot in slots if slot is not None and slot.state is SlotState.IDLE]

    def busy(self) -> int:
        """How many slots have a photo in hand."""
        self._absorb()
        return sum(slot.state is SlotState.BUSY for slot in self._slots.values())

    def submit(
        self,
        tag: int,
        task: Task[Any, Any],
        job: Any,
        *,
        limit_s: float,
        slots: Sequence[int] | None = None,
    ) -> None:
        """Gives one photo to a free slot; exactly one of Finished, Failed, Died with this tag follows.

        Args:
            tag: names the photo in the event.
            task: what to do with the job in the worker, and how its answer is read.
            job: the task's argument.
            limit_s: seconds after which the worker is killed.
            slots: those that may take it, best first; unset, any.

        Raises:
            NoFreeSlotError: every one of these slots is busy, starting or waiting.
        """
        now = self._clock()
        while self.free(slots):
            slot = self._idle(slots)[0]
            worker = slot.worker
            assert worker is not None  # noqa: S101 - an idle slot has its worker
            call = Call(tag, now + limit_s, exit_status.oom_kills())
            try:
                future = worker.executor.submit(task, job)
            except BrokenExecutor:
                # It died since `free` looked, or spoke unasked; another slot takes the photo, which was not touched.
                self._idle_death(slot, now)
                continue
            worker.call, slot.state = call, SlotState.BUSY
            future.add_done_callback(partial(self._answer, worker, call))
            return
        raise NoFreeSlotError("No worker is free")

    def kill(self, tag: int) -> None:
        """Ends the worker that has this photo; `Died` with cause "killed" follows, if need be after `KILL_S`."""
        self._absorb()
        for slot in self._slots.values():
            worker = slot.worker
            if worker is not None and slot.state is SlotState.BUSY and worker.call.tag == tag:
                self._kill(worker, "killed", self._clock())

    def tick(self, now: float | None = None, late_s: float = 0.0) -> None:
        """Kills what is past its deadline and starts what is due.

        Args:
            now: monotonic seconds; the clock's when None.
            late_s: how much later than planned this turn is (stopped by a signal, suspended): every deadline
                moves by as much, for the workers stood still as well.
        """
        now = self._clock() if now is None else now
        self._absorb()
        self._notice_idle_deaths(now)
        for slot in list(self._slots.values()):
            worker = slot.worker
            if worker is None or slot.state not in {SlotState.STARTING, SlotState.BUSY}:
                continue
            worker.call.deadline += late_s
            if worker.kill_cause is None and now >= worker.call.deadline:
                self._kill(worker, "timeout", now)
            elif worker.kill_cause is not None and now >= worker.killed_at + KILL_S:
                self._give_up(slot, worker)
        self._reaper.see_off(now)
        # A slot freed in this very turn is due a moment after `now` was taken.
        self._fill(max(now, self._clock()))

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, in the clock's seconds; None while nothing is planned."""
        times = self._reaper.deadlines()
        for slot in self._slots.values():
            if slot.state is SlotState.WAITING and not self._stopping:
                times.append(slot.retry_at)
            elif slot.worker is not None and slot.state in {SlotState.STARTING, SlotState.BUSY}:
                killed = slot.worker.kill_cause is not None
                times.append(slot.worker.killed_at + KILL_S if killed else slot.worker.call.deadline)
        return min(times, default=None)

    def stop(self, *, now: bool) -> None:
        """Ends the workers for good.

        Args:
            now: False lets busy slots finish their photo (their events still come; `busy` counts them);
                True kills them (`Died` with cause "killed" for each) and returns when all processes and
                threads are gone, or after a few seconds if one cannot be killed.
        """
        self._absorb()
        self._stopping = True
        self._loaded = False
        for slot in self._slots.values():
            if now and slot.state is SlotState.BUSY and slot.worker is not None:
                self._kill(slot.worker, "killed", self._clock())
                self._leave(slot)
                slot.state = SlotState.UNLOADED
            else:
                self._vacate(slot)
        if now:
            self._reaper.end()

    def status(self) -> list[SlotStatus]:
        """Every slot, by number."""
        self._absorb()
        return [
            SlotStatus(
                slot.number,
                slot.state,
                worker.pid if (worker := slot.worker) else None,
                worker.photos if worker else 0,
                worker.rss_bytes if worker else None,
                slot.error,
            )
            for _, slot in sorted(self._slots.items())
        ]

    # Starting

    def _shape(self) -> None:
        """As many slots as wanted; those above the size go, or are marked to go after their photo."""
        for number in range(len(self._setups)):
            slot = self._slots.setdefault(number, Slot(number))
            if self._loaded and slot.state is SlotState.UNLOADED:
                slot.state, slot.retry_at = SlotState.WAITING, self._clock()
        for number in [number for number in self._slots if number >= len(self._setups)]:
            self._vacate(self._slots[number])
            if self._slots[number].state is not SlotState.BUSY:
                del self._slots[number]

    def _fill(self, now: float) -> None:
        """Starts a worker in every slot whose time has come."""
        if self._stopping or not self._loaded:
            return
        for slot in self._slots.values():
            if slot.state is SlotState.WAITING and now >= slot.retry_at:
                self._spawn(slot, now)

    def _spawn(self, slot: Slot, now: float) -> None:
        """Starts a process and gives it its first call, the warm-up."""
        retry_in_s = retry_delay_s(slot.failures)
        setup = self._setups[slot.number]
        call = Call(None, now + setup.start_limit_s, exit_status.oom_kills(), retry_in_s)
        try:
            # Without a sandbox of its own it has at least what it inherits: this process's refused network.
            worker = Worker(slot.number, setup, WorkerExecutor(ahead=setup.sandbox), call)
            future = worker.executor.submit(begin_task(setup.warm_up), setup.plain())
        except (OSError, RuntimeError) as error:
            self._post(SlotFailed(slot.number, f"A worker process cannot be started ({error})", retry_in_s))
            slot.wait(now, retry_in_s, str(error))
            return
        slot.worker, slot.state, slot.renew = worker, SlotState.STARTING, False
        future.add_done_callback(partial(self._answer, worker, call))

    # Answers: `_answer` runs in the executors' threads, everything else in the loop's

    def _answer(self, worker: Worker, call: Call, done: Future[Answer]) -> None:
        """A call came back, or its worker is gone: tells the loop, once."""
        if not call.claim():
            return
        event, rss_bytes = event_of(worker, call, done)
        self._arrived.put((worker, event, rss_bytes))
        self._post(event)

    def _absorb(self) -> None:
        """Lets the slots know what the posted events say."""
        with contextlib.suppress(Empty):
            while True:
                worker, event, rss_bytes = self._arrived.get_nowait()
                slot = self._slots.get(worker.slot)
                if slot is not None and slot.worker is worker:
                    self._learn(slot, worker, event, rss_bytes)

    def _learn(self, slot: Slot, worker: Worker, event: Event, rss_bytes: int) -> None:
        """One slot's next state."""
        now = self._clock()
        if isinstance(event, SlotFailed):
            self._leave(slot)
            slot.wait(now, event.retry_in_s, event.error)
        elif isinstance(event, SlotReady):
            slot.state, slot.error = SlotState.IDLE, ""
            worker.ready_at, worker.rss_bytes, worker.warm_rss_bytes = now, rss_bytes, rss_bytes
        elif isinstance(event, Died):
            self._leave(slot)
            slot.state, slot.retry_at = SlotState.WAITING, now
        else:
            slot.state, slot.failures = SlotState.IDLE, 0
            worker.photos += 1
            worker.rss_bytes = rss_bytes
            # Killed for its deadline while the answer was on its way.
            slot.renew = slot.renew or worker.worn() or worker.kill_cause is not None
        if slot.state is SlotState.IDLE and slot.renew:
            self._vacate(slot)
        self._drop_unwanted(slot)

    # Ending

    def _vacate(self, slot: Slot) -> None:
        """Ends the slot's worker, after its photo if it has one; the slot then waits for its next start."""
        if slot.state is SlotState.BUSY:
            slot.renew = True
            return
        self._leave(slot)
        wanted = self._loaded and not self._stopping
        if slot.state is not SlotState.WAITING or not wanted:
            slot.state, slot.retry_at = (SlotState.WAITING if wanted else SlotState.UNLOADED), self._clock()

    def _drop_unwanted(self, slot: Slot) -> None:
        """After a photo: a slot above the size goes, one that was unloaded meanwhile stays empty."""
        if slot.state in {SlotState.BUSY, SlotState.STARTING, SlotState.IDLE}:
            return
        if slot.number >= len(self._setups):
            self._slots.pop(slot.number, None)
        elif not self._loaded or self._stopping:
            slot.state = SlotState.UNLOADED

    def _leave(self, slot: Slot) -> None:
        """Parts a slot from its worker: an idle one is asked to end, any other is killed."""
        worker, slot.worker, slot.renew = slot.worker, None, False
        if worker is None:
            return
        if slot.state is SlotState.IDLE and worker.kill_cause is None:
            self._reaper.ask(worker)
            return
        if slot.state is SlotState.STARTING:
            worker.call.claim()
        self._reaper.kill(worker)

    def _kill(self, worker: Worker, cause: Cause, now: float) -> None:
        """Kills by process number; the thread at its pipe notices, and its callback says why."""
        worker.kill_cause, worker.killed_at = cause, now
        worker.kill()

    def _give_up(self, slot: Slot, worker: Worker) -> None:
        """A killed process that does not die waits for a device; the slot goes on without it."""
        if not worker.call.claim():
            return
        detail = exit_status.UNKILLABLE
        event: Event = SlotFailed(slot.number, detail, worker.call.retry_in_s)
        if worker.call.tag is not None:
            event = Died(worker.call.tag, worker.kill_cause or "timeout", detail)
        self._learn(slot, worker, event, 0)
        self._post(event)

    def _notice_idle_deaths(self, now: float) -> None:
        """Idle workers that somebody killed: their threads tell nobody."""
        for slot in self._slots.values():
            if slot.state is SlotState.IDLE and slot.worker is not None and not slot.worker.alive():
                self._idle_death(slot, now)

    def _idle_death(self, slot: Slot, now: float) -> None:
        """The slot starts again, later each time if it keeps happening."""
        worker = slot.worker
        if worker is not None and now - worker.ready_at > STEADY_S:
            slot.failures = 0
        retry_in_s = retry_delay_s(slot.failures)
        detail = "A worker ended with no photo in hand."
        self._leave(slot)
        slot.wait(now, retry_in_s, detail)
        self._post(SlotFailed(slot.number, detail, retry_in_s))
