"""Passes on to systemd what the daemon says of itself; the protocol is sd_notify.py's business."""

from __future__ import annotations

import time
from collections.abc import Callable

from cutoutd.daemon.events import Listener
from cutoutd.daemon.live_status import LiveStatus
from cutoutd.service.listeners.sd_notify import Notifier
from cutoutd.service.text import status_line

# Each sign of life during start-up asks systemd for this much more; a model is prepared in less.
_START_STEP_S = 90


class SystemdListener(Listener):
    """Readiness, status line and watchdog.

    Args:
        notifier: where it is said.
        grace_s: how long the daemon takes at most to stop.
        clock: monotonic seconds.
    """

    def __init__(
        self, notifier: Notifier, grace_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._notifier = notifier
        self._grace_s = grace_s
        self._clock = clock
        self._ready = False
        self._fed_at = float("-inf")
        self._line = ""

    def starting(self, text: str) -> None:
        """Start-up goes on: ask for more time."""
        self._notifier.extend(text, _START_STEP_S)

    def ready(self, status: LiveStatus) -> None:
        """READY; from now on the watchdog counts."""
        self._ready = True
        self._line = status_line(status)
        self._fed_at = self._clock()
        self._notifier.ready(self._line)

    def status(self, status: LiveStatus) -> None:
        """The line of `systemctl status`, sent only when it reads differently."""
        line = status_line(status)
        if self._ready and line != self._line:
            self._line = line
            self._notifier.status(line)

    def healthy(self) -> None:
        """Feeds the watchdog, twice per time limit at most."""
        every_s = self._notifier.heartbeat_s
        # A quarter of the limit: with a feed due at half of it, one late turn of the loop does no harm.
        if every_s is not None and self._clock() - self._fed_at >= every_s / 2:
            self._fed_at = self._clock()
            self._notifier.alive()

    def reloading(self) -> None:
        """RELOADING, once the daemon was ready at all."""
        if self._ready:
            self._notifier.reloading()

    def reloaded(self) -> None:
        """READY again: systemd counts a reload as ended by it."""
        if self._ready:
            self._notifier.ready(self._line)

    def stopping(self) -> None:
        """STOPPING, with the time it may take."""
        self._notifier.stopping("Finishing what is in hand", self._grace_s)
