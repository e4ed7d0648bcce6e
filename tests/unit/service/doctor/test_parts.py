"""What the doctor says of cutoutd's own parts."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.unit.service.doctor.conftest import levels, settings

from cutoutd.config import places
from cutoutd.config.errors import ExitCode, ModelError
from cutoutd.daemon.lock import StateLock
from cutoutd.daemon.workers import refused_calls
from cutoutd.daemon.workers.refused_calls import Start
from cutoutd.models.decoding import formats
from cutoutd.models.networks.accelerators import NEEDS, Needs
from cutoutd.service.doctor import parts
from cutoutd.service.managers import choice
from cutoutd.service.managers.manager import ServiceState

pytestmark = pytest.mark.slow


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
        _, daemon, ledger = parts.check_state()
        assert f"process {os.getpid()}" in daemon.what
        assert (ledger.level, ledger.fix) == (
            "warning",
            "The daemon writes it within seconds; look again then.",
        )
        (state / "ledger.sqlite").touch()
        assert levels(list(parts.check_state())) == ["ok", "ok"]
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


def test_every_format_that_is_read_is_spoken_of() -> None:
    said = " ".join(finding.what for finding in parts.check_decoders())
    assert [kind for kind in formats.PHOTO_FORMATS if kind not in said] == []


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
    monkeypatch.setattr(refused_calls, "started", lambda *_arguments: start)
    (found,) = parts.check_worker(settings(folders))
    assert (found.level, bool(found.fix)) == (level, level == "error")
    assert words in found.what


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
