"""cutoutd as a launchd agent on macOS: writes the property list and passes commands to launchctl.

Not tried on a Mac by its authors' tests, which check the property list against Apple's documented keys.
"""

from __future__ import annotations

import errno
import os
import plistlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutoutd.config.errors import ServiceError, printable
from cutoutd.config.load import Loaded
from cutoutd.service.folders import make_folders
from cutoutd.service.managers.manager import (
    PlannedFile,
    Role,
    Runner,
    ServiceState,
    remove_file,
    told,
    write_file,
)
from cutoutd.service.text import refuse_control_characters

# Room after the daemon's own grace for closing the ledger and ending workers.
_STOP_MARGIN_S = 15
# launchd starts a program again at most this often; it is also launchd's own default.
_THROTTLE_S = 10
_PROTECTED = ("Desktop", "Documents", "Downloads")

_REASONS = {
    "Label": "The name launchctl knows it by.",
    "ProgramArguments": "The program that installed this.",
    "RunAtLoad": "Starts with the login.",
    "KeepAlive": "Comes back after a crash and goes on with its work; a clean stop stays one.",
    "ThrottleInterval": "A pause between starts, so that a failing disk is not hammered.",
    "ExitTimeOut": "Longer than stop_grace, so that photos in hand are finished and the ledger is closed.",
    "ProcessType": "Neither throttled as a background job (a photographer waits) nor favoured.",
    "LowPriorityIO": "Programs somebody looks at get the disk first.",
    "Nice": "And the processor; workers yield further by themselves.",
    "Umask": "Its own files are for this user alone, cutouts by inbox.umask.",
    "HardResourceLimits": "A crash leaves no photo behind in a core dump.",
    "StandardOutPath": "The log, where Console.app looks for it.",
    "StandardErrorPath": "The same.",
    "EnvironmentVariables": "Log lines appear at once.",
}


def label_of(role: Role) -> str:
    """The name launchctl knows an agent by."""
    return f"{role.service_name}.agent"


def property_list(
    program: tuple[str, ...], loaded: Loaded, log: Path, role: Role = Role.DAEMON
) -> dict[str, Any]:
    """The agent as launchd.plist(5) wants it."""
    command = [*program, *role.command.split()]
    if loaded.path is not None:
        command += ["--config", str(loaded.path)]
    return {
        "Label": label_of(role),
        "ProgramArguments": command,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": _THROTTLE_S,
        "ExitTimeOut": int(loaded.settings.stop_grace) + _STOP_MARGIN_S,
        "ProcessType": "Standard",
        "LowPriorityIO": True,
        "Nice": 5,
        "Umask": 0o077,
        "HardResourceLimits": {"Core": 0},
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
        "EnvironmentVariables": {"PYTHONUNBUFFERED": "1"},
    }


def plist_text(contents: dict[str, Any]) -> str:
    """The property list as XML, each key with its reason in a comment."""
    for part in (*contents["ProgramArguments"], contents["StandardOutPath"]):
        refuse_control_characters(part)
    text = plistlib.dumps(contents, sort_keys=False).decode()

    def explained(match: re.Match[str]) -> str:
        """The key with its reason above it."""
        return f"\t<!-- {_REASONS[match[1]]} -->\n{match[0]}"

    # One tab: a key of the outermost table.
    return re.sub(r"^\t<key>(\w+)</key>", explained, text, flags=re.MULTILINE)


