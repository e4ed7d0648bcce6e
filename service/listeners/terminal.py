"""The daemon on a terminal: a live line per photo in hand, the queue, the last results. Its plain twin is `lines`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cutoutd.daemon.events import PhotoEvent
from cutoutd.daemon.live_status import LiveStatus
from cutoutd.service.listeners.lines import LogListener, outcome_text, ready_lines
from cutoutd.service.text import said, status_line, tell

LAST_RESULTS = 6  # what has just come; `status` and the log have more
# Elapsed time has one decimal; four pictures a second look like a running clock.
TICK_S = 0.25


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
            tell(self._console, line, "bold green" if line == "ready" else "")
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
        """The live line becomes a named failure, above the view: it is still there in the morning."""
        self._pace.ended()
        self._in_hand.pop(event.photo, None)
        if self._gone():
            super().photo_failed(event)
            return
        tell(self._console, self._result(event, "✗"), "red")
        self._draw()

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
            tell(self._console, text)

    def warning(self, text: str) -> None:
        """A line above the view that stands out."""
        if self._gone():
            super().warning(text)
        else:
            tell(self._console, text, "yellow")

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
        self._last.append(said(self._result(event, mark), style=style))
        self._draw()

    def _result(self, event: PhotoEvent, mark: str) -> str:
        label = f"{event.inbox}: " if self._labelled else ""
        return f"{mark} {label}{outcome_text(event)}"

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
