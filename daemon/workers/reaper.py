"""Workers that were asked to go or were killed, until nothing is left of them; no slot waits for that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cutoutd.daemon.workers.exit_status import waited_for
from cutoutd.daemon.workers.slot import Worker

# How long a worker that was asked to end may take before it is killed, and all of them at the end.
GOODBYE_S: Final = 5.0


class Reaper:
    """Everybody who is on the way out.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._leaving: list[Worker] = []

    def ask(self, worker: Worker) -> None:
        """An idle worker ends by itself, now that nothing more comes."""
        self._part(worker)

    def kill(self, worker: Worker) -> None:
        """One that is busy, starting, hanging or dead already."""
        worker.kill()
        self._part(worker)

    def _part(self, worker: Worker) -> None:
        worker.executor.shutdown(wait=False)
        worker.leave_by = self._clock() + GOODBYE_S
        self._leaving.append(worker)

    def see_off(self, now: float) -> None:
        """Forgets workers that are gone; kills those that were asked to go and have not."""
        self._leaving = [worker for worker in self._leaving if not worker.gone()]
        for worker in self._leaving:
            if now >= worker.leave_by:
                worker.kill()
                worker.leave_by = now + GOODBYE_S

    def deadlines(self) -> list[float]:
        """When `see_off` has something to do, in the clock's seconds."""
        return [worker.leave_by for worker in self._leaving]

    def end(self) -> None:
        """Kills them all; returns when processes and threads are gone, or after `GOODBYE_S` if one cannot be killed."""
        for worker in self._leaving:
            worker.kill()
        until = time.monotonic() + GOODBYE_S
        for worker in self._leaving:
            worker.executor.thread.join(max(until - time.monotonic(), 0.0))
            waited_for(worker.executor.process, max(until - time.monotonic(), 0.0))
        self.see_off(self._clock())
