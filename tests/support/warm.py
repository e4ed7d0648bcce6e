"""A process that has loaded cutoutd and forks: each copy is a process of its own, half a second of a core sooner.

What a copy does, it does by itself: it has its own session, environment, streams and sandbox, and nothing of this
process but what it had loaded. Tests that ask how cutoutd is started, or give it another environment, start it anew.

`python -m tests.support.warm SOCKET` is the process; it ends when the other end of its socket is closed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from cutoutd.service.cli.app import COMMANDS
from cutoutd.service.main import main

POSSIBLE = sys.platform == "linux" and hasattr(os, "pidfd_open")
# Used most, and what they load when they are called: by far the most of a start.
LOADED = ("run", "once", "status", "failures", "pause", "redo", "events")
LOADED_LATER = (
    "cutoutd.daemon.lifecycle",
    "cutoutd.daemon.plan",
    "cutoutd.daemon.supervisor",
    "cutoutd.service.listeners.everyone",
)
LONGEST_REQUEST = 1 << 16


class Forked:
    """A running copy, with what tests ask of a `subprocess.Popen`."""

    def __init__(self, says: int) -> None:
        self._says = os.fdopen(says, "rb", buffering=0)
        self.pid = self._number()
        self.returncode: int | None = None

    def _number(self) -> int:
        return int(self._says.read(12) or b"-1")

    def poll(self) -> int | None:
        """The exit code, as soon as there is one."""
        if self.returncode is None and select.select([self._says], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._says], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("cutoutd", timeout or 0.0)
            self._ended()
        assert self.returncode is not None
        return self.returncode

    def _ended(self) -> None:
        self.returncode = self._number()
        self._says.close()

    def send_signal(self, number: int) -> None:
        """Does nothing to one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """At once."""
        self.send_signal(signal.SIGKILL)


def start(arguments: list[str], environment: dict[str, str], out: int, err: int) -> Forked:
    """Starts `cutoutd` with these arguments in a session of its own; its output goes to two descriptors."""
    says, said = os.pipe()
    request = json.dumps([arguments, environment]).encode()
    assert len(request) < LONGEST_REQUEST
    socket.send_fds(_server(os.readlink("/proc/self/ns/mnt")), [request], [out, err, said])
    os.close(said)
    return Forked(says)


def ask(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command of `cutoutd` to its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(arguments, environment, out.fileno(), err.fileno())
        try:
            code = process.wait(60)
        finally:
            process.kill()
        said = [Path(f"/proc/self/fd/{file.fileno()}").read_text(encoding="utf-8") for file in (out, err)]
    return subprocess.CompletedProcess(arguments, code, *said)


@functools.cache
def _server(_mounts: str) -> socket.socket:
    """The process's other end; it is made once for each process that tests, and ends with it.

    Once more where that process has mounts of its own by now, which an earlier copy does not see.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())],
            cwd=Path(__file__).parents[2],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait(30)

    atexit.register(end)
    return ours


# --- the process itself ----------------------------------------------------------------------------------------------


def serve(requests: socket.socket) -> None:
    """Forks for each request and tells of each copy's end, until nobody can ask any more."""
    waiting = selectors.DefaultSelector()
    waiting.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is not requests:
                _tell_of_end(waiting, key)
                continue
            request, given, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 3)
            if not request:
                return
            pid = os.fork()
            if not pid:
                waiting.close()
                requests.detach()
                become(*json.loads(request), *given[:2])
            for fd in given[:2]:
                os.close(fd)
            os.write(given[2], b"%12d" % pid)
            waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, given[2]))


def _tell_of_end(waiting: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    pid, says = key.data
    waiting.unregister(key.fileobj)
    os.close(key.fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(says, b"%12d" % code)
    os.close(says)


def become(arguments: list[str], environment: dict[str, str], out: int, err: int) -> NoReturn:
    """In the copy: `cutoutd` with these arguments, as if it had just been started with nothing else open."""
    os.setsid()
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    random.seed()
    sys.argv[1:] = arguments
    sys.exit(main())


def load() -> None:
    """What most starts load."""
    for name in LOADED:
        importlib.import_module(COMMANDS[name][0])
    for module in LOADED_LATER:
        importlib.import_module(module)


if __name__ == "__main__":
    load()
    with socket.socket(fileno=int(sys.argv[1])) as other_end:
        serve(other_end)
