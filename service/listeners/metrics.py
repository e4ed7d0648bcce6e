"""Figures for Prometheus as a text file, for node exporter's textfile collector; no port is opened."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cutoutd.config.errors import printable
from cutoutd.daemon.events import Listener, PhotoEvent
from cutoutd.daemon.live_status import Counts, LiveStatus, NodeStatus

_LOG = logging.getLogger(__name__)
# The collector runs as another user; there are figures in the file, no photos' names.
_MODE = 0o644


class MetricsListener(Listener):
    """Counts what happens and writes it when something changed, at most every `every_s` seconds.

    Args:
        path: the text file; its folder must exist.
        every_s: least time between two writes.
        clock: monotonic seconds.
        now: seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._every_s = every_s
        self._clock = clock
        self._now = now
        self._started = now()
        self._up = 0
        self._states = Counts()
        self._done: Counter[str] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._retries: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._stages: Counter[str] = Counter()
        self._nodes: dict[str, NodeStatus] = {}
        self._last_done = 0.0
        self._changed = False
        self._written_at = float("-inf")
        self._complained = False

    def ready(self, status: LiveStatus) -> None:
        """Up."""
        self._up = 1
        self._states = status.counts
        self._touch(at_once=True)

    def photo_done(self, event: PhotoEvent) -> None:
        """Counts it and the time it took."""
        self._done[event.inbox] += 1
        self._seconds[event.inbox] += event.seconds  # pyright: ignore[reportArgumentType] - sums of seconds
        for stage, seconds in event.timings.items():
            self._stages[stage] += seconds  # pyright: ignore[reportArgumentType] - sums of seconds
        self._last_done = self._now()
        self._touch()

    def photo_failed(self, event: PhotoEvent) -> None:
        """Counts it by reason."""
        self._failed[event.inbox, event.reason] += 1
        self._touch()

    def photo_retry(self, event: PhotoEvent) -> None:
        """Counts it."""
        self._retries[event.inbox] += 1
        self._touch()

    def status(self, status: LiveStatus) -> None:
        """The queue as it is now."""
        states = status.counts
        nodes = {} if status.fleet is None else {one.name: one for one in status.fleet.nodes}
        if (states, nodes) != (self._states, self._nodes):
            self._states, self._nodes = states, nodes
            self._touch()

    def healthy(self) -> None:
        """The daemon's regular round: what had to wait is written now."""
        self._write_if_due()

    def stopping(self) -> None:
        """Down, and said so at once."""
        self._up = 0
        self._touch(at_once=True)

    def _touch(self, *, at_once: bool = False) -> None:
        self._changed = True
        if at_once:
            self._written_at = float("-inf")
        self._write_if_due()

    def _write_if_due(self) -> None:
        if not self._changed or self._clock() - self._written_at < self._every_s:
            return
        self._written_at = self._clock()
        try:
            replace_file(self._path, self.text())
        except OSError as error:
            if not self._complained:
                _LOG.warning("Metrics cannot be written to %s: %s", printable(self._path), error.strerror)
            self._complained = True
            return
        self._changed = False
        self._complained = False

    def text(self) -> str:
        """The file in Prometheus' text format, version 0.0.4."""
        families: list[tuple[str, str, str, list[tuple[dict[str, str], float]]]] = [
            ("up", "gauge", "Whether the daemon takes up photos.", [({}, self._up)]),
            ("start_time_seconds", "gauge", "Start of the daemon, Unix time.", [({}, self._started)]),
            (
                "photos",
                "gauge",
                "Photos in the ledger by state.",
                [({"state": state}, count) for state, count in sorted(self._states.plain().items())],
            ),
            ("photos_done_total", "counter", "Cutouts delivered since start.", _by_inbox(self._done)),
            (
                "node_slots",
                "gauge",
                "Photos that a node of the fleet takes at once; 0 while it gets none.",
                [
                    ({"node": n}, one.slots if one.state == "ready" else 0)
                    for n, one in sorted(self._nodes.items())
                ],
            ),
            (
                "node_photos_per_minute",
                "gauge",
                "Photos that a node finished in the last minute.",
                [({"node": n}, one.photos_per_minute) for n, one in sorted(self._nodes.items())],
            ),
            (
                "photos_failed_total",
                "counter",
                "Photos failed since start.",
                [({"inbox": i, "reason": r}, n) for (i, r), n in sorted(self._failed.items())],
            ),
            ("photo_retries_total", "counter", "Attempts repeated since start.", _by_inbox(self._retries)),
            (
                "photo_seconds_total",
                "counter",
                "Seconds photos were in hand since start.",
                _by_inbox(self._seconds),
            ),
            (
                "stage_seconds_total",
                "counter",
                "Seconds spent per stage since start.",
                [({"stage": stage}, total) for stage, total in sorted(self._stages.items())],
            ),
            (
                "last_done_time_seconds",
                "gauge",
                "Last delivery, Unix time; 0: none yet.",
                [({}, self._last_done)],
            ),
        ]
        lines: list[str] = []
        for name, kind, about, samples in families:
            lines += [f"# HELP cutoutd_{name} {about}", f"# TYPE cutoutd_{name} {kind}"]
            lines += [f"cutoutd_{name}{_labels(labels)} {value!r}" for labels, value in samples]
        return "\n".join(lines) + "\n"


def _by_inbox(counter: Counter[str]) -> list[tuple[dict[str, str], float]]:
    return [({"inbox": inbox}, total) for inbox, total in sorted(counter.items())]


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    escaped = {
        name: printable(value).replace("\\", "\\\\").replace('"', '\\"') for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"


def replace_file(path: Path, text: str) -> None:
    """Write a whole file and put it in place in one step: a reader sees the old one or the new one.

    Raises:
        OSError: the folder is missing, full or not ours to write to.
    """
    # The collector reads *.prom only, so it never sees this name.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, _MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, _MODE)
            file.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
