"""The last guard: mistakes of ours that are about no photo and no folder are logged, counted and told."""

from __future__ import annotations

import logging

from cutoutd.config.errors import mistake
from cutoutd.daemon.events import Listener

_LOG = logging.getLogger("cutoutd")


class Mistakes:
    """Those of one daemon.

    Args:
        listener: hears of each new kind; of one that comes again and again only once.
    """

    def __init__(self, listener: Listener) -> None:
        self.count = 0
        self._last = ""
        self._listener = listener

    def note(self, error: Exception) -> None:
        """One more."""
        _LOG.error("a mistake of cutoutd's own", exc_info=error)
        what = mistake(error)
        self.count += 1
        if what != self._last:
            self._listener.warning(f"cutoutd made a mistake ({what}) and goes on; please report it.")
        self._last = what

    def so_far(self) -> str:
        """All of them as a sentence; empty when there was none."""
        if not self.count:
            return ""
        many = "a mistake" if self.count == 1 else f"{self.count} mistakes, most recently"
        return f"Since it started, cutoutd made {many} ({self._last}); please report it."
