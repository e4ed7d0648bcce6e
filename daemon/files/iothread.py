"""One daemon thread per folder for calls that may hang on a bad mount; results come back as messages."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from msgspec import Struct


class Done(Struct, frozen=True):
    """A call on an I/O thread has ended: exactly one of `value` and `error` means something."""

    then: Callable[[Any, BaseException | None], None]
    value: Any
    error: BaseException | None


class IoThread:
    """Runs calls for one folder in order, off the supervisor's loop.

    The thread is a daemon thread on purpose: a mount that hangs for ever must not keep the program alive.

    Args:
        name: shown in thread listings.
        post: hands a `Done` to the supervisor's queue; the supervisor calls its `then`.
    """

    def __init__(self, name: str, post: Callable[[Done], None]) -> None:
        self._post = post
        self._calls: SimpleQueue[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]] | None]
        self._calls = SimpleQueue()
        self._waiting = self._done = 0
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        """Queues `work`; `then(value, error)` runs later in the supervisor's loop, after `stop` with an error."""
        with self._lock:
            stopped = self._stopped
            if not stopped:
                self._waiting += 1
                self._calls.put((work, then))
        if stopped:
            self._post(Done(then, None, OSError(errno.ENODEV, "the folder is no longer in the config")))

    @property
    def waiting(self) -> int:
        """Calls not finished yet; a number that only grows means the folder hangs."""
        with self._lock:
            return self._waiting

    @property
    def done(self) -> int:
        """Calls that have ended; while some wait and this stays the same, one takes its time."""
        with self._lock:
            return self._done

    def stop(self) -> None:
        """Ends the thread after the calls queued so far; does not wait for it."""
        with self._lock:
            self._stopped = True
            self._calls.put(None)

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread to end; False when it still hangs."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            work, then = item
            value: Any = None
            error: BaseException | None = None
            try:
                value = work()
            except Exception as caught:  # noqa: BLE001 - whatever it is, the supervisor's `then` must hear of it
                error = caught
            with self._lock:
                self._waiting -= 1
                self._done += 1
            self._post(Done(then, value, error))
