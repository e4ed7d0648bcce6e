"""Each finding of the doctor, on real folders; what it cannot see is reported, never passed over."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cutoutd.config import places
from cutoutd.config.errors import ExitCode, ModelError
from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings
from cutoutd.daemon.lock import StateLock
from cutoutd.daemon.watching.limits import NoEvents
from cutoutd.daemon.workers import refusals
from cutoutd.daemon.workers.refusals import Start
from cutoutd.models.networks.accelerators import NEEDS, Needs
from cutoutd.service.cli.doctor import doctor as command
from cutoutd.service.doctor import doctor, parts
from cutoutd.service.doctor.doctor import exit_code
from cutoutd.service.doctor.findings import Finding
from cutoutd.service.managers import choice
from cutoutd.service.managers.manager import ServiceState

pytestmark = pytest.mark.slow


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path


def settings(folder: Path, extra: str = "") -> Settings:
    return parse_settings(f'[[inbox]]\npath = "{folder}/in"\noutbox = "{folder}/out"\n{extra}')


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def test_one_screen(folders: Path) -> None:
    config = folders / "c.toml"
    config.write_text(f'[[inbox]]\npath = "{folders}/in"\noutbox = "{folders}/out"\n')
    result = CliRunner().invoke(command, ["-c", str(config)])
    assert result.exit_code == 0, result.output
    for area in (
        "config",
        "folders",
        "events",
        "disk space",
        "ledger",
        "decoders",
        "models",
        "engine",
        "sandbox",
    ):
        assert area in result.output
    assert len(result.output.splitlines()) < 40
    found = json.loads(CliRunner().invoke(command, ["-c", str(config), "--json"]).output)
    assert {"area", "level", "what", "fix", "code"} == set(found[0])
    assert all(finding["fix"] for finding in found if finding["level"] in {"warning", "error"})


def test_a_broken_config_is_shown_with_its_lines_and_the_rest_goes_on(folders: Path) -> None:
    config = folders / "c.toml"
    config.write_text('[[inbox]]\npath = "/x"\nsettel = 1\n')
    result = CliRunner().invoke(command, ["-c", str(config)])
    assert result.exit_code == ExitCode.CONFIG
    assert f"{config}:3: inbox[1].settel" in result.output
    assert "decoders" in result.output


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


def test_the_ledgers_folder(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = places.state_dir()
    assert levels(list(parts.check_state())) == ["ok"]
    state.mkdir(mode=0o755)
    state.chmod(0o755)
    assert "chmod 700" in next(parts.check_state()).fix
    state.chmod(0o700)
    assert levels(list(parts.check_state())) == ["ok", "note"]
    lock = StateLock(state)
    try:
        assert f"process {os.getpid()}" in list(parts.check_state())[1].what
    finally:
        lock.release()
    monkeypatch.setattr("cutoutd.daemon.files.mounts.filesystem_kind", lambda _path: "nfs4")
    share = next(parts.check_state())
    assert (share.level, share.code) == ("error", ExitCode.LEDGER)


def test_missing_decoders_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_installed", lambda _module: False)
    found = {finding.what: finding for finding in parts.check_decoders()}
    assert found["HEIC photos cannot be opened"].fix.endswith("-m pip install pi-heif")
    assert found["RAW photos cannot be opened"].level == "note"


def test_a_damaged_model_is_an_error(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_spec: object) -> bytes:
        raise ModelError("the file was damaged", fix="Install cutoutd again.")

    assert levels(list(parts.check_models(settings(folders)))) == ["ok"]
    monkeypatch.setattr("cutoutd.models.networks.providers.read_verified", damaged)
    (found,) = parts.check_models(settings(folders))
    assert (found.level, found.code, found.fix) == ("error", ExitCode.MODEL, "Install cutoutd again.")
    (unknown,) = parts.check_models(settings(folders, 'model = "u2nett"'))
    assert unknown.level == "error"


def test_a_provider_that_cannot_be_had_is_an_error(folders: Path) -> None:
    (found,) = parts.check_providers(settings(folders))
    assert found.level == "ok"
    assert found.what.startswith("runs on cpu (ONNX Runtime ")
    assert re.search(r"; not on cuda, .*: this ONNX Runtime .* was built without it", found.what)
    (found,) = parts.check_providers(settings(folders, '[engine]\nproviders = ["rocm"]'))
    assert (found.level, found.code) == ("error", ExitCode.ENGINE)
    assert found.fix


@pytest.mark.parametrize(
    ("answer", "levels_"),
    [
        (
            {"refused": True, "confined": True, "tried": {"ipv4": "EPERM"}, "read": "Permission denied"},
            ["ok", "ok"],
        ),
        ({"refused": True, "confined": True, "tried": {"ipv4": "open"}, "read": "open"}, ["warning", "note"]),
        (
            {"refused": False, "confined": False, "tried": {"ipv4": "open"}, "read": "open"},
            ["warning", "note"],
        ),
        ("it crashed", ["error"]),
    ],
)
def test_the_sandboxs_answers(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, object] | str, levels_: list[str]
) -> None:
    whole = {"network": "n", "files": "f", **answer} if isinstance(answer, dict) else answer
    monkeypatch.setattr(parts, "_sandbox_answers", lambda _machine: whole)
    assert levels(list(parts.check_sandbox())) == levels_


def test_what_is_opened_for_an_accelerator_is_said(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NEEDS, "cuda", Needs(devices=("/dev/full",)))
    cuda = settings(folders, '[engine]\nproviders = ["cuda", "cpu"]')
    files = [found.what for found in parts.check_sandbox(cuda) if "files:" in found.what]
    if "confined by the kernel" not in files[0]:
        pytest.skip(f"this system does not confine files: {files[0]}")
    assert "open for the accelerator: /dev/full" in files[0]
    left_alone = settings(folders, '[engine]\nsandbox = "network"')
    (found,) = (found for found in parts.check_sandbox(left_alone) if "files:" in found.what)
    assert (found.level, found.what, found.fix) == (
        "note", 'files: not confined (engine.sandbox is "network")', ""
    )  # fmt: skip
    off = next(iter(parts.check_sandbox(settings(folders, "[engine]\nsandbox = false"))))
    assert (off.level, off.what) == ("warning", "engine.sandbox is off in the configuration")


@pytest.mark.parametrize(
    ("start", "level", "words"),
    [
        (Start("", {}), "ok", "a worker starts in it"),
        (
            Start("no card", {"flock": 2, "mbind": 1}),
            "error",
            "no card; refused system calls: flock (2 times), mbind",
        ),
    ],
)
def test_a_worker_that_cannot_start_has_its_refused_calls_named(
    folders: Path, monkeypatch: pytest.MonkeyPatch, start: Start, level: str, words: str
) -> None:
    monkeypatch.setattr(refusals, "started", lambda *_arguments: start)
    (found,) = parts.check_worker(settings(folders))
    assert (found.level, bool(found.fix)) == (level, level == "error")
    assert words in found.what


def test_a_folder_that_cannot_be_made_is_said_before_the_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = list(doctor.check_folders(settings(tmp_path / "not" / "yet")))
    assert levels(found) == ["error", "error"]
    assert f"cannot be made: {tmp_path} may not be written to" in found[0].what


class Manager:
    name = "systemd user service"

    def __init__(self, state: ServiceState) -> None:
        self._state = state

    def state(self) -> ServiceState:
        return self._state


@pytest.mark.parametrize(
    ("state", "level", "fix"),
    [
        (ServiceState(True, True, True, "active (running)"), "ok", ""),
        (ServiceState(True, True, False, "failed (Result)"), "warning", "service logs"),
        (ServiceState(False, False, False, "inactive"), "note", "service install"),
    ],
)
def test_the_services_state(
    monkeypatch: pytest.MonkeyPatch, state: ServiceState, level: str, fix: str
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(choice, "systemd_runs", lambda: True)
    monkeypatch.setattr(choice, "manager_for", lambda _loaded, **_kwargs: Manager(state))
    first = next(parts.check_service())
    assert first.level == level
    assert fix in first.fix


def test_the_first_error_decides_the_exit_code() -> None:
    found = [Finding("a", "warning", "w", "f"), Finding("b", "error", "e", "f", ExitCode.MODEL)]
    assert exit_code(found) == ExitCode.MODEL
    assert exit_code(found[:1]) == ExitCode.OK
