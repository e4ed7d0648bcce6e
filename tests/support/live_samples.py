"""What a daemon is doing, and two photos that ended, for tests of whoever tells it."""

from __future__ import annotations

from cutoutd.daemon.events import PhotoEvent
from cutoutd.daemon.live_status import (
    Counts,
    DaemonState,
    InboxStatus,
    LiveStatus,
    ModelStatus,
    SandboxFacts,
    SandboxStatus,
)

STATUS = LiveStatus(
    state=DaemonState.IDLE,
    inboxes=(
        InboxStatus(path="/in", outbox="/out"),
        InboxStatus(path="/share", outbox="/out2", trouble="the folder is missing"),
    ),
    models={"cutout-m": ModelStatus(provider="cpu")},
    workers=1,
    sandbox=SandboxStatus(worker=SandboxFacts(network="refused", files="confined")),
    counts=Counts(pending=2),
)
DONE = PhotoEvent(1, "/in", "a.jpg", outputs=("/out/a.png", "/out/sub/a-white.jpg"), seconds=1.234)
FAILED = PhotoEvent(2, "/in", "b.jpg", reason="unreadable", detail="It is cut off.")
