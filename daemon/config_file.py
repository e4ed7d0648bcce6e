"""Whether the file of the configuration is another by now; it reads none."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

# One that was written within this time may be half written, or empty: not every editor puts a whole file in its place.
REST_S: Final = 1.0


class ConfigFile:
    """Looks at its time of change.

    Args:
        path: the file; None where there is none.
        wall: seconds since 1970.
    """

    def __init__(self, path: Path | None, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall
        self._taken = self._mtime_ns()

    def take(self) -> None:
        """It is read now, or was."""
        self._taken = self._mtime_ns()

    def has_changed(self) -> bool:
        """Whether it is another than what was taken, and nobody has just written to it."""
        now = self._mtime_ns()
        return now != self._taken and abs(self._wall() - now / 1e9) >= REST_S

    def _mtime_ns(self) -> int:
        try:
            return 0 if self._path is None else self._path.stat().st_mtime_ns
        except OSError:
            return 0
