"""One worker process as the supervisor sees it: how it is made, what it reports, what state its slot is in.

Records and the translation of an outcome into an event; nothing is started, killed or decided here.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from cutoutd.config.errors import CutoutError
from cutoutd.daemon.backoff import backoff_s
from cutoutd.daemon.sandbox.guard import SandboxState
from cutoutd.daemon.workers import exit_status
from cutoutd.daemon.workers.codec import to_json
from cutoutd.daemon.workers.executor import WorkerExecutor, WorkerGoneError
from cutoutd.daemon.workers.exit_status import Cause
from cutoutd.daemon.workers.ipc import Answer, Task
from cutoutd.daemon.workers.process import Facts, PlainSetup, WorkerFaultError, error_of

# A slot that cannot start is tried again after 1 s, 2 s, 4 s … and at most a minute.
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0


# How a library says that the kernel refused it something: perhaps the sandbox did.
_REFUSALS: Final = ("Operation not permitted", "Function not implemented", "Permission denied")


def retry_delay_s(failures: int) -> float:
    """Seconds until the next start, after so many failed ones before."""
    return backoff_s(failures + 1, FIRST_RETRY_S, LONGEST_RETRY_S)


class NoFreeSlotError(CutoutError):
    """A photo was handed in while no slot was free; ask `free` first."""


class WorkerSetup(Struct, frozen=True):
    """How workers are made; see `process.PlainSetup` for what each part does there.

    Attributes:
        warm_up: called once in each worker with the context.
        context: the argument of warm_up, made into records inside the sandbox.
        sandbox: False gives up neither network nor files (`engine.sandbox = false`).
        devices: an accelerator's device files, to read, write and control.
        unconfined: why files are left alone, or "" to confine them; the network is given up all the same.
        driver: names of accelerators whose drivers make system calls that are on no list; "" for none.
        callbacks: what runs in the worker hands Python functions to C code (`process.PlainSetup`).
        start_limit_s: how long a start may take, warm-up included: a 1 GB model from a slow disk.
        recycle_after: photos after which a worker is replaced.
        grow_limit_bytes: resident memory above that of the warmed-up worker at which it is replaced.
    """

    lock_path: Path
    read_paths: tuple[Path, ...]
    write_paths: tuple[Path, ...]
    memory_limit_bytes: int
    warm_up: Task[Any, Any]
    context: Any = None
    nice: int = 0
    threads: int = 1
    sandbox: bool = True
    devices: tuple[Path, ...] = ()
    unconfined: str = ""
    driver: str = ""
    umask: int = 0o077
    callbacks: bool = False
    start_limit_s: float = 300.0
    recycle_after: int = 500
    grow_limit_bytes: int = 1_000_000_000

    def plain(self) -> PlainSetup:
        """The same in plain values, for a worker of this process."""
        return PlainSetup(
            parent_pid=os.getpid(),
            lock_path=str(self.lock_path),
            read_paths=tuple(map(str, self.read_paths)),
            write_paths=tuple(map(str, self.write_paths)),
            memory_limit_bytes=self.memory_limit_bytes,
            nice=self.nice,
            threads=self.threads,
            warm_up=self.warm_up.name,
            context=to_json(self.context),
            sandbox=self.sandbox,
            devices=tuple(map(str, self.devices)),
            unconfined=self.unconfined,
            driver=self.driver,
            umask=self.umask,
            callbacks=self.callbacks,
        )


class SlotReady(Struct, frozen=True):
    """A worker is warm.

    Attributes:
        slot: where it is.
        pid: its process number.
        start_s: seconds that its start took.
        sandbox: what holds in it.
        warm_up: what its warm-up returned.
        rss_bytes: its resident memory.
    """

    slot: int
    pid: int = 0
    start_s: float = 0.0
    sandbox: SandboxState | None = None
    warm_up: Any = None
    rss_bytes: int = 0


class SlotFailed(Struct, frozen=True):
    """A worker could not start, or died with no photo in hand; no photo is charged for it."""

    slot: int
    error: str
    retry_in_s: float


class Finished(Struct, frozen=True):
    """The function returned."""

    tag: int
    result: Any


class Failed(Struct, frozen=True):
    """The function raised; the worker lives on. Errors that are not ours come as `WorkerFaultError`.

    `sound`: the built-in test photo went well there since, so that the photo is at fault.
    """

    tag: int
    error: BaseException
    sound: bool = False


class Died(Struct, frozen=True):
    """The worker died, was killed, or ran out of memory with this photo in hand; `sound` as for `Failed`."""

    tag: int
    cause: Cause
    detail: str
    sound: bool = False


Event = SlotReady | SlotFailed | Finished | Failed | Died


class SlotState(StrEnum):
    """What a slot does at the moment."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    WAITING = "waiting"  # for its next start; the time of it is in `retry_at`
    UNLOADED = "unloaded"


