"""One worker process as the supervisor sees it: how it is made, what it reports, what state its slot is in.

Records and the translation of an outcome into an event; nothing is started, killed or decided here.
"""

from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

from cutoutd.config.errors import CutoutError
from cutoutd.daemon.workers import exit_status
from cutoutd.daemon.workers.exit_status import Cause
from cutoutd.daemon.workers.ipc import SlotContext
from cutoutd.daemon.workers.process import Orders, Reply, WorkerFaultError

# A slot that cannot start is tried again after 1 s, 2 s, 4 s … and at most a minute.
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0


def retry_delay_s(failures: int) -> float:
    """Seconds until the next start, after so many failed ones before."""
    # Beyond 2**6 the limit holds anyway, and the power of a thousand failures would overflow.
    return min(FIRST_RETRY_S * 2.0 ** min(failures, 6), LONGEST_RETRY_S)


class NoFreeSlotError(CutoutError):
    """A photo was handed in while no slot was free; ask `free` first."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """How workers are made; see `worker_process.Orders` for what each part does there.

    Attributes:
        context: the argument of warm_up, any picklable value; unpickled inside the sandbox.
        sandbox: False gives up neither network nor files (`engine.sandbox = false`).
        devices: an accelerator's device files, to read, write and control.
        unconfined: why files are left alone, or "" to confine them; the network is given up all the same.
        start_limit_s: how long a start may take, warm-up included: a 1 GB model from a slow disk.
        recycle_after: photos after which a worker is replaced.
        grow_limit_bytes: resident memory above that of the warmed-up worker at which it is replaced.
    """

    lock_path: Path
    read_paths: tuple[Path, ...]
    write_paths: tuple[Path, ...]
    memory_limit_bytes: int
    warm_up: str
    context: Any = None
    nice: int = 0
    threads: int = 1
    sandbox: bool = True
    devices: tuple[Path, ...] = ()
    unconfined: str = ""
    umask: int = 0o077
    start_limit_s: float = 300.0
    recycle_after: int = 500
    grow_limit_bytes: int = 1_000_000_000

    def orders(self) -> Orders:
        """The same in plain values, for a worker of this process."""
        return Orders(
            parent_pid=os.getpid(),
            lock_path=str(self.lock_path),
            read_paths=tuple(map(str, self.read_paths)),
            write_paths=tuple(map(str, self.write_paths)),
            memory_limit_bytes=self.memory_limit_bytes,
            nice=self.nice,
            threads=self.threads,
            warm_up=self.warm_up,
            context=pickle.dumps(self.context),
            sandbox=self.sandbox,
            devices=tuple(map(str, self.devices)),
            unconfined=self.unconfined,
            umask=self.umask,
        )


@dataclass(frozen=True, slots=True)
class SlotReady:
    """A worker is warm.

    Attributes:
        facts: pid, start_s, sandbox (a `SandboxState`), warm_up (what that returned), rss_bytes.
    """

    slot: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SlotFailed:
    """A worker could not start, or died with no photo in hand; no photo is charged for it."""

    slot: int
    error: str
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The function returned."""

    tag: int
    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The function raised; the worker lives on. Errors that are not ours come as `WorkerFaultError`."""

    tag: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class Died:
    """The worker died, was killed, or ran out of memory with this photo in hand."""

    tag: int
    cause: Cause
    detail: str


Event = SlotReady | SlotFailed | Finished | Failed | Died


class State(StrEnum):
    """What a slot does at the moment."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    WAITING = "waiting"  # for its next start; the time of it is in `retry_at`
    UNLOADED = "unloaded"


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """One slot, for `status`. rss_bytes: after the last photo, None before the first answer."""

    slot: int
    state: str
    pid: int | None
    photos: int
    rss_bytes: int | None
    error: str


@dataclass(slots=True)
class Call:
    """One call into a worker; tag None is the warm-up. Whoever sets `answered` first speaks for it."""

    tag: int | None
    deadline: float
    oom_kills: int | None
    retry_in_s: float = 0.0
    answered: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> bool:
        """True for the first caller only: the callback, or the loop that gave up waiting for it."""
        return self.answered.acquire(blocking=False)


