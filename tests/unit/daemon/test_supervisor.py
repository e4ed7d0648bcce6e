"""The loop: what a mistake of ours costs, and how the daemon ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from typing import cast

import pytest
from tests.support.simulation import Simulation

from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.live_status import DaemonState, LiveStatus
from cutoutd.daemon.mailbox import Signal
from cutoutd.daemon.status import STATUS_AT_LEAST_S
from cutoutd.daemon.supervisor import MESSAGES_PER_TURN


def test_a_mistake_that_is_about_no_photo_is_told_counted_and_goes_on(
    sim: Callable[..., Simulation], caplog: pytest.LogCaptureFixture
) -> None:
    one = sim().boot()

    def mistake(_value: object, _error: object) -> None:
        raise ZeroDivisionError("an answer nobody expects")

    for _ in range(2):
        one.daemon.post(Done(mistake, None, None))
    one.daemon.post(cast("Signal", "no message at all"))
    one.put("a.jpg", b"frame")
    one.finish()
    assert one.states() == {"a.jpg": "done"}
    assert [text.partition(" (")[2][:17] for text in one.heard.warnings] == [
        "ZeroDivisionError",
        "TypeError: unknow",
    ]
    assert one.daemon.mistakes.count == 3
    assert "3 mistakes, most recently (TypeError: unknown message" in one.daemon.status().mistake
    assert caplog.records[0].exc_info is not None


def test_what_is_committed_is_acted_on_before_work_is_given_out_however_many_messages_wait(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its draft's commit a final is owed; taken up before the draft is let go, it would be in nobody's hand."""
    one = sim()
    one.inbox_table["after"] = {"action": "archive", "archive": one.archive}
    one.boot().run(20)
    for inbox_watcher in one.parts.inbox_watchers.values():
        inbox_watcher.arrivals.make(Stage.DRAFT)
    vars(one.parts.publisher)["_routes"][os.fsencode(one.inbox)].final_stage = True
    turn, unheard = one.daemon.turn, [0]

    def heard(_value: object, _error: object) -> None:
        unheard[0] -= 1

    def busy(planned: float) -> float:
        while unheard[0] <= 2 * MESSAGES_PER_TURN:
            unheard[0] += 1
            one.daemon.post(Done(heard, None, None))
        return turn(planned)

    one.put("a.jpg", b"frame")
    with monkeypatch.context() as patch:
        patch.setattr(one.daemon, "turn", busy)
        one.until(lambda: [row["stage"] for row in one.rows()] == ["final"])
    one.finish(400)
    assert [(row["state"], row["stage"], row["aftercare"]) for row in one.rows()] == [
        ("done", "final", "done")
    ]


@pytest.mark.slow
def test_once_it_is_ready_whoever_asks_is_told_so(sim: Callable[..., Simulation]) -> None:
    one = sim().boot()
    one.until(lambda: one.daemon.was_ready)
    told = one.parts.control.published()
    assert told is not None
    assert (told.state, told.inboxes[0].watching) == (DaemonState.IDLE, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("takes_s", "every_s"), [(0.0, 1.0), (0.01, 1.0), (0.2, 4.0), (60.0, STATUS_AT_LEAST_S)]
)
def test_looking_at_all_rows_for_the_status_takes_a_small_share_of_the_time(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch, takes_s: float, every_s: float
) -> None:
    one = sim().boot().run(8)  # it has told that it is ready
    asked = one.daemon.status
    looks: list[float] = []

    def slow() -> LiveStatus:
        looks.append(one.now)
        one.now += takes_s
        return asked()

    monkeypatch.setattr(one.daemon, "status", slow)
    while len(looks) < 5:
        one.put(f"{one.now}.jpg", b"frame")  # something to tell, each time
        one.turn()
    waits = [later - earlier - takes_s for earlier, later in pairwise(looks)]
    assert min(waits) >= every_s - 0.001
    assert max(waits) <= every_s + 0.251  # a turn later
