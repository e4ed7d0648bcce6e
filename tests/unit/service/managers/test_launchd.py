"""The launchd agent, checked on any platform against the keys that Apple documents in launchd.plist(5)."""

from __future__ import annotations

import errno
import plistlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cutoutd.config.errors import ServiceError
from cutoutd.config.load import Loaded, parse_settings
from cutoutd.service.managers.launchd import LaunchAgent, label_of, plist_text, privacy_refusal, property_list
from cutoutd.service.managers.manager import Role, Runner

# Key: type of its value, from the manual page launchd.plist(5).
DOCUMENTED: dict[str, type] = {
    "Label": str,
    "Disabled": bool,
    "UserName": str,
    "GroupName": str,
    "Program": str,
    "ProgramArguments": list,
    "EnableGlobbing": bool,
    "EnableTransactions": bool,
    "EnablePressuredExit": bool,
    "OnDemand": bool,
    "ServiceIPC": bool,
    "KeepAlive": dict,
    "RunAtLoad": bool,
    "RootDirectory": str,
    "WorkingDirectory": str,
    "EnvironmentVariables": dict,
    "Umask": int,
    "TimeOut": int,
    "ExitTimeOut": int,
    "ThrottleInterval": int,
    "InitGroups": bool,
    "WatchPaths": list,
    "QueueDirectories": list,
    "StartOnMount": bool,
    "StartInterval": int,
    "StandardInPath": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "Debug": bool,
    "WaitForDebugger": bool,
    "SoftResourceLimits": dict,
    "HardResourceLimits": dict,
    "Nice": int,
    "ProcessType": str,
    "AbandonProcessGroup": bool,
    "LowPriorityIO": bool,
    "LowPriorityBackgroundIO": bool,
    "MaterializeDatalessFiles": bool,
    "LaunchOnlyOnce": bool,
    "MachServices": dict,
    "Sockets": dict,
    "SessionCreate": bool,
    "LimitLoadToSessionType": str,
}
KEEP_ALIVE = {
    "SuccessfulExit",
    "NetworkState",
    "PathState",
    "OtherJobEnabled",
    "Crashed",
    "AfterInitialDemand",
}
PROCESS_TYPES = {"Background", "Standard", "Adaptive", "Interactive"}


def loaded(folder: Path) -> Loaded:
    text = f'stop_grace = "20s"\n[[inbox]]\npath = "{folder}/in"\noutbox = "{folder}/out"\n'
    return Loaded(parse_settings(text), folder / "c & d.toml", "")


def agent(folder: Path) -> dict[str, Any]:
    text = plist_text(property_list(("/opt/cutoutd/bin/cutoutd",), loaded(folder), folder / "log"))
    return plistlib.loads(text.encode())


def test_only_documented_keys_with_documented_types(tmp_path: Path) -> None:
    for key, value in agent(tmp_path).items():
        assert isinstance(value, DOCUMENTED[key]), key


def test_values_that_apple_lists(tmp_path: Path) -> None:
    contents = agent(tmp_path)
    assert set(contents["KeepAlive"]) <= KEEP_ALIVE
    assert contents["ProcessType"] in PROCESS_TYPES
    assert -20 <= contents["Nice"] <= 20
    assert contents["ExitTimeOut"] > 20
    assert contents["HardResourceLimits"] == {"Core": 0}
    assert all(isinstance(value, str) for value in contents["EnvironmentVariables"].values())


def test_the_command_is_absolute_and_whole(tmp_path: Path) -> None:
    assert agent(tmp_path)["ProgramArguments"] == [
        "/opt/cutoutd/bin/cutoutd",
        "run",
        "--config",
        str(tmp_path / "c & d.toml"),
    ]


def test_every_key_is_explained(tmp_path: Path) -> None:
    lines = plist_text(property_list(("/x",), loaded(tmp_path), tmp_path)).splitlines()
    keys = [number for number, line in enumerate(lines) if line.startswith("\t<key>")]
    assert len(keys) == len(agent(tmp_path))
    assert all(lines[number - 1].startswith("\t<!-- ") for number in keys)


