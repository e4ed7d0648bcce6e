"""What people see of the running daemon on a terminal."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from rich.console import Console
from tests.support.conditions import wait_until
from tests.support.live_samples import DONE, FAILED, STATUS

from cutoutd.daemon.events import PhotoEvent
from cutoutd.daemon.live_status import (
    Counts,
    DaemonState,
    HandStatus,
    InboxStatus,
    LiveStatus,
)
from cutoutd.service.listeners.lines import outcome_text
from cutoutd.service.listeners.terminal import Pace, TerminalListener, duration


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
        listener.status(STATUS)
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


def event(name: str = "a.jpg", photo: int = 1, **facts: Any) -> PhotoEvent:
    return PhotoEvent(photo=photo, inbox="Session", name=name, **facts)


def status(
    pending: int = 0, running: int = 0, in_hand: tuple[int, ...] = (1,), inboxes: int = 1
) -> LiveStatus:
    return LiveStatus(
        state=DaemonState.WORKING,
        counts=Counts(pending=pending, running=running),
        inboxes=(InboxStatus(path="/in", outbox="/out"),) * inboxes,
        workers=1,
        in_hand=tuple(HandStatus(photo=photo) for photo in in_hand),
    )


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A live view on a terminal of text."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.there = True
        self.console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
        self.view = TerminalListener(self.console, lambda: not self.there, self.clock)

    def drawn(self) -> str:
        paper = Console(file=io.StringIO(), width=100)
        paper.print(self.view._view())  # pyright: ignore[reportPrivateUsage]
        assert isinstance(paper.file, io.StringIO)
        return paper.file.getvalue()

    def written(self) -> str:
        assert isinstance(self.console.file, io.StringIO)
        return self.console.file.getvalue()


@pytest.fixture
def sheet() -> Any:
    one = Screen()
    yield one
    one.view.stop()


@pytest.mark.slow
def test_elapsed_time_runs_while_a_photo_is_in_hand(sheet: Screen) -> None:
    sheet.view.ready(status())
    sheet.view.photo_started(event("web/[b]x[/].jpg"))
    sheet.clock.now += 2.5
    wait_until(lambda: "2.5 s" in sheet.written(), "the clock to run without an event")
    assert "web/[b]x[/].jpg 2.5 s" in sheet.drawn()


def test_draft_and_final_are_told_apart_and_latency_stands_beside_the_work(sheet: Screen) -> None:
    done = event(
        "web/a.jpg",
        stage="draft",
        seconds=0.9,
        latency_s=1.64,
        outbox="/out",
        outputs=("/out/web/a.png", "/elsewhere/b.png"),
    )
    text = "web/a.jpg → web/a.png, b.png (draft) in 0.9 s (1.6 s after it arrived)"
    assert outcome_text(done) == text
    assert outcome_text(event(seconds=0.9, outputs=("/out/a.png",))) == "a.jpg → a.png in 0.9 s"
    sheet.view.photo_started(event(stage="final"))
    assert "a.jpg (final)" in sheet.drawn()
    sheet.view.photo_done(done)
    assert f"✓ {text}" in sheet.drawn()


def test_a_failure_is_not_pushed_out_by_what_comes_after_it(sheet: Screen) -> None:
    """Of a night's failures the six last lines of the view were left, and nothing when it ended."""
    sheet.view.ready(status())
    sheet.view.photo_failed(event("bad.jpg", reason="unreadable", detail="It is a film."))
    for number in range(20):
        sheet.view.photo_done(event(f"{number}.jpg", photo=number))
    sheet.view.stop()
    assert sheet.written().count("✗ bad.jpg: unreadable. It is a film.") == 1
    assert "bad.jpg" not in sheet.drawn()


def test_several_inboxes_are_named(sheet: Screen) -> None:
    sheet.view.status(status(inboxes=2))
    sheet.view.photo_started(event())
    assert "Session: a.jpg" in sheet.drawn()


def test_a_burst_says_how_long_it_will_take(sheet: Screen) -> None:
    sheet.view.status(status(pending=9, running=1))
    for _ in range(3):
        sheet.clock.now += 2
        sheet.view.photo_done(event())
    assert "about 20 s left" in sheet.drawn()
    sheet.view.status(status())
    sheet.view.status(status(pending=5))
    assert "left" not in sheet.drawn()  # the next burst has a pace of its own


def test_without_a_terminal_it_is_a_log(sheet: Screen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cutoutd")
    sheet.there = False
    sheet.view.photo_started(event())
    sheet.view.photo_done(event(outputs=("/out/a.png",), outbox="/out"))
    sheet.view.warning("The outbox is full")
    assert [record.message for record in caplog.records] == ["a.jpg → a.png in 0.0 s", "The outbox is full"]


def test_pace() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.ended()
    assert pace.left_s(5) is None
    clock.now += 3
    pace.ended()
    assert pace.left_s(5) == pytest.approx(15)
    clock.now += 1
    assert pace.left_s(5) == pytest.approx(14)
    assert pace.left_s(0) is None


def test_durations() -> None:
    assert [duration(s) for s in (0.2, 12, 89, 170, 7800)] == ["1 s", "12 s", "89 s", "3 min", "2 h 10 min"]
