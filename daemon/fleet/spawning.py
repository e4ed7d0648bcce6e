"""Starts the relay and its keeper: this interpreter, two pipes, and nothing else that is inherited."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Final

from msgspec import Struct

# As for workers: the import path travels on the command line, and "-P" keeps the folder we stand in out of it.
_BOOT: Final = """
import importlib, json, sys
path, module, arguments = sys.argv[1:]
sys.path[:] = json.loads(path)
importlib.import_module(module).main(*json.loads(arguments))
"""


class Spawned(Struct, frozen=True):
    """A process, and our ends of its two pipes."""

    process: subprocess.Popen[bytes]
    calls: int
    answers: int

    def close(self) -> None:
        """Our ends of the pipes."""
        for fd in (self.calls, self.answers):
            os.close(fd)


def spawn(module: str, *arguments: str) -> Spawned:
    """Runs `module.main(*arguments, pid of this process, calls, answers)` in a process of its own.

    SIGINT and SIGTERM are blocked in it until it unblocks or ignores them.

    Raises:
        OSError: no process can be started.
    """
    calls_read, calls = os.pipe()
    answers, answers_write = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        given = json.dumps([*arguments, os.getpid(), calls_read, answers_write])
        path = json.dumps([entry for entry in sys.path if entry])
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, path, module, given],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            close_fds=True,
            pass_fds=(calls_read, answers_write),
        )
    except OSError:
        os.close(calls)
        os.close(answers)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(calls_read)
        os.close(answers_write)
    return Spawned(process, calls, answers)
