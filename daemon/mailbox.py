"""What the loop is told, by any thread and by the system's signals; what it does about it is the supervisor's.

A life's messages go with it: parts that have ended may still speak. What is meant for the daemon waits for the next.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from queue import Empty, SimpleQueue

from msgspec import Struct

from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.watching import watcher
from cutoutd.daemon.workers import pool


class Signal(Struct, frozen=True):
    """The system's word for the daemon."""

    number: int

    @property
    def ends(self) -> bool:
        """Whether it asks the daemon to end."""
        return self.number in (signal.SIGINT, signal.SIGTERM)


class OfConfig(Struct, frozen=True):
    """An answer about the file of the configuration, which is no matter of one life's parts."""

    done: Done


# What a folder's thread has done, what a watch has seen, what became of a worker, what the system or the file says.
Message = Done | watcher.Message | pool.Event | Signal | OfConfig
# What is meant for the daemon, whichever of its lives hears it.
_FOR_ANY_LIFE = (Signal, OfConfig)


class Mailbox:
    """The messages of one daemon.

    Attributes:
        queue: those of its present life.
    """

    def __init__(self) -> None:
        self.queue: SimpleQueue[Message] = SimpleQueue()
        self._kept: list[Signal | OfConfig] = []  # between two lives

    def hear_signals(self) -> None:
        """From now on this process's signals are messages."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, lambda number, _frame: self.queue.put(Signal(number)))
        # Those that came before wait since the entry point.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP, signal.SIGUSR1))

    def renew(self) -> None:
        """Another life begins."""
        old, self.queue = self.queue, SimpleQueue()
        for kept in self._kept:
            self.queue.put(kept)
        self._kept.clear()
        with suppress(Empty):
            while True:
                message = old.get_nowait()
                if isinstance(message, _FOR_ANY_LIFE):
                    self.queue.put(message)

    def between_lives(self, longest_s: float) -> Message | None:
        """The next message, or None when none has come; the next life hears it too, unless that is not to be."""
        try:
            message = self.queue.get(timeout=longest_s)
        except Empty:
            return None
        if isinstance(message, _FOR_ANY_LIFE) and not (isinstance(message, Signal) and message.ends):
            self._kept.append(message)
        return message
