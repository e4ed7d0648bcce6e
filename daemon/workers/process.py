"""What happens inside a worker process: its first acts, its warm-up, and one photo after another.

Nothing here may import ONNX Runtime at the top: its threads would exist before Landlock and escape it. NumPy and Pillow
start none when they are loaded as here, which `first_acts` makes sure of. The supervisor's side is in `executor`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

from msgspec import Struct

from cutoutd.config.errors import CutoutError, EngineError, PhotoError, printable
from cutoutd.daemon.sandbox import guard
from cutoutd.daemon.workers.codec import SchemaError, from_json, to_json
from cutoutd.daemon.workers.ipc import (
    LONGEST_CALL_BYTES,
    LONGEST_SENTENCE,
    LONGEST_TRACEBACK,
    Fault,
    FrameError,
    Task,
    answer_frame,
    hints,
    named,
    read_call,
    read_frame,
    write_all,
)
from cutoutd.daemon.workers.lifetime import die_with, hold_lock, ignore_terminal, watch_parent
from cutoutd.daemon.workers.memory import KEEP_BYTES, IdleRelease, give_back, keep_freed_memory
from cutoutd.daemon.workers.message_rules import Most, Range, Raw, Text, printed

# Inboxes that are not there are named in what the sandbox says.
_LONGEST_STATEMENT: Final = 20_000
_memory = IdleRelease()


class PlainSetup(Struct, frozen=True):
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
        context: the argument of warm_up as plain values, made into records only inside the sandbox.
        sandbox: False leaves network and files as they are, because the user said so.
        devices: an accelerator's device files, to read, write and control.
        unconfined: why files are left alone, or "" to confine them.
        driver: names of accelerators whose drivers make system calls that are on no list; "" for none.
        umask: for every file the worker creates without a mode.
        callbacks: a library will hand Python functions to C code (closed-form matting compiles): their page, which
            is written and run, is made before the sandbox, which allows no other.
    """

    parent_pid: int
    lock_path: str
    read_paths: tuple[str, ...]
    write_paths: tuple[str, ...]
    memory_limit_bytes: int
    nice: int
    threads: int
    warm_up: str
    context: Annotated[Any, Raw()]
    sandbox: bool
    devices: tuple[str, ...]
    unconfined: str
    driver: str
    umask: int
    callbacks: bool


_Statements = Annotated[
    dict[Annotated[str, Text(40)], bool | Annotated[str, Text(_LONGEST_STATEMENT)]], Most(20)
]


class Begun(Struct, frozen=True):
    """What a new worker says of itself: seconds until it was warm, what holds there, and its warm-up's answer."""

    start_s: Annotated[float, Range(0, 1e6)]
    sandbox: _Statements
    warm_up: Annotated[Any, Raw()]


class Facts(Struct, frozen=True):
    """The same as the supervisor knows it."""

    start_s: float
    sandbox: guard.SandboxState
    warm_up: Any


class WorkerFaultError(CutoutError):
    """A photo's function raised something that is not one of our errors: a bug, ours or a library's.

    Attributes:
        remote: the traceback inside the worker, for the log and not for people.
    """

    def __init__(self, what: str, remote: str = "", fix: str = "") -> None:
        super().__init__(what, fix=fix or "The log holds the details; please report them.")
        self.remote = remote


def error_of(fault: Fault) -> Exception:
    """In the supervisor: the error that a fault stands for."""
    if fault.kind == "memory":
        return MemoryError(fault.what)
    if fault.kind == "photo" and fault.reason is not None:
        return PhotoError(fault.reason, fault.what, None, fault.fix)
    return WorkerFaultError(fault.what, fault.remote, fault.fix)


def begin_task(warm_up: Task[Any, Any]) -> Task[PlainSetup, Facts]:
    """The first call to a new worker; its answer is read by what the warm-up says of its own.

    Reading raises SchemaError where that is not what the warm-up and the sandbox promise to say.
    """

    def read(setup: PlainSetup, begun: Begun) -> Facts:
        """What the worker said, as records; raises what it could not do."""
        answer = from_json(hints(warm_up.function).get("return", Any), begun.warm_up, at="warm_up")
        warm = answer if warm_up.read is None else warm_up.read(setup.context, answer)
        try:
            state = guard.SandboxState.from_dict(begun.sandbox)
        except (TypeError, ValueError) as error:
            raise SchemaError("answer.sandbox: not what a sandbox says") from error
        return Facts(begun.start_s, state, warm)

    return Task(begin, read)


def main(calls: int, answers: int, *, ahead: bool = False) -> NoReturn:
    """A worker's whole life: answers calls until the pipe that they come through ends.

    Args:
        calls: where they come from.
        answers: where their answers go.
        ahead: it was started before anybody could say what for, and has time to load what every photo needs.
    """
    ignore_terminal()
    if ahead:
        _load_ahead()
    with contextlib.suppress(OSError, FrameError):
        while (body := read_frame(calls, LONGEST_CALL_BYTES)) is not None:
            number, result, fault = _answered(body, partial(watch_parent, calls))
            write_all(answers, answer_frame(number, result, fault, _resident_after()))
    # Without the interpreter's own clean-up: the engine's threads are still there, and nobody is left to hear it.
    os._exit(0)


def _answered(body: bytes, watch: Callable[[], None]) -> tuple[int, Any, Fault | None]:
    """The call's number, and what came of it: every error travels as a fault, so that the worker outlives it."""
    call = read_call(body)
    first = call.function is begin
    if first:
        watch()
    else:
        _memory.begin()
    try:
        # Made into plain values here: an answer that cannot travel is a fault too.
        return call.number, to_json(call.function(call.argument)), None
    except Exception as error:  # noqa: BLE001 - the supervisor names it; a worker must outlive a bad photo
        return call.number, None, fault_of(error)
    finally:
        if not first:
            _memory.end()


