"""Desktop notifications through the platform's own program; rate-limited, and silent without a desktop."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cutoutd.config.errors import printable
from cutoutd.config.reporting import Notify
from cutoutd.config.settings import Settings
from cutoutd.daemon.events import Listener, PhotoEvent

# A desktop that refuses this often in a row has no place for notifications.
_REFUSALS = 3

# AppleScript takes the texts as arguments, so that no photo's name is ever read as a script.
_APPLESCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)

Start = Callable[[Sequence[str]], Any]


def notifier_command(
    environ: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> tuple[str, ...] | None:
    """The program that shows a notification, to which title and text are appended; None without a desktop."""
    if platform == "darwin":
        found = shutil.which("osascript", path=environ.get("PATH"))
        return (found, *(part for line in _APPLESCRIPT for part in ("-e", line))) if found else None
    found = shutil.which("notify-send", path=environ.get("PATH"))
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    has_bus = bool(environ.get("DBUS_SESSION_BUS_ADDRESS")) or bool(runtime and Path(runtime, "bus").exists())
    if not found or not has_bus:
        return None
    return (found, "--app-name=cutoutd", "--icon=image-x-generic", "--")


def notifier_warnings(
    settings: Settings, environ: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> list[str]:
    """A sentence where notifications are wanted and nothing can show them from here; none where all is well."""
    wanted = settings.notify
    if not (wanted.done or wanted.failed) or notifier_command(environ, platform) is not None:
        return []
    if platform == "darwin":
        return ["notify: osascript is not on the PATH, so no notification is shown."]
    if shutil.which("notify-send", path=environ.get("PATH")) is None:
        remedy = "install your system's libnotify tools (libnotify-bin on Debian and Ubuntu)"
        return [f"notify: there is no notify-send, so no notification is shown; {remedy}."]
    return ["notify: no desktop session can be reached from here, so no notification is shown."]


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class DesktopListener(Listener):
    """Gathers what happened and shows it, at most one notification per `at_most_every`.

    Args:
        settings: what is wanted.
        command: the notifier, or None for silence.
        start: starts a program without waiting for it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: Notify,
        command: tuple[str, ...] | None,
        start: Start = _start,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._command = command
        self._start = start
        self._clock = clock
        self._done: list[PhotoEvent] = []
        self._failed: list[PhotoEvent] = []
        self._shown_at = float("-inf")
        self._running: list[Any] = []
        self._refusals = 0

    @property
    def active(self) -> bool:
        """Whether notifications are wanted and can be shown."""
        wanted = self._settings.done or self._settings.failed
        return wanted and self._command is not None and self._refusals < _REFUSALS

    def photo_done(self, event: PhotoEvent) -> None:
        """One more to tell of."""
        if self._settings.done:
            self._done.append(event)
            self._flush()

    def photo_failed(self, event: PhotoEvent) -> None:
        """One more to tell of."""
        if self._settings.failed:
            self._failed.append(event)
            self._flush()

    def healthy(self) -> None:
        """The daemon's regular round: what had to wait is told now."""
        self._flush()

    def stopping(self) -> None:
        """Nothing is told later, so it is told now."""
        self._shown_at = float("-inf")
        self._flush()

    def _flush(self) -> None:
        self._reap()
        if not self.active:
            self._done.clear()
            self._failed.clear()
            return
        waited_s = self._clock() - self._shown_at
        if waited_s < self._settings.at_most_every or not (self._done or self._failed):
            return
        title, text = notification(self._done, self._failed)
        self._done.clear()
        self._failed.clear()
        self._shown_at = self._clock()
        # notify-send's text may hold markup; a photo's name must not become some.
        body = text if sys.platform == "darwin" else html.escape(text, quote=False)
        try:
            self._running.append(self._start((*(self._command or ()), title, body)))
        except OSError:
            self._refusals += 1

    def _reap(self) -> None:
        """Collects notifiers that have ended, and learns from those that failed."""
        still: list[Any] = []
        for process in self._running:
            code = process.poll()
            if code is None:
                still.append(process)
            else:
                self._refusals = self._refusals + 1 if code else 0
        self._running = still


def notification(done: Sequence[PhotoEvent], failed: Sequence[PhotoEvent]) -> tuple[str, str]:
    """Title and text for photos done and failed since the last notification."""
    parts: list[str] = []
    if done:
        parts.append("1 cutout ready" if len(done) == 1 else f"{len(done)} cutouts ready")
    if failed:
        parts.append("1 photo failed" if len(failed) == 1 else f"{len(failed)} photos failed")
    lines = [printable(f"{event.name}: {event.reason}") for event in failed[-3:]]
    if not failed:
        lines = [
            ", ".join(printable(event.name) for event in done[-3:]) + (" and others" if len(done) > 3 else "")
        ]
    elif len(failed) > 3:
        lines.append("`cutoutd failures` lists all")
    return ", ".join(parts), "\n".join(lines)