class SlotStatus(Struct, frozen=True):
    """One slot, for `status`. rss_bytes: after the last photo, None before the first answer."""

    slot: int
    state: SlotState
    pid: int | None
    photos: int
    rss_bytes: int | None
    error: str


class Call(Struct):
    """One call into a worker; tag None is the warm-up. Whoever sets `answered` first speaks for it."""

    tag: int | None
    deadline: float
    oom_kills: int | None
    retry_in_s: float = 0.0
    answered: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> bool:
        """True for the first caller only: the callback, or the loop that gave up waiting for it."""
        return self.answered.acquire(blocking=False)


class Worker(Struct):
    """One process, from spawn to reaping."""

    slot: int
    setup: WorkerSetup
    executor: WorkerExecutor
    call: Call
    photos: int = 0
    rss_bytes: int | None = None
    warm_rss_bytes: int = 0
    ready_at: float = 0.0
    kill_cause: Cause | None = None
    killed_at: float = 0.0
    leave_by: float = 0.0

    @property
    def pid(self) -> int:
        """Its process number."""
        return self.executor.process.pid

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.executor.process.poll() is None

    def kill(self) -> None:
        """SIGKILL, unless it was reaped already."""
        self.executor.process.kill()

    def worn(self) -> bool:
        """Enough photos, or more memory than a warm worker should keep: replaced between photos."""
        grown = (self.rss_bytes or 0) - self.warm_rss_bytes
        return self.photos >= self.setup.recycle_after or grown > self.setup.grow_limit_bytes

    def gone(self) -> bool:
        """The process is reaped and its thread has ended."""
        return not self.alive() and not self.executor.thread.is_alive()


class Slot(Struct):
    """A place for one worker at a time.

    Attributes:
        failures: starts that failed in a row.
        retry_at: when a waiting slot starts, in the clock's seconds.
        renew: the worker goes after the photo it has in hand.
        error: why the last start failed; empty once one succeeded.
    """

    number: int
    state: SlotState = SlotState.UNLOADED
    worker: Worker | None = None
    failures: int = 0
    retry_at: float = 0.0
    renew: bool = False
    error: str = ""

    def wait(self, now: float, retry_in_s: float, error: str) -> None:
        """It has no worker and tries again later."""
        self.worker, self.state, self.error = None, SlotState.WAITING, error
        self.failures += 1
        self.retry_at = now + retry_in_s


def event_of(worker: Worker, call: Call, done: Future[Answer]) -> tuple[Event, int]:
    """What the outcome of a call means, and the worker's resident memory after it (0 when unknown).

    May wait a moment for a dead worker's exit status; the executors' threads call it.
    """
    error = done.exception()
    if isinstance(error, WorkerGoneError):
        cause, detail = exit_status.explain(
            worker.executor.process, error.refused, worker.kill_cause, call.oom_kills
        )
        if call.tag is None:
            return SlotFailed(worker.slot, f"A worker died while starting: {detail}", call.retry_in_s), 0
        return Died(call.tag, cause, detail), 0
    if error is not None:  # the call could not even be put into words: ours to fix, no photo's fault
        fault = WorkerFaultError(f"The call could not be made ({type(error).__name__}: {error})")
        if call.tag is None:
            return SlotFailed(worker.slot, str(fault), call.retry_in_s), 0
        return Failed(call.tag, fault), 0
    answer = done.result()
    failure = None if answer.fault is None else error_of(answer.fault)
    if call.tag is None:
        return _started(worker, call, answer, failure), answer.rss_bytes
    if isinstance(failure, MemoryError):
        return Died(call.tag, "out-of-memory", exit_status.OUT_OF_MEMORY), answer.rss_bytes
    if failure is not None:
        return Failed(call.tag, failure), answer.rss_bytes
    return Finished(call.tag, answer.result), answer.rss_bytes


def _started(worker: Worker, call: Call, answer: Answer, failure: Exception | None) -> SlotReady | SlotFailed:
    """What a warm-up's answer means."""
    if failure is not None:
        hint = f" {exit_status.REFUSED_CALLS}" if any(word in str(failure) for word in _REFUSALS) else ""
        return SlotFailed(worker.slot, f"{failure}{hint}", call.retry_in_s)
    begun: Facts = answer.result
    return SlotReady(worker.slot, worker.pid, begun.start_s, begun.sandbox, begun.warm_up, answer.rss_bytes)
