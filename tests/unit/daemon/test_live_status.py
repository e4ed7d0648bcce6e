"""The status comes back as it was told, also from a daemon of another version."""

from __future__ import annotations

import json

from cutoutd.daemon.live_status import (
    Counts,
    DaemonState,
    HandStatus,
    InboxStatus,
    LiveStatus,
    ModelStatus,
    SandboxFacts,
    SandboxStatus,
)

WHOLE = LiveStatus(
    state=DaemonState.WORKING,
    why="on battery",
    pid=7,
    since=1.5,
    counts=Counts(pending=1, running=2, delivering=3, done=4, failed=5, skipped=6),
    in_hand=(HandStatus(photo=9, name="a.jpg", inbox="in", stage="waiting to settle"),),
    inboxes=(InboxStatus(path="/in", outbox="/out", trouble="away"),),
    models={"m": ModelStatus(provider="cpu", why_not=("cuda: not there",))},
    workers=2,
    sandbox=SandboxStatus(worker=SandboxFacts(network="refused", files="confined")),
)


def test_it_comes_back_as_it_was_told() -> None:
    assert LiveStatus.from_json(WHOLE.to_json()) == WHOLE


def test_what_scripts_read_keeps_its_words() -> None:
    facts = json.loads(WHOLE.to_json())
    assert (facts["state"], facts["in_hand"][0]["stage"]) == ("working", "waiting to settle")
    assert list(facts["counts"]) == ["pending", "running", "delivering", "done", "failed", "skipped"]
    assert facts["models"] == {"m": {"provider": "cpu", "why_not": ["cuda: not there"]}}
    assert facts["sandbox"]["daemon"] is None


def test_a_daemon_of_another_version_may_say_less_or_more() -> None:
    old = {"state": "idle", "moon": "full", "inboxes": [{"path": "/in", "outbox": "/out", "colour": 1}]}
    read = LiveStatus.from_json(json.dumps(old))
    assert read is not None
    assert (read.state, read.counts, read.inboxes[0].no_events) == (DaemonState.IDLE, Counts(), "")


def test_what_nobody_understands_is_no_status() -> None:
    assert LiveStatus.from_json('{"state": "dancing"}') is None
    assert LiveStatus.from_json("half a li") is None


def test_what_is_owed_and_in_hand() -> None:
    assert (WHOLE.counts.in_hand, WHOLE.counts.owed) == (5, 6)
