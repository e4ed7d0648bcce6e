"""The daemon's end of the pipes to its relay, written and read in threads; it understands nothing of what is said."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from cutoutd.config.errors import EngineError
from cutoutd.daemon.fleet.keeper import LONGEST_FROM_RELAY, STEADY_S
from cutoutd.daemon.fleet.records import FromRelay, RelayGone, ToRelay
from cutoutd.daemon.fleet.spawning import spawn
from cutoutd.daemon.workers.codec import SchemaError, dumps, from_json, loads
from cutoutd.daemon.workers.ipc import FrameError, frame, read_frame, write_all

KEEPER: Final = "cutoutd.daemon.fleet.keeper"
# A pipe that is full, or a relay that hangs, is not waited for any longer.
GOODBYE_S: Final = 5.0
# Two threads and the supervisor's loop share one interpreter: whoever waits asks for it after so long, by default 5 ms.
SWITCH_S: Final = 0.001


class RelayLink:
    """Starts the relay; only a process that has not given up the network yet can.

    Args:
        scheduler: the fleet's.
        certificates: folder with the head's.
        clock: monotonic seconds.

    Attributes:
        ended: why there is no relay any more, nor will be in this process; empty while there is one, and where the
            keeper ended so soon that the next would too.

    Raises:
        EngineError: no process can be started.
    """

    def __init__(
        self, scheduler: str, certificates: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.ended = ""
        self._clock, self._started = clock, clock()
        try:
            self._spawned = spawn(KEEPER, scheduler, str(certificates))
        except OSError as error:
            raise EngineError(f"The fleet's relay cannot be started ({error.strerror})") from error
        sys.setswitchinterval(SWITCH_S)
        self._messages: SimpleQueue[ToRelay | None] = SimpleQueue()
        self._calls = itertools.count()
        self._hear: Callable[[FromRelay], None] = lambda _message: None
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("relay-written", self._write), ("relay-read", self._read))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The keeper's process."""
        return self._spawned.process.pid

    def next_call(self) -> int:
        """A number that no earlier call over this link had, in whichever life of the daemon's parts."""
        return next(self._calls)

    def attach(self, hear: Callable[[FromRelay], None]) -> None:
        """Who hears what is said from now on, from a thread."""
        self._hear = hear

    def say(self, message: ToRelay) -> None:
        """Returns at once; what cannot be written is lost with the relay, which is told."""
        self._messages.put(message)

    def close(self) -> None:
        """Ends the relay, which has nothing to finish."""
        self._hear = lambda _message: None
        self._messages.put(None)
        self._threads[0].join(GOODBYE_S)
        self._spawned.process.kill()
        self._spawned.process.wait()
        self._threads[1].join(GOODBYE_S)

    def _write(self) -> None:
        with suppress(OSError):
            while (message := self._messages.get()) is not None:
                write_all(self._spawned.calls, frame(dumps(message)))
        os.close(self._spawned.calls)

    def _read(self) -> None:
        why = "The relay's keeper ended; a restart of the daemon brings the fleet back."
        try:
            while (body := read_frame(self._spawned.answers, LONGEST_FROM_RELAY)) is not None:
                message: FromRelay = from_json(FromRelay, loads(body, trusted=False), at="relay")
                self._hear(message)
        except (OSError, FrameError, SchemaError) as error:
            why = f"The relay said what it may not say ({error}) and was ended; a restart brings the fleet back."
            with suppress(ProcessLookupError):
                os.kill(self._spawned.process.pid, signal.SIGKILL)
        os.close(self._spawned.answers)
        if self._clock() > self._started + STEADY_S:
            self.ended = why
        self._hear(RelayGone(why))
