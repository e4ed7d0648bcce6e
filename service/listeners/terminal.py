"""The daemon on a terminal: a live line per photo in hand, the queue, the last results; and its plain-log twin."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cutoutd.daemon.events import Listener, PhotoEvent
from cutoutd.daemon.live_status import LiveStatus
from cutoutd.service.text import said, status_line

log = logging.getLogger("cutoutd")

LAST_RESULTS = 6
# Elapsed time has one decimal; four pictures a second look like a running clock.
TICK_S = 0.25


def ready_lines(status: LiveStatus) -> list[str]:
    """Where to drop photos, where cutouts appear, what runs, and the word `ready`."""
    lines: list[str] = []
    for inbox in status.inboxes:
        lines += [f"Drop photos into   {inbox.path}", f"Cutouts appear in  {inbox.outbox}"]
        if inbox.trouble:
            lines.append(f"  waiting: {inbox.trouble}")
        if inbox.no_events:
            lines.append(f"  {inbox.no_events}")
    for model, one in status.models.items():
        count = status.workers
        workers = f"{count} worker{'' if count == 1 else 's'}"
        lines.append(f"Model              {model} on {one.provider}, {workers}")
    sandbox = status.sandbox.worker
    if sandbox is not None:
        lines.append(f"Privacy            network: {sandbox.network}; files: {sandbox.files}")
    lines.append("ready")
    return lines


def outcome_text(event: PhotoEvent) -> str:
    """`web/DSC_1.jpg → web/DSC_1.png in 0.9 s (1.6 s after it arrived)`, or what went wrong."""
    if event.reason:
        return f"{event.name}: {event.reason}. {event.detail}".strip()
    outputs = ", ".join(_below(path, event.outbox) for path in event.outputs) or "done"
    stage = f" ({event.stage})" if event.stage else ""
    # Waiting for the file to be complete is part of every latency; only what exceeds the work is worth a word.
    since = f" ({event.latency_s:.1f} s after it arrived)" if event.latency_s >= event.seconds + 0.05 else ""
    return f"{event.name} → {outputs}{stage} in {event.seconds:.1f} s{since}"


def _below(path: str, outbox: str) -> str:
    """A cutout's path within its outbox, so that sub-folders show."""
    folder = outbox.rstrip("/") + "/"
    return path.removeprefix(folder) if outbox and path.startswith(folder) else path.rsplit("/", 1)[-1]


def closing_line(done: int, failed: int, owed: int) -> str:
    """`38 done, 4 failed, 2 owed`: what came of this session."""
    rest = f", {owed} owed: done at the next start" if owed else ""
    return f"{done} done, {failed} failed{rest}"