def _resident_after() -> int:
    """Resident memory, once a very large photo's has been handed back."""
    if resident_bytes() > _kept_bytes():
        give_back()
    return resident_bytes()


def _kept_bytes() -> int:
    """How much may stay for the next photo: kept memory counts against the limit, also where it is of no use.

    A thread's stack, for one, is not taken from it. So at most half of the limit.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return KEEP_BYTES if limit == resource.RLIM_INFINITY else min(KEEP_BYTES, limit // 2)


def fault_of(error: Exception) -> Fault:
    """An error in words that may travel."""
    kind: Literal["photo", "memory", "other"] = "other"
    reason, what, fix = None, f"{type(error).__name__}: {error}", ""
    if isinstance(error, MemoryError):
        kind, what = "memory", str(error)
    elif isinstance(error, CutoutError):
        where = "" if error.path is None else f"{printable(error.path)}: "
        what, fix = where + error.what, error.fix
        if isinstance(error, PhotoError):
            kind, reason = "photo", error.reason
    remote = "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:]
    return Fault(
        kind,
        reason,
        printed(what, LONGEST_SENTENCE),
        printed(fix, LONGEST_SENTENCE),
        printed(remote, LONGEST_TRACEBACK, lines=True),
    )


def begin(setup: PlainSetup) -> Begun:
    """The first call in a new worker: first acts, then the warm-up."""
    started = time.monotonic()
    state = first_acts(setup)
    function = named(setup.warm_up)
    (wanted,) = [kind for name, kind in hints(function).items() if name != "return"][:1] or [Any]
    warm = function(from_json(wanted, setup.context, at="context", trusted=True))
    gc.freeze()  # what was imported and loaded stays, and is not looked through after each photo
    gc.enable()
    give_back()  # loading takes more than the loaded model keeps
    said = {
        name: printed(value, _LONGEST_STATEMENT) if isinstance(value, str) else value
        for name, value in state.as_dict().items()
    }
    return Begun(time.monotonic() - started, said, warm)


def first_acts(setup: PlainSetup) -> guard.SandboxState:
    """Everything a worker owes before it loads a decoder, in an order that matters.

    Raises:
        EngineError: the supervisor is gone, or the worker lock cannot be had.
    """
    die_with(setup.parent_pid)
    hold_lock(setup.lock_path)
    # Before "not dumpable", after which /proc/self belongs to root. The kernel's choice when memory runs
    # out: a worker, never the supervisor.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _limit_memory(setup.memory_limit_bytes)
    _limit_files(setup.memory_limit_bytes)
    if setup.nice:
        os.nice(setup.nice)
    guard.private_umask(setup.umask)
    _quiet_libraries(setup.threads)
    keep_freed_memory()
    if setup.callbacks:
        _make_room_for_callbacks()
    if not setup.sandbox:
        return guard.unguarded()
    _be_one_thread()
    return guard.guard_worker(
        [Path(name) for name in setup.read_paths],
        [Path(name) for name in setup.write_paths],
        devices=[Path(name) for name in setup.devices],
        unconfined=setup.unconfined,
        driver=setup.driver,
    )


def _be_one_thread() -> None:
    """Landlock holds the thread that asks for it and those that it starts; one that exists already would escape.

    Raises:
        EngineError: there is one, started by what was loaded ahead (the next worker loads nothing) or with this Python.
    """
    with contextlib.suppress(FileNotFoundError):  # macOS confines the whole process
        if len(os.listdir("/proc/self/task")) > 1:
            raise EngineError(
                "A thread was there before the sandbox, which would not hold it",
                fix="A .pth file or sitecustomize.py may start it: install cutoutd into an environment of its own.",
            )


def _make_room_for_callbacks() -> None:
    """One page of `ctypes` callbacks; freed ones are used again, and the page stays."""
    shape = ctypes.CFUNCTYPE(None)
    for _ in range(2):
        shape(lambda: None)


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the present value is not to be had (macOS)."""
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _load_ahead() -> None:
    """Most of what loads before the networks do; what cannot be loaded is said when it is wanted."""
    _quiet_blas()
    with contextlib.suppress(Exception):
        for name in ("numpy", "PIL.Image", "cutoutd.daemon.workers.job", "cutoutd.models.cutout"):
            import_module(name)


def _limit_memory(limit_bytes: int) -> None:
    """No more data than this; a hard limit that is lower already stays."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    # macOS accepts the call and enforces nothing; some containers refuse it.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _limit_files(limit_bytes: int) -> None:
    """No file larger than its own memory, in which every cutout is made: one with holes could claim terabytes, and
    whoever reads it would be at it for hours. The call that would make one gets EFBIG.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _quiet_libraries(threads: int) -> None:
    """Settings that libraries read once, when they are first loaded."""
    # onnxruntime 1.31 sends usage data from Linux and macOS as well, and writes a device number below the
    # home folder on import; disable_telemetry_events() comes too late for the file.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    _quiet_blas()
    os.environ["OMP_NUM_THREADS"] = str(max(threads, 1))


def _quiet_blas() -> None:
    # Each BLAS thread reserves memory that counts against the limit. The matrices that matting multiplies are a
    # tile's (models/matting/resample.py), and a lone photo's tiles are shared out among our own threads.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
