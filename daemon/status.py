"""What a running daemon says about itself, as plain data for the ledger's status row and for listeners."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from cutoutd.config.errors import printable
from cutoutd.daemon.components import Components
from cutoutd.daemon.sandbox.guard import SandboxState


def live_status(
    daemon: Components,
    *,
    sandbox: SandboxState | None,
    since: float,
    stopping: bool,
    yielding: str,
    mistake: str = "",
) -> dict[str, Any]:
    """State, photos in hand, inboxes and what is in force; counts of rows come from the ledger itself."""
    counts = daemon.control.counts()
    named = daemon.plan.settings.history.filenames
    worker = daemon.worker_manager.sandbox
    return {
        "state": _state(daemon, stopping=stopping, yielding=yielding),
        "why": _why(daemon, yielding),
        "mistake": mistake,
        "pid": os.getpid(),
        "since": since,
        "counts": counts,
        "in_hand": [
            {
                "photo": hand.row.id,
                # The status is a row of the ledger too.
                "name": daemon.dispatcher.event(hand.row).name if named else f"photo {hand.row.id}",
                "inbox": hand.plan.settings.label,
                "stage": "waiting to settle" if hand.finished is not None else "working",
            }
            for hand in daemon.dispatcher.in_hand.values()
        ],
        "inboxes": [
            {
                "path": printable(one.key),
                "outbox": printable(os.fsencode(one.settings.outbox)),
                "model": one.final.name,
                "draft_model": one.draft.name if one.draft is not None else None,
                "watching": inbox_watcher.watching,
                "polled": inbox_watcher.polled,
                "being_written": inbox_watcher.arrivals.held(),
                "no_events": inbox_watcher.no_events,
                "trouble": inbox_watcher.trouble or daemon.dispatcher.paused.get(one.key, ""),
            }
            for one in daemon.plan.inboxes
            if (inbox_watcher := daemon.inbox_watchers.get(one.key)) is not None
        ],
        "models": {name: asdict(one) for name, one in daemon.worker_manager.models.items()},
        "workers": daemon.plan.pool_size.size,
        "sandbox": {
            "daemon": None if sandbox is None else sandbox.as_dict(),
            "worker": None if worker is None else worker.as_dict(),
        },
    }


def _state(daemon: Components, *, stopping: bool, yielding: str) -> str:
    if stopping:
        return "stopping"
    if not daemon.worker_manager.ready:
        return "starting"
    if daemon.commands.paused:
        return "paused"
    if daemon.dispatcher.self_test.ailing or yielding:
        return "waiting"
    return "working" if daemon.dispatcher.in_hand else "idle"


def _why(daemon: Components, yielding: str) -> str:
    if daemon.commands.paused:
        return "paused by command; `cutoutd resume` goes on"
    return daemon.dispatcher.self_test.ailing or yielding
