"""What happens inside a worker process: its first acts, its warm-up, and one photo after another.

Nothing here may import numpy, Pillow or ONNX Runtime at the top: their threads would exist before Landlock
and escape it. The supervisor's side is in `workers`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Final

from cutoutd.config.errors import CutoutError, EngineError
from cutoutd.daemon.sandbox import guard
from cutoutd.daemon.workers.memory import KEEP_BYTES, IdleRelease, give_back, keep_freed_memory

_PR_SET_PDEATHSIG: Final = 1
_UNDER_WATCH: Final = "cutoutd-parent-watch"
_memory = IdleRelease()


@dataclass(frozen=True, slots=True)
class Orders:
    """What a new worker is told; plain values only, so that reading them loads no heavy library.

    Attributes:
        parent_pid: the supervisor; a worker whose parent is another process ends at once.
        lock_path: the shared worker lock, held as long as the worker lives.
        read_paths: beside interpreter and libraries, what may be read.
        write_paths: the outboxes.
        memory_limit_bytes: RLIMIT_DATA.
        nice: added to the process's niceness, 0..19.
        threads: how many threads numeric libraries may start on their own.
        warm_up: "module:function", called once with the context; its answer becomes part of the facts.
        context: the pickled argument of warm_up, unpickled only inside the sandbox.
        sandbox: False leaves network and files as they are, because the user said so.
        devices: an accelerator's device files, to read, write and control.
        unconfined: why files are left alone, or "" to confine them.
        umask: for every file the worker creates without a mode.
    """

    parent_pid: int
    lock_path: str
    read_paths: tuple[str, ...]
    write_paths: tuple[str, ...]
    memory_limit_bytes: int
    nice: int
    threads: int
    warm_up: str
    context: bytes
    sandbox: bool
    devices: tuple[str, ...]
    unconfined: str
    umask: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker sends back: a result or an error, and its resident memory afterwards."""

    result: Any
    error: Exception | None
    rss_bytes: int


class WorkerFaultError(CutoutError):
    """A photo's function raised something that is not one of our errors: a bug, ours or a library's.

    Attributes:
        remote: the traceback inside the worker, for the log and not for people.
    """

    def __init__(self, what: str, remote: str = "") -> None:
        super().__init__(what, fix="The log holds the details; please report them.")
        self.remote = remote
        self.args = (what, remote)


def begin(orders: Orders) -> Reply:
    """The first call in a new worker: first acts, then the warm-up; the result is a dict of facts."""
    started = time.monotonic()
    try:
        state = first_acts(orders)
        warm = _named(orders.warm_up)(pickle.loads(orders.context))  # noqa: S301 - our own supervisor's bytes
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the reason the slot cannot start
        return Reply(None, _sendable(error), resident_bytes())
    # libtiff and LibRaw print to standard error about files that we report by name ourselves.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    give_back()  # loading takes more than the loaded model keeps
    facts = {
        "pid": os.getpid(),
        "start_s": time.monotonic() - started,
        "sandbox": state,
        "warm_up": warm,
    }
    return Reply(facts, None, resident_bytes())


def run(function: Callable[[Any], Any], job: Any) -> Reply:
    """One photo. Errors travel as values, so that an odd exception class cannot break the pool."""
    _memory.begin()
    try:
        return _measured(function(job), None)
    except Exception as error:  # noqa: BLE001 - the supervisor names it; a worker must outlive a bad photo
        return _measured(None, _sendable(error))
    finally:
        _memory.end()


def _measured(result: Any, error: Exception | None) -> Reply:
    """The reply, once a very large photo's memory has been handed back."""
    if resident_bytes() > KEEP_BYTES:
        give_back()
    return Reply(result, error, resident_bytes())


def first_acts(orders: Orders) -> guard.SandboxState:
    """Everything a worker owes before it loads a decoder, in an order that matters.

    Raises:
        EngineError: the supervisor is gone, or the worker lock cannot be had.
    """
    _ignore_terminal()
    die_with(orders.parent_pid)
    _hold_lock(orders.lock_path)
    # Before "not dumpable", after which /proc/self belongs to root. The kernel's choice when memory runs
    # out: a worker, never the supervisor.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _limit_memory(orders.memory_limit_bytes)
    if orders.nice:
        os.nice(orders.nice)
    guard.private_umask(orders.umask)
    # A library that prints must not garble the supervisor's standard output (`once --json`).
    os.dup2(2, 1)
    _quiet_libraries(orders.threads)
    keep_freed_memory()
    if not orders.sandbox:
        return guard.unguarded()
    return guard.guard_worker(
        [Path(name) for name in orders.read_paths],
        [Path(name) for name in orders.write_paths],
        devices=[Path(name) for name in orders.devices],
        unconfined=orders.unconfined,
    )


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the present value is not to be had (macOS)."""
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _ignore_terminal() -> None:
    """Ctrl-C and a service manager's TERM reach the whole group; only the supervisor answers them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # They were blocked while spawning; now that they are ignored, what is pending evaporates.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def die_with(parent_pid: int) -> None:
    """When the supervisor dies, so does this worker, whatever it is doing.

    Raises:
        EngineError: it is dead already.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, *(ctypes.c_ulong(n) for n in (signal.SIGKILL, 0, 0, 0)))
    else:
        parent = multiprocessing.parent_process()
        if parent is not None:
            threading.Thread(target=_watch, args=(parent.sentinel,), name=_UNDER_WATCH, daemon=True).start()
    # It may have died between the spawn and the call above.
    if os.getppid() != parent_pid:
        raise EngineError("The daemon that started this worker is gone")


def _watch(sentinel: int) -> None:
    """Waits for the supervisor's end and follows it."""
    connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


_held: list[int] = []


def _hold_lock(path: str) -> None:
    """Takes a share of the worker lock; a next daemon's recovery waits until every share is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)
    except OSError as error:
        raise EngineError(f"The worker lock cannot be taken ({error.strerror})", path) from error
    _held.append(handle)


def _limit_memory(limit_bytes: int) -> None:
    """No more data than this; a hard limit that is lower already stays."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    # macOS accepts the call and enforces nothing; some containers refuse it.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _quiet_libraries(threads: int) -> None:
    """Settings that libraries read once, when they are first loaded."""
    # onnxruntime 1.31 sends usage data from Linux and macOS as well, and writes a device number below the
    # home folder on import; disable_telemetry_events() comes too late for the file.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # Each BLAS thread reserves memory that counts against the limit. The matrices that matting multiplies are a
    # tile's (models/matting/resample.py), and a lone photo's tiles are shared out among our own threads.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["OMP_NUM_THREADS"] = str(max(threads, 1))


def _named(reference: str) -> Callable[[Any], Any]:
    """The function behind "module:function"."""
    module, _, name = reference.partition(":")
    function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    return function


def _sendable(error: Exception) -> Exception:
    """The error itself if the other side can rebuild it, else its words in an error that can travel."""
    if isinstance(error, MemoryError):
        return MemoryError(*(str(part) for part in error.args))
    remote = "".join(traceback.format_exception(error))
    if isinstance(error, CutoutError):
        with contextlib.suppress(Exception):
            pickle.loads(pickle.dumps(error))  # noqa: S301 - made one call earlier
            return error
    return WorkerFaultError(f"{type(error).__name__}: {error}", remote)
