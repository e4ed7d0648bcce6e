"""`cutoutd service …` as typed; the managers behind it have tests of their own."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cutoutd.config.errors import ServiceError, UsageError
from cutoutd.service.cli import service as service_module
from cutoutd.service.cli.service import service
from cutoutd.service.managers import choice
from cutoutd.service.managers.choice import any_settings, manager_for
from cutoutd.service.managers.manager import PlannedFile, ServiceState


class FakeManager:
    """Remembers what it was asked to do."""

    name = "test service"
    installed_path = Path("/units/test")

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = ServiceState(True, True, True, "active (running)", "2 in hand", 77, 1, "today")

    def files(self) -> tuple[PlannedFile, ...]:
        return (PlannedFile(self.installed_path, "[Unit]\n"),)

    def install(self, *, start: bool) -> list[str]:
        self.asked.append(f"install {start}")
        return ["wrote it"]

    def uninstall(self) -> list[str]:
        self.asked.append("uninstall")
        return ["removed it"]

    def start(self) -> None:
        self.asked.append("start")

    def stop(self) -> None:
        self.asked.append("stop")

    def restart(self) -> None:
        self.asked.append("restart")

    def state(self) -> ServiceState:
        return self.answer

    def logs(self, lines: int, *, follow: bool) -> int:
        self.asked.append(f"logs {lines} {follow}")
        return 0


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> FakeManager:
    fake = FakeManager()
    monkeypatch.setattr(service_module, "manager_for", lambda *_args, **_kwargs: fake)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(service, arguments)


def test_print_writes_nothing(manager: FakeManager) -> None:
    assert run("install", "--print").output == "# /units/test\n[Unit]\n\n"
    assert "would stop the test service and remove /units/test" in run("uninstall", "--print").output
    assert manager.asked == []


def test_every_verb_reaches_the_manager(manager: FakeManager) -> None:
    assert run("install").output == "wrote it\n"
    run("install", "--no-start")
    run("uninstall")
    assert run("start").output == "test service: active (running)\n"
    run("stop")
    run("restart")
    run("logs", "-n", "7", "-f")
    assert manager.asked == [
        "install True",
        "install False",
        "uninstall",
        "start",
        "stop",
        "restart",
        "logs 7 True",
    ]


def test_status(manager: FakeManager) -> None:
    result = run("status")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "test service: active (running)",
        "  says: 2 in hand",
        "  since: today",
        "  process: 77",
        "  restarts: 1",
        "  at start: yes",
    ]
    assert json.loads(run("status", "--json").output)["pid"] == 77
    manager.answer = ServiceState(False, False, False, "inactive (dead)")
    result = run("status")
    assert result.exit_code == 11
    assert "`cutoutd service install` does it" in result.output


def test_as_needs_system(manager: FakeManager) -> None:
    assert isinstance(run("install", "--as", "ann").exception, UsageError)


def test_without_systemd_only_printing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(choice, "systemd_runs", lambda: False)
    config = tmp_path / "c.toml"
    config.write_text(f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n')
    refused = run("install", "-c", str(config))
    assert isinstance(refused.exception, ServiceError)
    assert "systemd does not run this machine" in str(refused.exception)
    printed = run("install", "--system", "--as", "nobody", "-c", str(config), "--print")
    assert printed.exit_code == 0, printed.exception
    assert "User=nobody" in printed.output
    assert not (tmp_path / "in").exists()


def test_macos_has_agents_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    loaded = any_settings()
    assert manager_for(loaded, system=False).name == "launchd agent"
    with pytest.raises(ServiceError, match="own agent only"):
        manager_for(loaded, system=True)
