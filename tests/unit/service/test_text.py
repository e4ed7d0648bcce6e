"""The status in one line."""

from __future__ import annotations

from typing import Any

import pytest

from cutoutd.daemon.live_status import LiveStatus
from cutoutd.service.text import status_line


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({}, "Waiting for photos"),
        ({"counts": {"pending": 0, "done": 0}}, "Waiting for photos"),
        ({"counts": {"running": 1, "pending": 14, "done": 31}}, "1 in hand, 14 waiting, 31 done"),
        ({"counts": {"delivering": 2, "done": 2}, "why": "on battery"}, "2 in hand, 2 done; on battery"),
        (
            {"inboxes": [{"path": "/a", "outbox": "/b", "trouble": "not mounted"}, {"path": "/c", "outbox": "/d"}]},
            "Waiting for photos; 1 of 2 inboxes in trouble",
        ),
    ],
)  # fmt: skip
def test_status_line(status: dict[str, Any], line: str) -> None:
    assert status_line(LiveStatus.from_plain({"state": "idle", **status})) == line
