"""The status in one line, and where lines end."""

from __future__ import annotations

from typing import Any

import pytest
from rich.table import Table

from cutoutd.daemon.live_status import LiveStatus
from cutoutd.service.text import folded, screen, status_line


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


def test_a_table_in_a_pipe_has_no_blanks_at_the_ends_of_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("a.jpg", "one")
    table.add_row("b.jpg", "one and more")
    screen().print(table)
    assert capsys.readouterr().out == "a.jpg  one\nb.jpg  one and more\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("It fits within thirty columns.", ["It fits within thirty columns."]),
        ("No word is broken in two where one ends the line.", ["No word is broken in two where", "one ends the line."]),
        ("  What begins further in goes on there, too.", ["  What begins further in goes", "  on there, too."]),
        ("✗ DSC_1.jpg: unreadable. Copy it again.", ["✗ DSC_1.jpg: unreadable. Copy", "  it again."]),
        ("✓ 20:04  a.jpg → a.png (worth a look)", ["✓ 20:04  a.jpg → a.png (worth", "         a look)"]),
        ("Copied whole it is: `cutoutd retry --all`.", ["Copied whole it is:", "`cutoutd retry --all`."]),
        ("At /a/folder/that/is/longer/than/a/line: none.", ["At /a/folder/that/is/longer/than/a/line: none."]),
        ("In front of it: /my photos/a.jpg: it is empty.", ["In front of it:", "/my photos/a.jpg: it is empty."]),
        ("A lone ` is no command, and ends no line at all.", ["A lone ` is no command, and", "ends no line at all."]),
    ],
)  # fmt: skip
def test_lines_end_between_words(text: str, lines: list[str]) -> None:
    assert folded(text, 30, whole=["/my photos/a.jpg"]).split("\n") == lines


def test_what_hangs_too_far_in_leaves_room_for_words() -> None:
    assert folded("Longer than others  and words that follow", 24).split("\n") == [
        "Longer than others  and",
        "  words that follow",
    ]
