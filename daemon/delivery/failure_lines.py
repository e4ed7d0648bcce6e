"""Lines of the manifests for photos that failed, from the ledger's events on; it decides no failure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from cutoutd.config.hooks import EventKind
from cutoutd.daemon.delivery import manifest
from cutoutd.daemon.delivery.naming import Route, source_of
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.events import Event, Events
from cutoutd.daemon.ledger.intake import Intake

# How far the events have been gone through; it moves once their lines are written, so that a crash repeats some of
# them, and a line that stands there already is not written again.
CURSOR = "manifest cursor"
# An outbox that takes no lines is left alone for so long.
PAUSE_S = 60.0


class FailureLines(Struct):
    """Writes them, on the outboxes' own threads.

    Args:
        ledger: with the events.
    """

    ledger: Ledger
    _busy: bool = False
    _failed_at: float = float("-inf")

    def busy(self) -> int:
        """How many are on the way: 0 or 1 portion."""
        return int(self._busy)

    def written(self, photo: int) -> str:
        """The id of the last line that says that this photo failed; empty where none does."""
        event = Events(self.ledger).last_of(photo, EventKind.FAILED, self.ledger.get_meta(CURSOR) or 0)
        return "" if event is None else manifest.failure_id(event)

    def note(self, routes: Mapping[bytes, Route]) -> None:
        """Whatever has happened since the last call."""
        if self._busy or 0 <= self.ledger.clock() - self._failed_at < PAUSE_S:  # the clock may be set back
            return
        listed = {inbox: route for inbox, route in routes.items() if route.settings.manifest_kind}
        cursor = self.ledger.get_meta(CURSOR)
        if not listed:
            if cursor is not None:
                self.ledger.set_meta(CURSOR, None)
            return
        last = Events(self.ledger).last()
        if cursor is None:
            self.ledger.set_meta(CURSOR, last)  # a list that begins now does not speak of the past
            return
        if cursor == last:
            return
        events = Events(self.ledger).since(cursor)
        lines = [
            (listed[event.inbox], self._line(event))
            for event in events
            if event.kind is EventKind.FAILED and event.reason and event.inbox in listed
        ]
        self._busy = True
        Story(self._write(lines, events[-1].id if events else last))

    async def _write(self, lines: list[tuple[Route, bytes]], upto: int) -> None:
        try:
            for route, text in lines:
                await run(route.calls, _write, route, text)
        except OSError:
            self._failed_at = self.ledger.clock()
            return
        finally:
            self._busy = False
        self.ledger.set_meta(CURSOR, upto)

    def _line(self, event: Event) -> bytes:
        row = Intake(self.ledger).get(event.photo)
        return manifest.failure(
            "" if row is None else source_of(row),
            "" if row is None else row.digest or "",
            at=event.at,
            event=event.id,
            reason=event.reason,
            detail=event.detail,
        )


def _write(route: Route, text: bytes) -> None:
    """On the I/O thread. Raises OSError."""
    path = Path(os.fsdecode(route.outbox)) / manifest.NAMES[route.settings.manifest_kind or "jsonl"]
    manifest.record(path, [text], route.fs, route.mode)
