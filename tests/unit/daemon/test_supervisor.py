"""The loop: what a mistake of ours costs, and how the daemon ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.simulation import Simulation

from cutoutd.daemon.files.iothread import Done


def test_a_mistake_that_is_about_no_photo_is_told_counted_and_goes_on(
    sim: Callable[..., Simulation], caplog: pytest.LogCaptureFixture
) -> None:
    one = sim().boot()

    def mistake(_value: object, _error: object) -> None:
        raise ZeroDivisionError("an answer nobody expects")

    for _ in range(2):
        one.daemon.post(Done(mistake, None, None))
    one.daemon.post("no message at all")
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
