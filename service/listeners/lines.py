"""The daemon in plain lines, for a log; it draws nothing, so that no service loads what draws on a terminal."""

from __future__ import annotations

import logging

from cutoutd.daemon.events import Listener, PhotoEvent
from cutoutd.daemon.live_status import LiveStatus

log = logging.getLogger("cutoutd")


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


def closing_line(done: int, failed: int, left: int) -> str:
    """`38 done, 4 failed (…), 2 left: …`: what came of this session."""
    why = " (`cutoutd failures` says why)" if failed else ""
    rest = f", {left} left: done at the next start" if left else ""
    return f"{done} done, {failed} failed{why}{rest}"


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
        log.info("Stopping: photos in hand are finished, the rest is done after the next start.")
