"""Keeps a relay alive: the daemon has given up the network and could start no other; it knows nothing of Dask.

It passes frames on, whole ones only, so that a relay that dies in the middle of a sentence garbles none.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Final

from cutoutd.daemon.backoff import Retry
from cutoutd.daemon.fleet.records import LONGEST_BODY, FromRelay, Give, Lost, Offer, RelayGone, ToRelay
from cutoutd.daemon.fleet.spawning import spawn
from cutoutd.daemon.piped import Piped
from cutoutd.daemon.workers.codec import dumps, from_json, loads
from cutoutd.daemon.workers.ipc import LONGEST_CALL_BYTES, FrameError, frame, read_frame, write_all
from cutoutd.daemon.workers.lifetime import die_with

# A relay that ended is started again after this long, which doubles up to half a minute.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
# One that lived this long has not failed to start.
STEADY_S: Final = 60.0
RELAY: Final = "cutoutd.daemon.fleet.relay"
# An answer, escaped as text within a record, with some room.
LONGEST_FROM_RELAY: Final = 4 * LONGEST_BODY


class Keeper:
    """One relay after the other.

    Args:
        scheduler: the fleet's.
        certificates: folder with the head's.
        answers: the pipe to the daemon.
    """

    def __init__(self, scheduler: str, certificates: str, answers: int) -> None:
        self._arguments = (scheduler, certificates)
        self._answers = answers
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._relay: Piped | None = None
        self._offer: bytes | None = None

    def pass_on(self, body: bytes) -> None:
        """A message of the daemon's, to whichever relay there is."""
        message: ToRelay = from_json(ToRelay, loads(body, trusted=True), at="daemon", trusted=True)
        with self._lock:
            if isinstance(message, Offer):
                self._offer = body
            passed = self._relay is not None and _written(self._relay.calls, body)
        if not passed and isinstance(message, Give):
            self._say(Lost(message.call, "The relay is being started anew."))

    def keep(self) -> None:
        """For ever."""
        retry = Retry(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            started = time.monotonic()
            try:
                relay = spawn(RELAY, *self._arguments)
            except OSError as error:
                self._say(RelayGone(f"The relay cannot be started ({error.strerror})."))
            else:
                self._serve(relay)
            if time.monotonic() > started + STEADY_S:
                retry.well()
            retry.failed(0.0)
            time.sleep(retry.at)

    def _serve(self, relay: Piped) -> None:
        with self._lock:
            self._relay = relay
            if self._offer is not None:
                _written(relay.calls, self._offer)
        with suppress(FrameError, OSError):
            while (body := read_frame(relay.answers, LONGEST_FROM_RELAY)) is not None:
                with self._writing:
                    if not _written(self._answers, body):
                        self.end()
        with self._lock:
            self._relay = None
        relay.process.kill()
        status = relay.process.wait()
        relay.close()
        self._say(RelayGone(f"The relay ended ({_said(status)}) and is started again."))

    def _say(self, message: FromRelay) -> None:
        with self._writing:
            if not _written(self._answers, dumps(message)):
                self.end()

    def end(self) -> None:
        """The daemon is gone, or wants no more."""
        relay = self._relay
        if relay is not None:
            relay.process.kill()
        os._exit(0)


def _written(fd: int, body: bytes) -> bool:
    try:
        write_all(fd, frame(body))
    except OSError:
        return False
    return True


def _said(status: int) -> str:
    return f"status {status}" if status >= 0 else f"signal {-status}"


def main(scheduler: str, certificates: str, parent: int, calls: int, answers: int) -> None:
    """The keeper's whole life: until its daemon's pipe ends."""
    die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the daemon, which ends the pipe
        signal.signal(number, signal.SIG_IGN)
    keeper = Keeper(scheduler, certificates, answers)
    # The main thread starts relays: Linux ends them with the thread that did.
    threading.Thread(target=_listen, args=(keeper, calls), name="daemon", daemon=True).start()
    keeper.keep()


def _listen(keeper: Keeper, calls: int) -> None:
    with suppress(OSError, FrameError):
        while (body := read_frame(calls, LONGEST_CALL_BYTES)) is not None:
            keeper.pass_on(body)
    keeper.end()
