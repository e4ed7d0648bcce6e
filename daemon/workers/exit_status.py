"""Why a worker died, in a word for the ledger and a sentence for people; nothing is restarted here."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Final, Literal

Cause = Literal["killed", "timeout", "out-of-memory", "crashed"]

OUT_OF_MEMORY: Final = "The photo needs more memory than a worker may use."
KILLED_FOR_MEMORY: Final = "The system ended the worker because memory ran out."
TOO_LONG: Final = "The worker took longer than the time limit and was ended."
STOPPED: Final = "The worker was ended because the daemon stops."
UNKILLABLE: Final = (
    "The worker hangs in the system (a dead network folder?), cannot be ended and was left behind."
)
REFUSED_CALLS: Final = "`cutoutd doctor` names system calls that were refused."
# The process has closed its pipe when this is asked; the kernel needs a moment to make its exit status known.
_EXIT_STATUS_S: Final = 5.0


def oom_kills(vmstat: Path = Path("/proc/vmstat")) -> int | None:
    """How many processes this machine's kernel has killed for memory since it started; None if unknown."""
    try:
        with vmstat.open("rb") as lines:
            for line in lines:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except (OSError, ValueError):
        return None
    return None


def explain(
    process: subprocess.Popen[bytes] | None,
    refused: str,
    killed_as: Cause | None,
    oom_kills_before: int | None,
) -> tuple[Cause, str]:
    """Cause and sentence for a worker that did not live to answer.

    Args:
        process: the worker.
        refused: what was wrong with its answer when it was killed for that; else empty.
        killed_as: set when the loop killed it, and why.
        oom_kills_before: `oom_kills` when the call began.
    """
    if killed_as == "timeout":
        return "timeout", TOO_LONG
    if killed_as is not None:
        return killed_as, STOPPED
    if process is None:
        return "crashed", "The worker never started."
    if refused:
        return "crashed", f"The worker's answer was refused ({refused})."
    return _by_exit_status(_exit_status(process), oom_kills_before, oom_kills())


def waited_for(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit status of a process that ends within so many seconds; None when it does not.

    The kernel tells of its end by a descriptor. `Popen.wait` would look again and again between sleeps that end by
    the clock: on a machine whose clock jumps, or is faked, they may end never.
    """
    if process.poll() is not None:
        return process.returncode
    try:
        fd = os.pidfd_open(process.pid)  # Linux 5.3
    except (AttributeError, OSError):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.returncode
    try:
        looking = select.poll()
        looking.register(fd, select.POLLIN)
        looking.poll(max(0, round(seconds * 1000)))
    finally:
        os.close(fd)
    return process.poll()


def _exit_status(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status, waited for a moment."""
    status = waited_for(process, _EXIT_STATUS_S)
    if status is None:
        process.kill()  # it lives on behind a closed pipe
    return status


def _by_exit_status(status: int | None, before: int | None, after: int | None) -> tuple[Cause, str]:
    """Pure part: what a status means, given the kernel's count of memory kills before and after."""
    if status is None:
        return "crashed", "The worker broke off without a reason."
    if status >= 0:
        return "crashed", f"The worker ended by itself with status {status}."
    number = -status
    if number == signal.SIGSYS:
        return "crashed", f"The worker made a system call that its sandbox refuses. {REFUSED_CALLS}"
    if number == signal.SIGKILL:
        # Without a count (not Linux, or hidden) memory is by far the likeliest reason for a foreign SIGKILL.
        if before is None or after is None or after > before:
            return "out-of-memory", KILLED_FOR_MEMORY
        return "killed", "Another program or person ended the worker (SIGKILL)."
    try:
        name = f"{signal.Signals(number).name}: {signal.strsignal(number)}"
    except ValueError:
        name = f"signal {number}"
    return "crashed", f"The worker crashed ({name})."
