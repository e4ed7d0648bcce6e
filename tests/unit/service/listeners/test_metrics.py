"""The metrics file: right figures, whole at any moment, quiet when idle."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from cutoutd.daemon.events import PhotoEvent
from cutoutd.daemon.live_status import Counts, DaemonState, LiveStatus
from cutoutd.service.listeners.metrics import MetricsListener, replace_file

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?[\d.e+-]+$')


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def counted(**counts: int) -> LiveStatus:
    return LiveStatus(state=DaemonState.IDLE, counts=Counts(**counts))


def make(path: Path, clock: Clock) -> MetricsListener:
    return MetricsListener(path, 15, clock, lambda: 1_700_000_000.0)


def event(inbox: str = "studio", reason: str = "", seconds: float = 1.5) -> PhotoEvent:
    return PhotoEvent(1, inbox, "DSC_1.jpg", reason=reason, seconds=seconds, timings={"decode": 0.25})


def test_figures(tmp_path: Path) -> None:
    path, clock = tmp_path / "cutoutd.prom", Clock()
    metrics = make(path, clock)
    metrics.ready(counted(pending=2, done=40))
    metrics.photo_done(event())
    metrics.photo_done(event('a "b"\\'))
    metrics.photo_failed(event(reason="unreadable"))
    metrics.photo_retry(event())
    clock.now = 15
    metrics.healthy()
    text = path.read_text()
    for line in (
        "cutoutd_up 1",
        'cutoutd_photos{state="pending"} 2',
        'cutoutd_photos_done_total{inbox="studio"} 1',
        'cutoutd_photos_done_total{inbox="a \\"b\\"\\\\"} 1',
        'cutoutd_photos_failed_total{inbox="studio",reason="unreadable"} 1',
        'cutoutd_photo_retries_total{inbox="studio"} 1',
        'cutoutd_photo_seconds_total{inbox="studio"} 1.5',
        'cutoutd_stage_seconds_total{stage="decode"} 0.5',
        "cutoutd_last_done_time_seconds 1700000000.0",
    ):
        assert f"{line}\n" in text
    assert "DSC_1" not in text
    for line in text.splitlines():
        assert line.startswith(("# HELP cutoutd_", "# TYPE cutoutd_")) or SAMPLE.match(line), line
    metrics.stopping()
    assert "cutoutd_up 0\n" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["cutoutd.prom"]


def test_written_only_when_something_changed_and_not_too_often(tmp_path: Path) -> None:
    path, clock = tmp_path / "m.prom", Clock()
    metrics = make(path, clock)
    metrics.ready(counted(done=1))
    path.unlink()
    clock.now = 100
    metrics.healthy()
    metrics.status(counted(done=1))
    assert not path.exists()
    metrics.photo_done(event())
    assert path.exists()
    path.unlink()
    clock.now = 114
    metrics.photo_done(event())
    assert not path.exists()
    clock.now = 115
    metrics.healthy()
    assert 'done_total{inbox="studio"} 2' in path.read_text()


def test_a_missing_folder_is_said_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    metrics = make(tmp_path / "gone/m.prom", clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clock.now += 20
            metrics.photo_done(event())
    assert len(caplog.records) == 1
    (tmp_path / "gone").mkdir()
    clock.now += 20
    metrics.healthy()
    assert 'done_total{inbox="studio"} 3' in (tmp_path / "gone/m.prom").read_text()


def test_replacing_keeps_the_old_file_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "m.prom"
    target.mkdir()
    with pytest.raises(OSError, match=r"directory|Is a"):
        replace_file(target, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.prom"]
