"""Whether a photo or the machine is at fault when a worker dies: the built-in test photo decides.

It moves no rows: who is guilty is told to a callback. All methods run in the supervisor's loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from cutoutd.config.errors import Reason
from cutoutd.daemon.backoff import backoff_s
from cutoutd.daemon.events import Listener
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.plan import Plan
from cutoutd.daemon.workers import pool
from cutoutd.daemon.workers.engines import RUN_SELF_TEST
from cutoutd.daemon.workers.exit_status import Cause

if TYPE_CHECKING:
    from cutoutd.daemon.fleet.slots import FleetSlots

# The tag of the test photo; ledger rows count from 1.
SELF_TEST = -1
SELF_TEST_LIMIT_S = 120.0
# While even the test photo kills workers, it is tried again after this long, which doubles up to a minute.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0

_CAUSES: dict[Cause, tuple[Reason, str]] = {
    "timeout": (Reason.TOO_SLOW, "It took longer than limits.time_per_photo allows; raise that setting."),
    "out-of-memory": (
        Reason.OUT_OF_MEMORY,
        "It needs more memory than a worker may use; raise limits.worker_memory.",
    ),
    "crashed": (Reason.CRASHED, "The decoder or the engine crashed on it."),
}


class Suspect(Struct, frozen=True):
    """A photo that was in the hand of a worker when it died, and what it would then be at fault for.

    `large`: a large network worked on it.
    """

    row: PhotoRow
    reason: Reason
    detail: str
    large: bool


class SelfTest:
    """Holds suspects until the test photo has run.

    Args:
        workers: the slots.
        plan: the plan in force: with which networks to test, and in which slots.
        listener: hears when even the test photo fails, and when it works again.
        clock: monotonic seconds.
        on_guilty: called with each suspect once the machine turned out to be sound.
        on_ill: called when a worker failed the test and lives on; it is to be replaced.
    """

    def __init__(
        self,
        workers: pool.Workers | FleetSlots,
        *,
        plan: Callable[[], Plan],
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
        on_guilty: Callable[[Suspect], None],
        on_ill: Callable[[], None],
    ) -> None:
        self.trouble = ""  # why even the test photo fails; no photo is given out meanwhile
        self._workers = workers
        self._plan = plan
        self._listener = listener
        self._clock = clock
        self._on_guilty = on_guilty
        self._on_ill = on_ill
        self._suspects: list[Suspect] = []
        self._testing = False
        self._large = False  # whether the test is to include the large networks
        self._test_at = 0.0
        self._failures = 0  # in a row

    def suspect(self, row: PhotoRow, reason: Reason, detail: str, *, large: bool) -> None:
        """A photo that may be at fault; the test photo runs before any other photo does.

        Where this machine does not work, nobody here can run it: the photo is taken to be at fault.
        """
        if not self._plan().pool_size.size:
            self.guilty(row, reason, detail, large=large)
            return
        self._suspects.append(Suspect(row, reason, detail, large))
        self._large = self._large or large

    def suspect_of_death(self, row: PhotoRow, death: pool.Died, *, large: bool) -> None:
        """The same for a worker's death, in words."""
        reason, sentence = _CAUSES[death.cause]
        detail = f"{sentence} ({death.detail})"
        if death.sound:
            self.guilty(row, reason, detail, large=large)
        else:
            self.suspect(row, reason, detail, large=large)

    def guilty(self, row: PhotoRow, reason: Reason, detail: str, *, large: bool) -> None:
        """A photo whose machine has proved to be sound already."""
        self._on_guilty(Suspect(row, reason, detail, large))

    def at_work(self) -> bool:
        """Whether photos wait for the outcome of a test."""
        return bool(self._suspects or self.trouble)

    def examine(self) -> None:
        """Runs the test photo, when it is due and a slot is free."""
        plan = self._plan()
        slots = plan.pool_size.slots(large=self._large)
        if self._testing or self._clock() < self._test_at or not self._workers.free(slots):
            return
        engines = plan.engines_for(large=self._large)
        with suppress(pool.NoFreeSlotError):  # the worker died this very moment: the next turn tries again
            self._workers.submit(SELF_TEST, RUN_SELF_TEST, engines, limit_s=SELF_TEST_LIMIT_S, slots=slots)
            self._testing = True

    def passed(self) -> None:
        """The machine is sound: the suspects did it."""
        self._testing = self._large = False
        self._failures = 0
        if self.trouble:
            self.trouble = ""
            self._listener.notice("The engine works again; photos are taken up.")
        suspects, self._suspects = self._suspects, []
        for one in suspects:
            self._on_guilty(one)

    def failed(self, why: str, *, lives: bool) -> None:
        """No photo is at fault; the test is tried again after a pause.

        Args:
            why: what went wrong.
            lives: the worker is still there, and may itself be what is ill: the next try is a new worker's.
        """
        if lives:
            self._on_ill()
        self._testing = False
        self._suspects.clear()
        self._failures += 1
        self._test_at = self._clock() + backoff_s(self._failures, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        if not self.trouble:
            self._listener.warning(
                f"Even the built-in test photo cannot be processed ({why}). Photos wait and none is marked failed; "
                "run `cutoutd doctor`."
            )
        self.trouble = why

    def next_due(self) -> float:
        """Monotonic time of the next try of the test photo, or infinity.

        A try that is due and was not made lacks a free slot, and the message that one is free turns the loop: a time
        that has passed would turn it without end.
        """
        waits = self.trouble and not self._testing and self._clock() < self._test_at
        return self._test_at if waits else float("inf")
