"""What the tests have a sandboxed worker try; a module of its own, because workers import it by name."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path
from typing import Annotated

from msgspec import Struct

from cutoutd.daemon.sandbox import guard
from cutoutd.daemon.workers.ipc import Task
from cutoutd.daemon.workers.message_rules import Most, Text

Word = Annotated[str, Text(2000)]
Words = Annotated[dict[Word, Word], Most(200)]


def try_network(_: None) -> Words:
    return guard.try_network()


class Address(Struct, frozen=True):
    host: str
    port: int


def connect(address: Address) -> Word:
    """What a decoder that was taken over would do first."""
    try:
        with socket.create_connection((address.host, address.port), timeout=5):
            return "connected"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def signal_parent(_: None) -> Word:
    try:
        os.kill(os.getppid(), 0)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "sent"


class Act(Struct, frozen=True):
    """Something to do with a file; `to` for what needs two."""

    what: str
    path: Path
    to: Path | None = None


def do(act: Act) -> Annotated[bytes, Most(1000)]:
    """What came of it; an error is the answer that a test waits for."""
    path, to = act.path, act.to or act.path
    match act.what:
        case "read":
            return path.read_bytes()
        case "list":
            return str(sorted(os.listdir(path))).encode()[:1000]
        case "touch":
            path.touch()
        case "unlink":
            path.unlink()
        case "rename":
            path.rename(to)
        case "run":
            subprocess.check_output([path])
        case _:
            raise ValueError(act.what)
    return b""


def variable(name: str) -> Word:
    return os.environ.get(name, "")


def sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


def nothing(_: None) -> None:
    """A warm-up that loads nothing."""


TRY_NETWORK: Task[None, dict[str, str]] = Task(try_network)
CONNECT: Task[Address, str] = Task(connect)
SIGNAL_PARENT: Task[None, str] = Task(signal_parent)
DO: Task[Act, bytes] = Task(do)
VARIABLE: Task[str, str] = Task(variable)
SLEEP: Task[float, None] = Task(sleep)
NOTHING: Task[None, None] = Task(nothing)
