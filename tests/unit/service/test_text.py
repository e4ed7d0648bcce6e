"""The status in one line."""

from __future__ import annotations

from typing import Any

import pytest

from cutoutd.service.text import counts_of, status_line


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({}, "Waiting for photos"),
        ({"counts": {"pending": 0, "done": 0}}, "Waiting for photos"),
        ({"counts": {"running": 1, "pending": 14, "done": 31}}, "1 in hand, 14 waiting, 31 done"),
        ({"counts": {"done": 2}, "why": "on battery"}, "2 done; on battery"),
        (
            {"inboxes": [{"trouble": "not mounted"}, {"trouble": ""}]},
            "Waiting for photos; 1 of 2 inboxes in trouble",
        ),
        ({"state": "stopped", "counts": None}, "Waiting for photos"),
    ],
)  # fmt: skip
def test_status_line(status: dict[str, Any], line: str) -> None:
    assert status_line(status) == line


def test_counts_ignore_what_is_no_count() -> None:
    assert counts_of({"counts": {"done": 3, "pending": "many", "other": 4}}) == {"done": 3}
