"""Notices that another version was installed over the one that runs; it starts and stops nothing.

A process goes on with the modules that it has loaded, and its next worker would load the new ones: neither would
understand the other.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cutoutd.config import version
from cutoutd.config.errors import CutoutError, ExitCode
from cutoutd.config.version import VERSION

# An installer writes its files one by one; the one with the version may be among the first.
STEADY_S: Final = 15.0
_SAID: Final = re.compile(r"^VERSION = \"([^\"\n]{1,40})\"$", re.MULTILINE)


class ReplacedError(CutoutError):
    """The program on the disk is another version than the one that ran."""

    exit_code = ExitCode.REPLACED


class Installed:
    """Looks now and then which version lies where this one was loaded from.

    Args:
        clock: monotonic seconds.
        file: the module that holds the version.

    Attributes:
        other: the version that lies there instead of ours, or "".
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, file: Path = Path(version.__file__)
    ) -> None:
        self.other = ""
        self._clock = clock
        self._file = file
        self._before = self._facts()
        self._since: float | None = None

    def look(self) -> bool:
        """Whether another version lies there by now, and has for long enough to be all there."""
        now = self._facts()
        if now != self._before:
            self._before, self._since = now, self._clock()
        if self._since is None or self._clock() - self._since < STEADY_S:
            return False
        self._since = None
        self.other = self._said()
        return bool(self.other)

    def must_end(self) -> ReplacedError:
        """What is said in the end."""
        return ReplacedError(
            f"cutoutd {self.other} was installed over {VERSION}, which ran here",
            fix="The new one does what waits. Service managers start it by themselves; else start it again.",
        )

    def _facts(self) -> tuple[int, int, int] | None:
        try:
            facts = os.stat(self._file)
        except OSError:  # removed, or in an archive
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_size

    def _said(self) -> str:
        try:
            found = _SAID.search(self._file.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return ""
        return found[1] if found and found[1] != VERSION else ""
