"""Keeps a worker's freed memory for the next photo, and gives it back when none has come for a while.

Not for limits: those are the worker's first acts. A photo of 24 megapixels takes and frees 300 MB; handing
that to the system each time and taking it again costs a third of a second of page faults per photo.
Only glibc can be told so; with any other C library everything here does nothing.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

# How long memory is kept for a photo that may follow: longer than the pause between two frames of a shoot.
KEEP_S: Final = 10.0
# A worker that is larger than this after a photo gives its free pages back at once. After 24 megapixels it has about
# 470 MB, after 45 about 720; the memory of a 150-megapixel scan is not kept. It must stay below what a worker may grow
# by (`slot.WorkerSetup.grow_limit_bytes`), or large photos would cost their worker.
KEEP_BYTES: Final = 900 << 20

_LARGEST_INT: Final = 2**31 - 1
# <malloc.h>: trim the heap only when asked to, never serve a large request by a mapping of its own, and let all
# threads take from one heap: what a helper thread has freed must serve the next photo too.
_RULES: Final = {"M_TRIM_THRESHOLD": (-1, _LARGEST_INT), "M_MMAP_MAX": (-4, 0), "M_ARENA_MAX": (-8, 1)}


def keep_freed_memory() -> bool:
    """From now on freed memory stays in this process. False where the C library cannot be told."""
    libc = _glibc()
    if libc is None:
        return False
    heard = [libc.mallopt(parameter, value) for parameter, value in _RULES.values()]
    return all(heard)


def give_back() -> None:
    """Hands all free pages to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


class IdleRelease:
    """Calls `release` once, `after_s` seconds after the last `end`.

    Args:
        release: what to call; from a thread of its own.
        after_s: seconds of rest before it.
    """

    def __init__(self, release: Callable[[], None] = give_back, after_s: float = KEEP_S) -> None:
        self._release = release
        self._after_s = after_s
        self._changed = threading.Condition()
        self._resting_since: float | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Work starts: nothing is released while it lasts."""
        with self._changed:
            self._resting_since = None

    def end(self) -> None:
        """Work is done: the rest begins. Where nobody can wait for its end, all is released at once."""
        with self._changed:
            self._resting_since = time.monotonic()
            self._changed.notify()
            if self._thread is not None or self._begun():
                return
            self._resting_since = None
        self._release()

    def _begun(self) -> bool:
        """Whether a thread waits from now on; none can be had where a first photo took all the memory that it may."""
        thread = threading.Thread(target=self._watch, name="heap-release", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            return False
        self._thread = thread
        return True

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._resting_since is None:
                    self._changed.wait()
                    continue
                left = self._resting_since + self._after_s - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                self._resting_since = None
            self._release()


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
