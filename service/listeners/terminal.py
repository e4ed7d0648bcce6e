"""The daemon on a terminal: a live line per photo in hand, the queue, the last results; and its plain-log twin."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cutoutd.daemon.events import Listener, PhotoEvent
from cutoutd.service.text import status_line

log = logging.getLogger("cutoutd")

LAST_RESULTS = 6


def ready_lines(status: dict[str, Any]) -> list[str]:
    """Where to drop photos, where cutouts appear, what runs, and the word `ready`."""
    lines: list[str] = []
    for inbox in status["inboxes"]:
        lines += [f"Drop photos into   {inbox['path']}", f"Cutouts appear in  {inbox['outbox']}"]
        if inbox["trouble"]:
            lines.append(f"  waiting: {inbox['trouble']}")
    for model, facts in status["models"].items():
        count = status["workers"]
        workers = f"{count} worker{'' if count == 1 else 's'}"
        lines.append(f"Model              {model} on {facts['provider']}, {workers}")
    sandbox = status["sandbox"]["worker"]
    if sandbox is not None:
        lines.append(f"Privacy            network: {sandbox['network']}; files: {sandbox['files']}")
    lines.append("ready")
    return lines


def outcome_text(event: PhotoEvent) -> str:
    """`DSC_1.jpg → DSC_1.png in 0.9 s`, or what went wrong."""
    if event.reason:
        return f"{event.name}: {event.reason}. {event.detail}".strip()
    outputs = ", ".join(path.rsplit("/", 1)[-1] for path in event.outputs) or "done"
    return f"{event.name} → {outputs} in {event.seconds:.1f} s"


class LogListener(Listener):
    """One log line per photo, for services and pipes."""

    def starting(self, text: str) -> None:
        """Says what start-up is doing."""
        log.info("%s", text)

    def ready(self, status: dict[str, Any]) -> None:
        """Says where to drop photos."""
        for line in ready_lines(status):
            log.info("%s", line)

    def photo_done(self, event: PhotoEvent) -> None:
        """One line for a cutout."""
        log.info("%s", outcome_text(event))

    def photo_failed(self, event: PhotoEvent) -> None:
        """One line for a failure."""
        log.error("%s", outcome_text(event))

    def photo_retry(self, event: PhotoEvent) -> None:
        """One line for an attempt that will be repeated."""
        log.warning("%s It is tried again.", outcome_text(event))

    def notice(self, text: str) -> None:
        """A line."""
        log.info("%s", text)

    def warning(self, text: str) -> None:
        """A line that stands out."""
        log.warning("%s", text)

    def stopping(self) -> None:
        """Says that photos in hand are being finished."""
        log.info("Stopping: photos in hand are finished, the rest stays owed.")


class TerminalListener(LogListener):
    """The live view."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._in_hand: dict[int, tuple[str, float]] = {}
        self._last: deque[Text] = deque(maxlen=LAST_RESULTS)
        self._line = "Starting"
        self._spinner = Spinner("dots")

    def start(self) -> None:
        """Begins to draw; its thread must start after the sandbox stands, so the daemon calls it at `ready`."""
        self._live.start()
        self._draw()

    def stop(self) -> None:
        """Leaves the terminal as it was."""
        self._live.stop()

    def starting(self, text: str) -> None:
        """A line above the view."""
        self._console.print(f"[dim]{text} …[/]")

    def ready(self, status: dict[str, Any]) -> None:
        """Where to drop photos, then the live view."""
        for line in ready_lines(status):
            self._console.print(Text(line, style="bold green" if line == "ready" else ""))
        self._line = status_line(status)
        self.start()

    def photo_started(self, event: PhotoEvent) -> None:
        """A new live line."""
        self._in_hand[event.photo] = (event.name, time.monotonic())
        self._draw()

    def photo_done(self, event: PhotoEvent) -> None:
        """The live line becomes a result."""
        self._end(event, "green", "✓")

    def photo_failed(self, event: PhotoEvent) -> None:
        """The live line becomes a named failure."""
        self._end(event, "red", "✗")

    def photo_retry(self, event: PhotoEvent) -> None:
        """The live line goes; the photo waits again."""
        self._end(event, "yellow", "↻")

    def status(self, status: dict[str, Any]) -> None:
        """The queue's line."""
        self._line = status_line(status)
        held = {hand["photo"] for hand in status["in_hand"]}
        self._in_hand = {photo: facts for photo, facts in self._in_hand.items() if photo in held}
        self._draw()

    def notice(self, text: str) -> None:
        """A line above the view."""
        self._console.print(Text(text))

    def warning(self, text: str) -> None:
        """A line above the view that stands out."""
        self._console.print(Text(text, style="yellow"))

    def stopping(self) -> None:
        """Says what happens now."""
        self._line = "Stopping: photos in hand are finished (Ctrl-C again stops at once, losing nothing)"
        self._draw()

    def _end(self, event: PhotoEvent, style: str, mark: str) -> None:
        self._in_hand.pop(event.photo, None)
        self._last.append(Text(f"{mark} {outcome_text(event)}", style=style))
        self._draw()

    def _draw(self) -> None:
        self._live.update(self._view())

    def _view(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for name, started in self._in_hand.values():
            table.add_row(self._spinner, name, Text(f"{time.monotonic() - started:.1f} s", style="dim"))
        return Group(*self._last, table, Text(self._line, style="bold"))