class Pace:
    """How long the photos that wait will take, from how fast the last ones were done.

    Args:
        clock: monotonic seconds.
    """

    # So many of the last ones tell the present speed; fewer than two tell nothing.
    LAST = 12

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=self.LAST)

    def ended(self) -> None:
        """A photo was done or has failed."""
        self._ends.append(self._clock())

    def rest(self) -> None:
        """Nothing waits any more: the next burst has a pace of its own."""
        self._ends.clear()

    def left_s(self, owed: int) -> float | None:
        """Seconds until so many photos are done; None while that cannot be told."""
        if len(self._ends) < 2 or owed < 1:
            return None
        spent_s = self._ends[-1] - self._ends[0]
        each_s = spent_s / (len(self._ends) - 1)
        return max(0.0, owed * each_s - (self._clock() - self._ends[-1]))


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class LogListener(Listener):
    """One log line per photo, for services and pipes."""

    def starting(self, text: str) -> None:
        """Says what start-up is doing."""
        log.info("%s", text)

    def ready(self, status: LiveStatus) -> None:
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
    """The live view; when the terminal goes away it is its plain-log twin.

    Args:
        console: where it draws.
        gone: whether the terminal is no longer there.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        console: Console,
        gone: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._gone = gone
        self._clock = clock
        self._in_hand: dict[int, tuple[str, float]] = {}
        self._last: deque[Text] = deque(maxlen=LAST_RESULTS)
        self._line = "Starting"
        self._spinner = Spinner("dots")
        self._pace = Pace(clock)
        self._owed = 0
        self._labelled = False
        self._ticks = Condition()
        self._drawing = False
        # It draws once when it is made, so everything else is there before it.
        self._live = Live(console=console, auto_refresh=False, transient=True, get_renderable=self._view)

    def start(self) -> None:
        """Begins to draw; its thread must start after the sandbox stands, so the daemon calls it at `ready`."""
        if self._drawing or self._gone():
            return
        self._live.start()
        self._drawing = True
        Thread(target=self._run_clock, name="clock of the live view", daemon=True).start()
        self._draw()

    def stop(self) -> None:
        """Leaves the terminal as it was."""
        with self._ticks:
            self._drawing = False
            self._ticks.notify()
        self._live.stop()

    def _run_clock(self) -> None:
        """Lets elapsed time run while a photo is in hand; sleeps, at no cost, while none is."""
        while True:
            with self._ticks:
                self._ticks.wait_for(lambda: self._in_hand or not self._drawing)
                self._ticks.wait_for(lambda: not self._drawing, TICK_S)
                if not self._drawing:
                    return
            self._live.refresh()

    def starting(self, text: str) -> None:
        """A line above the view."""
        self._console.print(said(f"{text} …", style="dim"))

    def ready(self, status: LiveStatus) -> None:
        """Where to drop photos, then the live view."""
        for line in ready_lines(status):
            self._console.print(said(line, style="bold green" if line == "ready" else ""), soft_wrap=True)
        self._take(status)
        self.start()

    def photo_started(self, event: PhotoEvent) -> None:
        """A new live line."""
        stage = f" ({event.stage})" if event.stage else ""
        with self._ticks:
            self._in_hand[event.photo] = (f"{self._named(event)}{stage}", self._clock())
            self._ticks.notify()
        self._draw()

    def photo_done(self, event: PhotoEvent) -> None:
        """The live line becomes a result."""
        self._pace.ended()
        self._end(event, "green", "✓", super().photo_done)

    def photo_failed(self, event: PhotoEvent) -> None:
        """The live line becomes a named failure."""
        self._pace.ended()
        self._end(event, "red", "✗", super().photo_failed)

    def photo_retry(self, event: PhotoEvent) -> None:
        """The live line goes; the photo waits again."""
        self._end(event, "yellow", "↻", super().photo_retry)

    def status(self, status: LiveStatus) -> None:
        """The queue's line."""
        self._take(status)
        held = {hand.photo for hand in status.in_hand}
        self._in_hand = {photo: facts for photo, facts in self._in_hand.items() if photo in held}
        self._draw()

    def _take(self, status: LiveStatus) -> None:
        self._line = status_line(status)
        self._labelled = len(status.inboxes) > 1
        self._owed = status.counts.owed
        if not self._owed:
            self._pace.rest()

    def notice(self, text: str) -> None:
        """A line above the view."""
        if self._gone():
            super().notice(text)
        else:
            self._console.print(said(text), soft_wrap=True)

    def warning(self, text: str) -> None:
        """A line above the view that stands out."""
        if self._gone():
            super().warning(text)
        else:
            self._console.print(said(text, style="yellow"), soft_wrap=True)

    def stopping(self) -> None:
        """Says what happens now."""
        self._line = "Stopping: photos in hand are finished (Ctrl-C again stops at once, losing nothing)"
        self._draw()

    def _named(self, event: PhotoEvent) -> str:
        """The photo, with its inbox where there are several."""
        return f"{event.inbox}: {event.name}" if self._labelled else event.name

    def _end(self, event: PhotoEvent, style: str, mark: str, plain: Callable[[PhotoEvent], None]) -> None:
        self._in_hand.pop(event.photo, None)
        if self._gone():
            plain(event)
            return
        label = f"{event.inbox}: " if self._labelled else ""
        self._last.append(said(f"{mark} {label}{outcome_text(event)}", style=style))
        self._draw()

    def _draw(self) -> None:
        if self._drawing and not self._gone():
            self._live.refresh()

    def _view(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for name, started in list(self._in_hand.values()):
            table.add_row(self._spinner, said(name), said(f"{self._clock() - started:.1f} s", style="dim"))
        left_s = self._pace.left_s(self._owed)
        eta = f" · about {duration(left_s)} left" if left_s is not None and self._owed > 1 else ""
        return Group(*list(self._last), table, said(f"{self._line}{eta}", style="bold"))
