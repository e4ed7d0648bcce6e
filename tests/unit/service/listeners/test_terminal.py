"""What people read while the daemon runs: on a terminal, and as plain lines for a log."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from rich.console import Console

from cutoutd.daemon.events import PhotoEvent
from cutoutd.service.listeners.terminal import LogListener, TerminalListener, outcome_text, ready_lines

STATUS: dict[str, Any] = {
    "inboxes": [
        {"path": "/in", "outbox": "/out", "trouble": ""},
        {"path": "/share", "outbox": "/out2", "trouble": "the folder is missing"},
    ],
    "models": {"cutout-m": {"provider": "cpu"}},
    "workers": 1,
    "sandbox": {"worker": {"network": "refused", "files": "confined"}},
    "counts": {"pending": 2},
    "in_hand": [],
}
DONE = PhotoEvent(1, "/in", "a.jpg", outputs=("/out/a.png", "/out/sub/a-white.jpg"), seconds=1.234)
FAILED = PhotoEvent(2, "/in", "b.jpg", reason="unreadable", detail="It is cut off.")


def test_at_the_start_everything_needed_is_said_and_ready_comes_last() -> None:
    lines = ready_lines(STATUS)
    text = "\n".join(lines)
    assert lines[-1] == "ready"
    assert "Drop photos into   /in" in text
    assert "Cutouts appear in  /out" in text
    assert "waiting: the folder is missing" in text
    assert "cutout-m on cpu, 1 worker\n" in text
    assert "network: refused; files: confined" in text
    assert "Privacy" not in "\n".join(ready_lines({**STATUS, "sandbox": {"worker": None}}))


def test_a_result_is_one_line() -> None:
    assert outcome_text(FAILED) == "b.jpg: unreadable. It is cut off."
    assert outcome_text(DONE).startswith("a.jpg → a.png, a-white.jpg in 1.2 s")


def test_the_log_has_a_line_per_event_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    listener = LogListener()
    with caplog.at_level(logging.INFO, logger="cutoutd"):
        listener.starting("Loading the model")
        listener.photo_done(DONE)
        listener.photo_failed(FAILED)
        listener.photo_retry(FAILED)
        listener.notice("Something")
        listener.warning("Careful")
        listener.stopping()
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "INFO", "ERROR", "WARNING", "INFO", "WARNING", "INFO"]
    assert "a.jpg" in caplog.messages[1]
    assert "tried again" in caplog.messages[3]


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)


def text_of(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_the_live_view_shows_what_is_in_hand_and_forgets_it(screen: Console) -> None:
    listener = TerminalListener(screen)
    try:
        listener.ready(STATUS)
        listener.photo_started(PhotoEvent(1, "/in", "a.jpg"))
        listener.photo_started(PhotoEvent(2, "/in", "b.jpg"))
        listener.photo_done(DONE)
        listener.photo_failed(FAILED)
        listener.photo_retry(PhotoEvent(9, "/in", "never started.jpg", reason="busy"))
        listener.status({**STATUS, "in_hand": []})
    finally:
        listener.stop()
    shown = text_of(screen)
    assert "ready" in shown
    for words in ("a.jpg → a.png", "b.jpg: unreadable", "2 waiting"):
        assert words in shown


def test_a_name_is_never_taken_for_markup(screen: Console) -> None:
    listener = TerminalListener(screen)
    try:
        listener.ready(STATUS)
        listener.photo_started(PhotoEvent(1, "/in", "[red]x[/red].jpg"))
        listener.photo_done(PhotoEvent(1, "/in", "[bold]x[/bold].jpg", outputs=("/o/[i]x.png",)))
        listener.notice("[link]somewhere[/link]")
    finally:
        listener.stop()
    assert "[bold]x[/bold].jpg" in text_of(screen)
    assert "[link]somewhere[/link]" in text_of(screen)
