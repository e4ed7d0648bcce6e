"""Running the service manager's commands and finding our own program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cutoutd.config.errors import ServiceError
from cutoutd.service.managers import manager
from cutoutd.service.managers.manager import PlannedFile, Runner, entry_point, remove_file, write_file


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_program_that_was_started_is_the_one(tmp_path: Path) -> None:
    shim = executable(tmp_path / "bin/cutoutd")
    assert entry_point(str(shim)) == (str(shim),)


def test_a_shim_keeps_its_own_name(tmp_path: Path) -> None:
    real = executable(tmp_path / "venv/bin/cutoutd")
    shim = tmp_path / "bin/cutoutd"
    shim.parent.mkdir()
    shim.symlink_to(real)
    assert entry_point(str(shim)) == (str(shim),)  # an upgrade may move what it points to


def test_otherwise_the_one_beside_the_interpreter(tmp_path: Path) -> None:
    here = executable(tmp_path / "venv/bin/cutoutd")
    assert entry_point("/x/pytest", str(tmp_path / "venv/bin/python"), [tmp_path / "none"]) == (str(here),)
    assert entry_point("/x/pytest", "/x/python", [here.parent]) == (str(here),)


def test_without_any_program_the_module(tmp_path: Path) -> None:
    python = executable(tmp_path / "python")
    assert entry_point("/x/pytest", str(python), [tmp_path]) == (str(python), "-m", "cutoutd.service.main")


@pytest.mark.parametrize("place", [".cache/uv/archive-v0/abc/bin", "pipx/.cache/abc/bin"])
def test_a_temporary_installation_is_refused(tmp_path: Path, place: str) -> None:
    program = executable(tmp_path / place / "cutoutd")
    with pytest.raises(ServiceError, match=r"uv tool install \."):
        entry_point(str(program))


def test_commands_are_run_and_read() -> None:
    assert Runner({"A": "b"}).run(sys.executable, "-c", "import os; print(os.environ['A'])").stdout == "b\n"
    assert Runner().run("false", check=False).returncode == 1
    assert Runner().show("true") == 0


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Failed to connect to bus: No medium found", "loginctl enable-linger"),
        ("Failed to enable unit: Access denied", "Try again with sudo."),
        ("something else", ""),
    ],
)
def test_a_refusal_is_repeated_with_advice(said: str, advice: str) -> None:
    with pytest.raises(ServiceError) as caught:
        Runner().run("sh", "-c", f"echo '{said}' >&2; exit 1")
    assert said in caught.value.what
    assert bool(caught.value.fix) == bool(advice)
    assert advice in caught.value.fix


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ServiceError, match="no-such-program is not on this machine"):
        Runner().run("no-such-program")
    with pytest.raises(ServiceError, match="is not on this machine"):
        Runner().show("no-such-program")


def test_a_program_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "COMMAND_TIMEOUT_S", 0.1)
    with pytest.raises(ServiceError, match="did not answer"):
        Runner().run("sleep", "30")


def test_files_are_written_once_and_whole(tmp_path: Path) -> None:
    planned = PlannedFile(tmp_path / "deep/unit", "text", 0o640)
    assert write_file(planned)
    assert not write_file(planned)
    assert planned.path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in planned.path.parent.iterdir()] == ["unit"]
    assert remove_file(planned.path)
    assert not remove_file(planned.path)


def test_files_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match=r"file/unit: the file cannot be written"):
        write_file(PlannedFile(tmp_path / "file/unit", "text"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ServiceError, match="cannot be removed"):
        remove_file(tmp_path / "folder")