@dataclass(slots=True)
class Worker:
    """One process and its pool, from spawn to reaping."""

    slot: int
    setup: WorkerSetup
    context: SlotContext
    executor: ProcessPoolExecutor
    call: Call
    manager: threading.Thread | None = None
    photos: int = 0
    rss_bytes: int | None = None
    warm_rss_bytes: int = 0
    ready_at: float = 0.0
    kill_cause: Cause | None = None
    killed_at: float = 0.0
    leave_by: float = 0.0

    @property
    def pid(self) -> int | None:
        """Its process number, None before the spawn."""
        return None if self.context.process is None else self.context.process.pid

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.context.process is not None and self.context.process.is_alive()

    def kill(self) -> None:
        """SIGKILL, unless it was reaped already."""
        if self.context.process is not None:
            self.context.process.kill()

    def worn(self) -> bool:
        """Enough photos, or more memory than a warm worker should keep: replaced between photos."""
        grown = (self.rss_bytes or 0) - self.warm_rss_bytes
        return self.photos >= self.setup.recycle_after or grown > self.setup.grow_limit_bytes

    def gone(self) -> bool:
        """The process is reaped and the pool's thread has ended."""
        return not self.alive() and (self.manager is None or not self.manager.is_alive())


@dataclass(slots=True)
class Slot:
    """A place for one worker at a time.

    Attributes:
        failures: starts that failed in a row.
        retry_at: when a waiting slot starts, in the clock's seconds.
        renew: the worker goes after the photo it has in hand.
        error: why the last start failed; empty once one succeeded.
    """

    number: int
    state: State = State.UNLOADED
    worker: Worker | None = None
    failures: int = 0
    retry_at: float = 0.0
    renew: bool = False
    error: str = ""

    def wait(self, now: float, retry_in_s: float, error: str) -> None:
        """It has no worker and tries again later."""
        self.worker, self.state, self.error = None, State.WAITING, error
        self.failures += 1
        self.retry_at = now + retry_in_s


def event_of(worker: Worker, call: Call, done: Future[Reply]) -> tuple[Event, int]:
    """What the outcome of a call means, and the worker's resident memory after it (0 when unknown).

    May wait a moment for a dead worker's exit status; the pools' threads call it.
    """
    error = done.exception()
    if isinstance(error, BrokenProcessPool):
        cause, detail = exit_status.explain(worker.context.process, error, worker.kill_cause, call.oom_kills)
        if call.tag is None:
            return SlotFailed(worker.slot, f"A worker died while starting: {detail}", call.retry_in_s), 0
        return Died(call.tag, cause, detail), 0
    reply: Any = None if error else done.result()
    if not _sound(reply):
        reply = Reply(None, WorkerFaultError(f"A worker gave no answer ({error or type(reply).__name__})"), 0)
    if call.tag is None:
        return _started(worker.slot, call, reply), reply.rss_bytes
    if isinstance(reply.error, MemoryError):
        return Died(call.tag, "out-of-memory", exit_status.OUT_OF_MEMORY), reply.rss_bytes
    if reply.error is not None:
        return Failed(call.tag, reply.error), reply.rss_bytes
    return Finished(call.tag, reply.result), reply.rss_bytes


def _sound(reply: object) -> bool:
    """Whether it is an answer at all: a worker whose decoder was taken over may send any plain data."""
    return (
        isinstance(reply, Reply)
        and hasattr(reply, "result")
        and isinstance(getattr(reply, "error", 0), Exception | None)
        and isinstance(getattr(reply, "rss_bytes", None), int)
    )


def _started(slot: int, call: Call, reply: Reply) -> SlotReady | SlotFailed:
    """What a warm-up's answer means."""
    facts: Any = reply.result
    if reply.error is not None or not isinstance(facts, dict):
        return SlotFailed(slot, str(reply.error or "A worker gave no facts"), call.retry_in_s)
    return SlotReady(slot, {**cast("dict[str, Any]", facts), "rss_bytes": reply.rss_bytes})
