"""A worker's first acts, each seen in a real process that performed it, and what it may send back."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.daemon.workers import process
from cutoutd.daemon.workers.codec import from_json, to_json
from cutoutd.daemon.workers.ipc import Fault
from cutoutd.daemon.workers.memory import KEEP_BYTES
from cutoutd.daemon.workers.process import WorkerFaultError, error_of, fault_of, resident_bytes

pytestmark = pytest.mark.slow

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
PROGRAM = """
import json, os, resource, signal, sys
from cutoutd.daemon.workers import lifetime, process
setup = process.PlainSetup(**{fields})
lifetime.ignore_terminal()
state = process.first_acts(setup)
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({{
    "ignored": int(status["SigIgn"], 16), "blocked": int(status["SigBlk"], 16),
    "data": resource.getrlimit(resource.RLIMIT_DATA)[0], "nice": os.nice(0),
    "umask": os.umask(0), "telemetry": os.environ["ORT_DISABLE_TELEMETRY"], "threads": os.environ["OMP_NUM_THREADS"],
    "products": os.environ["OPENBLAS_NUM_THREADS"],
}}), file=sys.stderr, flush=True)
sys.stdin.read()
"""


def setup(tmp_path: Path, **changed: Any) -> dict[str, Any]:
    return {
        "parent_pid": os.getpid(), "lock_path": str(tmp_path / "lock"), "read_paths": (), "write_paths": (),
        "memory_limit_bytes": 2 * 10**9, "nice": 3, "threads": 2, "warm_up": "", "context": None, "sandbox": False,
        "devices": (), "unconfined": "", "driver": "", "umask": 0o077, "callbacks": False, **changed,
    }  # fmt: skip


def start(tmp_path: Path, **changed: Any) -> subprocess.Popen[bytes]:
    code = PROGRAM.format(fields=repr(setup(tmp_path, **changed)))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
    )


def facts(worker: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert worker.stderr is not None
    found: dict[str, Any] = json.loads(worker.stderr.readline())
    return found


@LINUX
def test_signals_of_the_terminal_do_not_reach_it_and_limits_hold(tmp_path: Path) -> None:
    worker = start(tmp_path)
    found = facts(worker)
    both = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1)
    assert found["ignored"] & both == both
    assert found["blocked"] & both == 0
    assert (found["data"], found["umask"]) == (2 * 10**9, 0o077)
    assert found["nice"] >= 3
    assert (found["telemetry"], found["threads"], found["products"]) == ("1", "2", "1")
    worker.communicate()


@LINUX
def test_it_holds_a_share_of_the_lock_for_as_long_as_it_lives(tmp_path: Path) -> None:
    worker = start(tmp_path)
    facts(worker)
    with (tmp_path / "lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        worker.communicate()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@LINUX
def test_a_thread_that_would_escape_the_sandbox_ends_it(tmp_path: Path) -> None:
    early = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    code = early + PROGRAM.format(fields=repr(setup(tmp_path, sandbox=True)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, input=b"")
    assert done.returncode != 0
    assert b"A thread was there before the sandbox, which would not hold it" in done.stderr


@LINUX
def test_what_is_loaded_ahead_starts_no_thread_and_is_most_of_what_a_photo_needs(tmp_path: Path) -> None:
    code = f"""
import os, sys
from cutoutd.daemon.workers import process
process._load_ahead()
assert {{"numpy", "PIL.Image", "cutoutd.daemon.workers.job"}} <= set(sys.modules)
assert "onnxruntime" not in sys.modules
state = process.first_acts(process.PlainSetup(**{setup(tmp_path, sandbox=True)!r}))
import numpy as np
assert (np.ones((300, 300)) @ np.ones((300, 300))).sum() == 300**3
print(state.files_confined)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr, done.stderr
    assert done.stdout.strip() in {"True", "False"}  # as the kernel has Landlock or not


def test_what_cannot_be_loaded_ahead_is_no_fault_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> object:
        raise ImportError("a library is missing")

    monkeypatch.setattr(process, "import_module", broken)
    process._load_ahead()  # pyright: ignore[reportPrivateUsage]


# --- what it sends back


class OddError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def travelled(error: Exception) -> Exception:
    """The error as the supervisor has it, after its way through the pipe."""
    return error_of(from_json(Fault, to_json(fault_of(error)), at="fault"))


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_our_errors_travel_in_what_people_read() -> None:
    sent = PhotoError(Reason.UNREADABLE, "It is cut off", "/a.jpg", "Copy it again.")
    came = travelled(sent)
    assert isinstance(came, PhotoError)
    assert came.reason is Reason.UNREADABLE
    assert "It is cut off" in came.what
    assert came.fix == "Copy it again."


@pytest.mark.parametrize("error", [OddError(1, 2), ValueError("no"), RuntimeError(object())])
def test_any_other_error_travels_in_words_with_its_traceback(error: Exception) -> None:
    came = travelled(raised(error))
    assert isinstance(came, WorkerFaultError)
    assert type(error).__name__ in came.what
    assert "Traceback" in came.remote
    assert "Traceback" not in str(came)


def test_want_of_memory_stays_what_it_is() -> None:
    assert type(travelled(MemoryError(object()))) is MemoryError


def test_what_an_error_says_is_bounded_and_harmless() -> None:
    came = travelled(ValueError("x" * 10**7 + "\x1b[31m"))
    assert isinstance(came, WorkerFaultError)
    assert len(came.what) < 10_000
    assert "\x1b" not in came.what


def test_the_memory_that_is_held_is_known() -> None:
    assert resident_bytes() > 5 * 10**6


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(resource.RLIM_INFINITY, KEEP_BYTES), (800 << 20, 400 << 20), (8 << 30, KEEP_BYTES)],
)
def test_what_stays_for_the_next_photo_leaves_half_of_the_limit_free(
    monkeypatch: pytest.MonkeyPatch, limit: int, kept: int
) -> None:
    def limits(_kind: int) -> tuple[int, int]:
        return limit, limit

    monkeypatch.setattr(resource, "getrlimit", limits)
    assert process._kept_bytes() == kept  # pyright: ignore[reportPrivateUsage]
