"""What the tests have worker processes do; a module of its own, because workers import it by name."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from pathlib import Path
from typing import Any

from cutoutd.config.errors import PhotoError, Reason


class OddError(Exception):
    """An error that cannot be rebuilt from its arguments, as many libraries have."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Trap:
    """Calls something when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def warm_up(context: Any) -> Any:
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
    return {"context": context, "threads": threading.active_count()}


def double(job: int) -> int:
    return 2 * job


def pid(_: Any) -> int:
    return os.getpid()


def refuse(job: bytes) -> None:
    raise PhotoError(Reason.UNREADABLE, "The file ends early", job, "Copy it again.")


def odd(_: Any) -> None:
    raise OddError(1, 2)


def segfault(_: Any) -> None:
    ctypes.string_at(1)


def abort(_: Any) -> None:
    os.abort()


def leave(status: int) -> None:
    os._exit(status)


def allocate(size: int) -> int:
    return len(bytearray(size))


def keep(size: int) -> None:
    _kept.append(bytearray(os.urandom(1)) * size)


_kept: list[bytearray] = []


def trap(path: str) -> Trap:
    return Trap(path)


def unpicklable(_: Any) -> Any:
    return threading.Lock()


def mark_and_sleep(job: tuple[str, float]) -> str:
    """Leaves a file in an outbox, then takes its time."""
    path, seconds = job
    Path(path).touch()
    time.sleep(seconds)
    return path


def status_of_self(_: Any) -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
