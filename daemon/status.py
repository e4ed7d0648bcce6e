"""What a running daemon says of itself, gathered from its parts; the record is in `live_status.py`."""

from __future__ import annotations

import os
from collections.abc import Callable

from cutoutd.config.errors import printable
from cutoutd.config.version import VERSION
from cutoutd.daemon.components import Components
from cutoutd.daemon.live_status import (
    Counts,
    DaemonState,
    FleetStatus,
    HandStatus,
    InboxStatus,
    LiveStatus,
    ModelStatus,
    SandboxFacts,
    SandboxStatus,
)
from cutoutd.daemon.plan import InboxPlan
from cutoutd.daemon.sandbox.guard import SandboxState
from cutoutd.daemon.watching.inbox import InboxWatcher

# The live status is written at most this often, and takes at most this share of the loop's time: it counts all rows …
STATUS_EVERY_S = 1.0
STATUS_SHARE = 0.05
# … but no single long look, as on a disk that rests, keeps it from being written for longer than this.
STATUS_AT_LEAST_S = 10.0


class Changes:
    """Looks for changes of the status now and then.

    Attributes:
        due: monotonic time of the next look.
        unseen: whether something may have changed since the last one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.due = float("-inf")
        self.unseen = False
        self._clock = clock
        self._last: LiveStatus | None = None

    def at_once(self) -> None:
        """The next look is the very next: what was just told aloud holds for whoever asks now."""
        self.due = float("-inf")

    def look(self, now: float, asked: Callable[[], LiveStatus]) -> LiveStatus | None:
        """The status, where it is time to look and it has changed."""
        self.unseen = now < self.due
        if self.unseen:
            return None
        begun = self._clock()
        status = asked()
        ended = self._clock()
        pause_s = min((ended - begun) / STATUS_SHARE, STATUS_AT_LEAST_S)
        self.due = ended + max(STATUS_EVERY_S, pause_s)
        if status == self._last:
            return None
        self._last = status
        return status


def live_status(
    daemon: Components,
    *,
    sandbox: SandboxState | None,
    since: float,
    stopping: bool,
    yielding: str,
    mistake: str = "",
    config_refused: str = "",
) -> LiveStatus:
    """State, photos in hand, inboxes and what is in force; counts of rows come from the ledger itself."""
    counts = daemon.control.counts()
    named = daemon.plan.settings.history.filenames
    worker = daemon.worker_manager.sandbox
    inboxes = tuple(
        _inbox(daemon, one, inbox_watcher)
        for one in daemon.plan.inboxes
        if (inbox_watcher := daemon.inbox_watchers.get(one.key)) is not None
    )
    why = _why(daemon, yielding, held=bool(counts["pending"]) and _some_are_held(daemon))
    return LiveStatus(
        version=VERSION,
        state=_state(daemon, stopping=stopping, waiting=bool(why)),
        why=why,
        self_test=daemon.dispatcher.self_test.trouble,
        mistake=mistake,
        config_refused=config_refused,
        pid=os.getpid(),
        since=since,
        counts=Counts(**counts),
        in_hand=tuple(
            HandStatus(
                photo=hand.row.id,
                # The status is a row of the ledger too.
                name=daemon.dispatcher.event(hand.row).name if named else f"photo {hand.row.id}",
                inbox=hand.plan.settings.label,
                stage="waiting to settle" if hand.finished is not None else "working",
                node=hand.node,
            )
            for hand in daemon.dispatcher.in_hand.values()
        ),
        inboxes=inboxes,
        models={
            name: ModelStatus(provider=one.provider, why_not=one.why_not)
            for name, one in daemon.worker_manager.models.items()
        },
        workers=daemon.plan.pool_size.size,
        sandbox=SandboxStatus(daemon=_facts(sandbox), worker=_facts(worker)),
        fleet=_fleet(daemon),
    )


def _fleet(daemon: Components) -> FleetStatus | None:
    fleet, asked = daemon.worker_manager.fleet, daemon.plan.settings.fleet
    if fleet is None:
        return None
    return FleetStatus(
        scheduler=asked.scheduler,
        trouble=fleet.linked(),
        local=bool(asked.local),
        proofs={name: one.proof for name, one in daemon.worker_manager.models.items()},
        version=VERSION,
        models={spec.name: spec.sha256 for spec in daemon.plan.engines.specs},
        nodes=fleet.nodes(),
    )


def _inbox(daemon: Components, one: InboxPlan, inbox_watcher: InboxWatcher) -> InboxStatus:
    return InboxStatus(
        path=printable(one.key),
        outbox=printable(os.fsencode(one.settings.outbox)),
        model=one.final.name,
        draft_model=one.draft.name if one.draft is not None else None,
        watching=inbox_watcher.watching,
        polled=inbox_watcher.polled,
        being_written=inbox_watcher.arrivals.held(),
        no_events=inbox_watcher.no_events,
        trouble=_trouble(daemon, one, inbox_watcher),
    )


def _trouble(daemon: Components, one: InboxPlan, inbox_watcher: InboxWatcher) -> str:
    """What is wrong with an inbox or its outbox, or ""."""
    return inbox_watcher.trouble or daemon.dispatcher.outbox_refusals.trouble_of(one.key)


def _some_are_held(daemon: Components) -> bool:
    """Whether photos wait in an inbox with which, or with whose outbox, something is wrong."""
    return any(
        _trouble(daemon, one, inbox_watcher) and daemon.control.waits(one.key)
        for one in daemon.plan.inboxes
        if (inbox_watcher := daemon.inbox_watchers.get(one.key)) is not None
    )


def _facts(sandbox: SandboxState | None) -> SandboxFacts | None:
    return None if sandbox is None else SandboxFacts(**sandbox.as_dict())


def _state(daemon: Components, *, stopping: bool, waiting: bool) -> DaemonState:
    if stopping:
        return DaemonState.STOPPING
    if not daemon.worker_manager.ready:
        return DaemonState.STARTING
    if daemon.commands.paused:
        return DaemonState.PAUSED
    if waiting:
        return DaemonState.WAITING
    return DaemonState.WORKING if daemon.dispatcher.in_hand else DaemonState.IDLE


def _why(daemon: Components, yielding: str, *, held: bool) -> str:
    """Why photos wait; `held` where some do and a folder is in trouble."""
    if daemon.commands.paused:
        return "paused by command; `cutoutd resume` goes on"
    if trouble := daemon.dispatcher.self_test.trouble or yielding:
        return trouble
    if held and not daemon.dispatcher.in_hand:
        return "photos wait for a folder; they go on by themselves"
    return ""
