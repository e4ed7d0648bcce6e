"""Whether a folder's events arrive, tried in real folders."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from watchdog import events

from cutoutd.daemon.files.mounts import MountIdentity
from cutoutd.daemon.watching import probe
from cutoutd.daemon.watching.probe import probe_events
from cutoutd.daemon.watching.watcher import Watcher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are inotify's events")


def test_a_probe_sees_its_own_event_and_leaves_nothing(tmp_path: Path) -> None:
    assert probe_events(tmp_path, 5.0) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_probe_without_an_event_says_no_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(self: Watcher, event: events.FileSystemEvent) -> None:
        """A file system whose events never come."""

    monkeypatch.setattr(Watcher, "on_event", deaf)
    refused = probe_events(tmp_path, 0.2)
    assert refused is not None
    assert refused.code == "silent"
    assert "gave no file event within 0.2 s" in refused.why
    assert refused.may_pass
    assert list(tmp_path.iterdir()) == []


def test_shares_are_polled_without_a_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def share(path: Path) -> MountIdentity:
        return MountIdentity("//nas/photos", "cifs", str(path), "/", is_own_mount=True)

    monkeypatch.setattr(probe, "identify", share)
    before = tmp_path.stat().st_mtime_ns
    refused = probe_events(tmp_path, 5.0)
    assert refused is not None
    assert str(tmp_path) in refused.why
    assert "(cifs, Windows share of //nas/photos)" in refused.why
    assert not refused.may_pass
    assert refused.sentence(5).endswith(" It is looked through every 5 s.")
    assert tmp_path.stat().st_mtime_ns == before


def test_a_folder_that_takes_no_probe_is_judged_by_its_kind() -> None:
    assert probe_events(Path("/proc/self"), 0.2) is None  # no one may create a file there


def test_a_probe_that_a_killed_daemon_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".cutoutd-probe-0123456789abcdef"
    left.write_bytes(b"")
    (tmp_path / ".cutoutd-probe-holiday.jpg").write_bytes(b"theirs")
    probe_events(tmp_path, 0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".cutoutd-probe-holiday.jpg"]