@dataclass
class LaunchAgent:
    """A launchd agent of the user who is logged in."""

    loaded: Loaded
    program: tuple[str, ...]
    runner: Runner = field(default_factory=Runner)
    home: Path = field(default_factory=Path.home)
    role: Role = Role.DAEMON

    name = "launchd agent"

    @property
    def installed_path(self) -> Path:
        """Where the property list lies."""
        return self.home / "Library/LaunchAgents" / f"{label_of(self.role)}.plist"

    @property
    def log_path(self) -> Path:
        """Where the log lies."""
        return self.home / "Library/Logs/cutoutd" / f"{self.role.service_name}.log"

    @property
    def _domain(self) -> str:
        return f"gui/{os.getuid()}"

    def files(self) -> tuple[PlannedFile, ...]:
        """The property list."""
        return (
            PlannedFile(
                self.installed_path,
                plist_text(property_list(self.program, self.loaded, self.log_path, self.role)),
            ),
        )

    def install(self, *, start: bool) -> list[str]:
        """Write and load; see `ServiceManager`."""
        done = [told("made", folder) for folder in make_folders(self.loaded.settings)]
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        changed = [file.path for file in self.files() if write_file(file)]
        done += [told("wrote", path) for path in changed] or ["the property list was up to date"]
        if not start:
            return done
        if changed and self.state().installed:
            self._launchctl("bootout", f"{self._domain}/{label_of(self.role)}", check=False)
        if not self.state().installed:
            self._launchctl("bootstrap", self._domain, str(self.installed_path))
        return [*done, "started"]

    def uninstall(self) -> list[str]:
        """Unload and remove the property list."""
        if not self.installed_path.exists():
            return [f"{printable(self.installed_path)} is not there: nothing to remove"]
        self._launchctl("bootout", f"{self._domain}/{label_of(self.role)}", check=False)
        remove_file(self.installed_path)
        return [
            told("removed", self.installed_path),
            "photos, cutouts, configuration and ledger are untouched",
        ]

    def start(self) -> None:
        """Load the agent, or start it when it is loaded; ServiceError when it is not installed."""
        self._need_plist()
        if self.state().installed:
            self._launchctl("kickstart", f"{self._domain}/{label_of(self.role)}")
        else:
            self._launchctl("bootstrap", self._domain, str(self.installed_path))

    def stop(self) -> None:
        """Unload the agent until the next login; photos in hand are finished first."""
        self._need_plist()
        self._launchctl("bootout", f"{self._domain}/{label_of(self.role)}")

    def restart(self) -> None:
        """Stop and start at once."""
        self._need_plist()
        if self.state().installed:
            self._launchctl("kickstart", "-k", f"{self._domain}/{label_of(self.role)}")
        else:
            self.start()

    def state(self) -> ServiceState:
        """What `launchctl print` says."""
        shown = self._launchctl("print", f"{self._domain}/{label_of(self.role)}", check=False)
        loaded = shown.returncode == 0
        facts = dict(re.findall(r"^\t(state|pid|runs) = (.+)$", shown.stdout, flags=re.MULTILINE))
        state = facts.get("state", "loaded" if loaded else "not loaded")
        return ServiceState(
            installed=loaded,
            enabled=self.installed_path.exists(),
            running=state == "running",
            state=state,
            pid=int(facts.get("pid", 0)),
            restarts=max(0, int(facts.get("runs", 1)) - 1),
        )

    def logs(self, lines: int, *, follow: bool) -> int:
        """Show the end of the log file."""
        if not self.log_path.exists():
            raise ServiceError("there is no log yet", self.log_path, "Start the service first.")
        return self.runner.show("tail", "-n", str(lines), *(("-F",) if follow else ()), str(self.log_path))

    def _launchctl(self, *arguments: str, check: bool = True):  # noqa: ANN202 - the runner's own type
        return self.runner.run("launchctl", *arguments, check=check)

    def _need_plist(self) -> None:
        if not self.installed_path.exists():
            raise ServiceError(
                "the service is not installed",
                self.installed_path,
                f"Run `cutoutd service install{self.role.option}`.",
            )


def privacy_refusal(path: Path, error: OSError, home: Path | None = None) -> str:
    """One sentence for macOS's refusal to let a program see Desktop, Documents or Downloads; else empty."""
    base = home or Path.home()
    guarded = next((name for name in _PROTECTED if path.is_relative_to(base / name)), None)
    if error.errno != errno.EPERM or guarded is None:
        return ""
    return (
        f"macOS does not let cutoutd see your {guarded} folder: allow it in System Settings > Privacy & Security "
        f"> Files and Folders, or choose a folder outside Desktop, Documents and Downloads."
    )
