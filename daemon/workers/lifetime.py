"""How long a worker lives: no longer than its daemon, and with a share of a lock that shows it; it ends nobody else."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import sys
import threading
from typing import Final

from cutoutd.config.errors import EngineError

_PR_SET_PDEATHSIG: Final = 1
_UNDER_WATCH: Final = "cutoutd-parent-watch"


def ignore_terminal() -> None:
    """Ctrl-C and a service manager's TERM reach the whole group; only the supervisor answers them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # They were blocked while spawning; now that they are ignored, what is pending evaporates.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def signal_at_parents_end(number: int) -> None:
    """Has the kernel send this signal here when the process that started this one ends; on Linux alone."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, *(ctypes.c_ulong(n) for n in (number, 0, 0, 0)))


def die_with(parent_pid: int) -> None:
    """When the supervisor dies, so does this worker, whatever it is doing.

    Raises:
        EngineError: it is dead already.
    """
    signal_at_parents_end(signal.SIGKILL)
    # It may have died between the spawn and the call above.
    if os.getppid() != parent_pid:
        raise EngineError("The daemon that started this worker is gone")


def watch_parent(calls: int) -> None:
    """Where the kernel does not end us with our supervisor, the end of its pipe tells."""
    if sys.platform != "linux":
        threading.Thread(target=_watch, args=(calls,), name=_UNDER_WATCH, daemon=True).start()


def _watch(calls: int) -> None:
    """Waits for the pipe's other end to close and follows it; what is in the pipe does not wake it."""
    poll = select.poll()
    poll.register(calls, 0)
    poll.poll()
    os.kill(os.getpid(), signal.SIGKILL)


_held: list[int] = []


def hold_lock(path: str) -> None:
    """Takes a share of the worker lock; a next daemon's recovery waits until every share is gone.

    Raises:
        EngineError: it cannot be had.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)
    except OSError as error:
        raise EngineError(f"The worker lock cannot be taken ({error.strerror})", path) from error
    _held.append(handle)
