"""Each finding of the doctor, on real folders; what it cannot see is reported, never passed over."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.service.doctor.conftest import levels, settings

from cutoutd.config.errors import ExitCode
from cutoutd.daemon.watching.limits import NoEvents
from cutoutd.service.doctor import doctor
from cutoutd.service.doctor.doctor import exit_code
from cutoutd.service.doctor.findings import Finding

pytestmark = pytest.mark.slow


def test_missing_and_closed_folders(folders: Path) -> None:
    (folders / "out").rmdir()
    (later,) = doctor.check_folders(settings(folders))
    assert (later.level, later.what) == ("note", f"the outbox {folders}/out is made at the first start")
    (folders / "state").mkdir()
    (folders / "state/ledger.sqlite").touch()
    (missing,) = doctor.check_folders(settings(folders))
    assert (missing.level, missing.code) == ("error", ExitCode.FOLDER)
    assert "does not exist" in missing.what
    assert "cutoutd init" in missing.fix


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everywhere")
def test_folders_without_permission(folders: Path) -> None:
    (folders / "out").chmod(0o500)
    (folders / "in").chmod(0o000)
    try:
        found = list(doctor.check_folders(settings(folders)))
    finally:
        (folders / "in").chmod(0o700)
    assert levels(found) == ["error", "error"]
    assert all(finding.fix.startswith("Give yourself") or "chmod" in finding.fix for finding in found)


@pytest.mark.parametrize(
    ("free", "level"), [(50 * 10**9, "ok"), (500 * 10**6, "warning"), (10 * 10**6, "error")]
)
def test_disk_space(folders: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    real = os.statvfs(folders)
    fields = list(real)
    fields[4] = free // real.f_frsize  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(fields))
    found = list(doctor.check_space(settings(folders)))
    assert levels(found) == [level]  # outbox and state share a disk: said once
    assert bool(found[0].fix) == (level != "ok")


@pytest.mark.parametrize(
    ("watches", "instances", "count", "level"),
    [
        (8192, 128, 100, "ok"),
        (8192, 128, 5000, "warning"),
        (8192, 128, 9000, "error"),
        (8192, 4, 10, "warning"),
    ],
)
def test_inotify_limits(tmp_path: Path, watches: int, instances: int, count: int, level: str) -> None:
    (tmp_path / "max_user_watches").write_text(f"{watches}\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    (found,) = doctor.inotify_limits(count, tmp_path)
    assert found.level == level
    assert ("sysctl" in found.fix) == (level != "ok")


def test_without_inotify_there_is_no_limit(tmp_path: Path) -> None:
    assert list(doctor.inotify_limits(10**6, tmp_path)) == []


def test_folders_are_counted(folders: Path) -> None:
    (folders / "in/a/b").mkdir(parents=True)
    (folders / "in/c").mkdir()
    assert doctor.count_folders(folders / "in") == 4
    assert doctor.count_folders(folders / "in", limit_s=-1) == 1


@pytest.mark.parametrize(
    ("events", "arrive", "level", "words"),
    [
        ("auto", True, "ok", "events arrive"),
        ("auto", False, "note", "It is looked through every 5 s"),
        ("native", False, "warning", 'although events = "native"'),
        ("poll", False, "ok", "as configured"),
    ],
)
def test_events(
    folders: Path, monkeypatch: pytest.MonkeyPatch, events: str, arrive: bool, level: str, words: str
) -> None:
    no_events = None if arrive else NoEvents("It lies on a share.", "mount")
    monkeypatch.setattr("cutoutd.daemon.watching.probe.probe_events", lambda _root, _timeout: no_events)
    first = next(doctor.check_events(settings(folders, f'events = "{events}"')))
    assert first.level == level
    assert words in first.what


@pytest.mark.parametrize("events", ["auto", "native"])
def test_a_limit_on_watches_is_worth_a_warning(
    folders: Path, monkeypatch: pytest.MonkeyPatch, events: str
) -> None:
    limit = NoEvents("The limit is reached. Raise it.", "limit")
    monkeypatch.setattr("cutoutd.daemon.watching.probe.probe_events", lambda _root, _timeout: limit)
    first = next(doctor.check_events(settings(folders, f'events = "{events}"')))
    assert first.level == "warning"
    assert "Raise it. Until then it is looked through every 5 s." in first.what


def test_events_really_arrive_here(folders: Path) -> None:
    first = next(doctor.check_events(settings(folders)))
    assert first.level in {"ok", "note"}
    assert list((folders / "in").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_before_the_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = list(doctor.check_folders(settings(tmp_path / "not" / "yet")))
    assert levels(found) == ["error", "error"]
    assert f"cannot be made: {tmp_path} may not be written to" in found[0].what


def test_the_first_error_decides_the_exit_code() -> None:
    found = [Finding("a", "warning", "w", "f"), Finding("b", "error", "e", "f", ExitCode.MODEL)]
    assert exit_code(found) == ExitCode.MODEL
    assert exit_code(found[:1]) == ExitCode.OK