class Launchctl(Runner):
    """Stands for launchctl, which exists on macOS only: remembers orders and whether the agent is loaded."""

    def __init__(self) -> None:
        super().__init__({})
        self.orders: list[str] = []
        self.loaded = False

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        verb = command[1]
        if verb != "print":
            self.orders.append(verb)
        if verb == "bootstrap":
            self.loaded = True
        if verb == "bootout":
            self.loaded = False
        answer = (
            "gui/501/cutoutd.agent = {\n\tstate = running\n\tpid = 77\n\truns = 3\n}\n" if self.loaded else ""
        )
        return subprocess.CompletedProcess(command, 0 if self.loaded or verb != "print" else 113, answer, "")


def test_install_twice_and_uninstall(tmp_path: Path) -> None:
    launchctl = Launchctl()
    service = LaunchAgent(loaded(tmp_path), ("/x/cutoutd",), launchctl, tmp_path)
    service.install(start=True)
    assert service.installed_path == tmp_path / f"Library/LaunchAgents/{label_of(Role.DAEMON)}.plist"
    assert (tmp_path / "Library/Logs/cutoutd").is_dir()
    assert (tmp_path / "in").is_dir()
    assert "the property list was up to date" in service.install(start=True)
    assert launchctl.orders == ["bootstrap"]
    state = service.state()
    assert (state.running, state.pid, state.restarts) == (True, 77, 2)
    service.uninstall()
    assert not service.installed_path.exists()
    assert (tmp_path / "in").is_dir()
    assert service.uninstall() == [f"{service.installed_path} is not there: nothing to remove"]


def test_orders_before_installation_are_refused(tmp_path: Path) -> None:
    service = LaunchAgent(loaded(tmp_path), ("/x",), Launchctl(), tmp_path)
    for order in (service.start, service.stop, service.restart):
        with pytest.raises(ServiceError, match="not installed"):
            order()
    with pytest.raises(ServiceError, match="there is no log yet"):
        service.logs(10, follow=False)


@pytest.mark.parametrize(
    ("path", "code", "named"),
    [
        ("/Users/ann/Desktop/in", errno.EPERM, "Desktop"),
        ("/Users/ann/Documents", errno.EPERM, "Documents"),
        ("/Users/ann/Pictures/in", errno.EPERM, ""),
        ("/Users/ann/Desktop/in", errno.EACCES, ""),
    ],
)
def test_a_privacy_refusal_becomes_one_sentence(path: str, code: int, named: str) -> None:
    sentence = privacy_refusal(Path(path), OSError(code, "no"), Path("/Users/ann"))
    assert bool(named) == bool(sentence)
    assert f"your {named} folder" in sentence or not named


@pytest.mark.parametrize("odd", ["\r", "\n", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\udcff"])
@pytest.mark.parametrize("where", ["program", "config", "log"])
def test_a_path_writes_nothing_of_its_own_into_the_property_list(
    odd: str, where: str, tmp_path: Path
) -> None:
    evil = f"/x{odd}</string><key>RootDirectory</key>"
    one = loaded(tmp_path)
    program = (evil,) if where == "program" else ("/x",)
    config = Loaded(one.settings, Path(evil), "") if where == "config" else one
    log = Path(evil) if where == "log" else tmp_path / "log"
    with pytest.raises(ServiceError, match="control characters"):
        plist_text(property_list(program, config, log))


def test_markup_in_a_path_stays_a_path(tmp_path: Path) -> None:
    program = ("/x</string><key>RootDirectory</key>&amp; %i $HOME",)
    text = plist_text(property_list(program, loaded(tmp_path), tmp_path / "log"))
    contents = plistlib.loads(text.encode())
    assert contents["ProgramArguments"][0] == program[0]
    assert "RootDirectory" not in contents
