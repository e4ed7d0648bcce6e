"""Starts this interpreter with two pipes and nothing else that is inherited: a worker, or a fleet's relay.

Loads nothing but what starting takes, so that it may be done before everything else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

# `ps` and `top` show 15 bytes of the one, `ps -f` and `pgrep -f` the other.
_NAMED: Final = """# {name}
try:
    with open("/proc/self/comm", "w") as comm:
        comm.write("{name}")
except OSError:
    pass
"""


class Piped(NamedTuple):
    """A process, and our ends of its two pipes."""

    process: subprocess.Popen[bytes]
    calls: int
    answers: int

    def close(self) -> None:
        """Our ends of the pipes."""
        for fd in (self.calls, self.answers):
            os.close(fd)


def named(name: str, boot: str) -> str:
    """Python source for a process that who looks for it finds by this name, where the kernel keeps one."""
    return f"{_NAMED.format(name=name)}{boot}"


def start(name: str, boot: str, *arguments: str, quiet: bool, also: Mapping[str, str] | None = None) -> Piped:
    """Runs `boot` with our import path as JSON, `arguments`, and its ends of both pipes on its command line.

    The import path travels there because it decides where everything else is found; "-P" keeps the folder we stand in
    out of it until then. SIGINT and SIGTERM are blocked in the new process until its first acts ignore or unblock them.

    Args:
        name: what it is called in lists of processes.
        boot: Python source.
        arguments: further words.
        quiet: nothing that it prints is shown; else its errors are.
        also: variables that its environment has beside ours, or in their place.

    Raises:
        OSError: no process can be started.
    """
    calls_read, calls = os.pipe()
    answers, answers_write = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    ends = str(calls_read), str(answers_write)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", named(name, boot), json.dumps(_import_path()), *arguments, *ends],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if quiet else None,
            close_fds=True,
            pass_fds=(calls_read, answers_write),
            env={**os.environ, **(also or {})},
        )
    except OSError:
        os.close(calls)
        os.close(answers)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(calls_read)
        os.close(answers_write)
    return Piped(process, calls, answers)


def _import_path() -> list[str]:
    """Ours, without what stands for the folder we happen to be in; names that only an import hook knows stay."""
    return [entry for entry in sys.path if entry]
