"""What the tests have worker processes do; a module of its own, because workers import it by name."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

from msgspec import Struct

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.daemon.workers.ipc import Task
from cutoutd.daemon.workers.message_rules import Most, Range, Text

Number = Annotated[int, Range(-(2**53), 2**53)]
Words = Annotated[str, Text(1000)]


class OddError(Exception):
    """An error that cannot be rebuilt from its arguments, as many libraries have."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Warm(Struct, frozen=True):
    context: Words
    threads: Number


def warm_up(context: Any) -> Warm:
    """Sleeps, needs a file, or dies, if told to; else says what it was given."""
    match context:
        case {"sleep_s": seconds}:
            time.sleep(seconds)
        case {"needs": path} if not Path(path).exists():
            raise FileNotFoundError(path)
        case {"die": True}:
            os.abort()
        case _:
            pass
    return Warm(str(context), threading.active_count())


def double(job: int) -> Number:
    return 2 * job


def pid(_: None) -> Number:
    return os.getpid()


def loaded(name: str) -> Number:
    """1 if a module is loaded already."""
    return int(name in sys.modules)


def collector(_: None) -> Words:
    """Whether garbage is looked for, and whether what was imported is left out of it."""
    return f"{gc.isenabled()} {gc.get_freeze_count() > 10_000}"


def refuse(job: bytes) -> None:
    raise PhotoError(Reason.UNREADABLE, "The file ends early", job, "Copy it again.")


def odd(_: None) -> None:
    raise OddError(1, 2)


def segfault(_: None) -> None:
    ctypes.string_at(1)


def abort(_: None) -> None:
    os.abort()


def leave(status: int) -> None:
    os._exit(status)


def allocate(size: int) -> Number:
    return len(bytearray(size))


def keep(size: int) -> None:
    _kept.append(bytearray(os.urandom(1)) * size)


_kept: list[bytearray] = []


def cannot_travel(_: None) -> None:
    return threading.Lock()  # type: ignore[return-value] # pyright: ignore[reportReturnType] - that is the point


def says_too_much(_: None) -> Number:
    return "a word"  # type: ignore[return-value] # pyright: ignore[reportReturnType] - that is the point


def sleep(seconds: float) -> None:
    time.sleep(seconds)


class Nap(Struct, frozen=True):
    path: str
    seconds: float


def mark_and_sleep(job: Nap) -> Words:
    """Leaves a file in an outbox, then takes its time."""
    Path(job.path).touch()
    time.sleep(job.seconds)
    return job.path


def status_of_self(_: None) -> Annotated[dict[Words, Words], Most(200)]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        key: value.strip().replace("\t", " ") for key, _, value in (line.partition(":") for line in lines)
    }


WARM_UP: Task[Any, Warm] = Task(warm_up)
DOUBLE: Task[int, int] = Task(double)
PID: Task[None, int] = Task(pid)
LOADED: Task[str, int] = Task(loaded)
COLLECTOR: Task[None, str] = Task(collector)
SLEEP: Task[float, None] = Task(sleep)
MARK_AND_SLEEP: Task[Nap, str] = Task(mark_and_sleep)
