"""Has the file of the configuration looked at and read, away from the loop; what it says is taken up by others.

The folder that it lies in may hang, and a file of many thousand keys takes seconds to read: neither holds up a photo.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from cutoutd.config.errors import CutoutError, printable
from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.plan import Plan

T = TypeVar("T")

# One that was written within this time may be half written, or empty: not every editor puts a whole file in its place.
REST_S: Final = 1.0
# One that has not answered for so long hangs: whoever edits it wonders why nothing happens. The longest that we know
# of takes half of it to read.
HANGS_S: Final = 30.0


class ConfigNews(Protocol):
    """Who hears of it, in the loop."""

    def config_is_read(self) -> None:
        """It is being read from now on; one of the two that follow ends that."""
        ...

    def config_plan(self, plan: Plan) -> None:
        """What it says now."""
        ...

    def config_refused(self, error: CutoutError) -> None:
        """It says nothing that can be used."""
        ...

    def config_hangs(self, why: str) -> None:
        """It does not answer, as a sentence."""
        ...


class ConfigFile:
    """Looks at its time of change; all methods run in the supervisor's loop.

    Args:
        path: the file; None where there is none.
        load: makes a plan from it, and may hang; raises CutoutError. None: it is never read again.
        news: hears what it says.
        post: hands an answer to the supervisor's queue.
        clock: monotonic seconds.
        wall: seconds since 1970.

    Attributes:
        refused: what the file says that cannot be used, as a sentence; empty while what it says is in force.
    """

    def __init__(
        self,
        path: Path | None,
        load: Callable[[], Plan] | None,
        news: ConfigNews,
        post: Callable[[Done], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.refused = ""
        self._path = path
        self._load = load
        self._news = news
        self._post = post
        self._clock = clock
        self._wall = wall
        self._thread: IoThread | None = None
        self._owed = False
        self._asked_at: float | None = None
        self._told = False
        self._taken = self._mtime_ns()  # by the I/O thread alone, from its first call on

    def look(self) -> None:
        """Has it read if it has changed; unless it has not answered yet."""
        if self._path is None:
            return
        if self._asked_at is None:
            Story(self._look())
        elif not self._told and self._clock() >= self._asked_at + HANGS_S:
            self._told = True
            self._news.config_hangs(
                f"The config file {printable(self._path)} has not answered for {HANGS_S:.0f} seconds. The settings in "
                "force stay until it has been read."
            )

    def read(self) -> None:
        """Has it read; once more if that is under way, since it may have changed meanwhile."""
        if self._load is None:
            return
        self._owed = True
        if self._asked_at is None:
            Story(self._read_owed(self._load))

    async def _look(self) -> None:
        if await self._ask(self._has_changed):
            self._owed = True
        if self._load is not None:
            await self._read_owed(self._load)

    async def _read_owed(self, load: Callable[[], Plan]) -> None:
        while self._owed:
            self._owed = False
            self._news.config_is_read()
            try:
                plan = await self._ask(lambda: self._loaded(load))
            except CutoutError as error:
                self.refused = "; ".join(str(error).splitlines())
                self._news.config_refused(error)
            else:
                self.refused = ""
                self._news.config_plan(plan)

    async def _ask(self, work: Callable[[], T]) -> T:
        # Not before the first call: a thread that is older than the daemon's giving up of rights would keep them.
        self._thread = self._thread or IoThread("the configuration", self._post)
        self._asked_at, self._told = self._clock(), False
        try:
            return await run(self._thread, work)
        finally:
            self._asked_at = None

    # --- on the I/O thread -----------------------------------------------------------------------------------

    def _has_changed(self) -> bool:
        """Whether it is another than what was taken, and nobody has just written to it."""
        now = self._mtime_ns()
        return now != self._taken and abs(self._wall() - now / 1e9) >= REST_S

    def _loaded(self, load: Callable[[], Plan]) -> Plan:
        self._taken = self._mtime_ns()
        return load()

    def _mtime_ns(self) -> int:
        try:
            return 0 if self._path is None else self._path.stat().st_mtime_ns
        except OSError:
            return 0
