"""What every service manager (systemd, launchd) can be asked to do, and how commands are run; it decides nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from cutoutd.config.errors import ServiceError, printable

# A service manager answers at once; a stop may take the daemon's whole grace.
COMMAND_TIMEOUT_S = 180


class Role(StrEnum):
    """Which of the programs a service manager is to look after."""

    DAEMON = "daemon"
    HOOKS = "hooks"
    SCHEDULER = "scheduler"
    NODE = "node"

    @property
    def service_name(self) -> str:
        """What the service is called, without a manager's own ending."""
        return "cutoutd" if self is Role.DAEMON else f"cutoutd-{self.value}"

    @property
    def command(self) -> str:
        """The words behind `cutoutd` that start the program; a node's folder is not among them."""
        if self is Role.DAEMON:
            return "run"
        return "hooks" if self is Role.HOOKS else f"fleet {self.value}"

    @property
    def option(self) -> str:
        """What `cutoutd service` has to be told to mean this program: "" or " --role hooks"."""
        return "" if self is Role.DAEMON else f" --role {self.value}"


class PlannedFile(Struct, frozen=True):
    """A file that `service install` writes."""

    path: Path
    text: str
    mode: int = 0o644

    def fresh(self) -> bool:
        """Whether the file is there already, with this text."""
        try:
            return self.path.read_text(encoding="utf-8") == self.text
        except (OSError, UnicodeDecodeError):
            return False


class ServiceState(Struct, frozen=True):
    """What the service manager says about the service; `text` is the daemon's own status line."""

    installed: bool
    enabled: bool
    running: bool
    state: str
    text: str = ""
    pid: int = 0
    restarts: int = 0
    since: str = ""


class ServiceManager(Protocol):
    """One way of having a program started and watched.

    What `install` to `restart` cannot do, or the system's own program refuses, is a ServiceError, with what to do.
    """

    @property
    def name(self) -> str:
        """For people: "systemd user service"."""
        ...

    @property
    def installed_path(self) -> Path:
        """The file whose presence means "installed"."""
        ...

    def files(self) -> tuple[PlannedFile, ...]:
        """What `install` writes."""
        ...

    def install(self, *, start: bool) -> list[str]:
        """Write, enable and start; what was done, one sentence each. Doing it twice changes nothing."""
        ...

    def uninstall(self) -> list[str]:
        """Stop and remove; photos, configuration and ledger stay."""
        ...

    def start(self) -> None:
        """Start the installed service."""
        ...

    def stop(self) -> None:
        """Stop it; photos in hand are finished first."""
        ...

    def restart(self) -> None:
        """Stop and start."""
        ...

    def state(self) -> ServiceState:
        """What is going on."""
        ...

    def logs(self, lines: int, *, follow: bool) -> int:
        """Show the last lines of the log on this terminal; the exit status of the program that did."""
        ...


class Runner:
    """Runs the service manager's own commands; tests put a recording one in its place."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = dict(environ)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run and capture.

        Raises:
            ServiceError: the program is not there, takes too long, or (with `check`) refuses.
        """
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
                env=self.environ,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise ServiceError(
                f"{command[0]} is not on this machine",
                fix="Have your own service manager start the program; `cutoutd service install --print` shows how.",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ServiceError(f"`{' '.join(command)}` did not answer for {COMMAND_TIMEOUT_S} s") from error
        if check and done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[0]
            raise ServiceError(f"`{' '.join(command)}` failed: {said}", fix=self._advice(said))
        return done

    def show(self, *command: str) -> int:
        """Run with this terminal as its input and output."""
        try:
            return subprocess.run(command, env=self.environ, check=False).returncode
        except FileNotFoundError as error:
            raise ServiceError(f"{command[0]} is not on this machine") from error
        except KeyboardInterrupt:
            return 0  # that is how one leaves a followed log

    def _advice(self, said: str) -> str:
        if "connect to bus" in said.lower() or "user scope bus" in said.lower():
            return (
                "There is no session for this user: log in as the user itself (not through su or sudo), or "
                "allow services without one by `loginctl enable-linger`."
            )
        if any(word in said.lower() for word in ("access denied", "authentication", "permission denied")):
            return "Try again with sudo."
        if said.startswith("Job for"):
            return "`cutoutd service logs` (with --system for the machine's service) says why."
        return ""


def entry_point(
    argv0: str = "", executable: str = sys.executable, scripts: Sequence[Path] = ()
) -> tuple[str, ...]:
    """The absolute command that starts this very installation, for a service manager to run.

    Args:
        argv0: the path this program was started by; unset, `sys.argv[0]`.
        executable: the interpreter in use.
        scripts: folders with installed programs; unset, the interpreter's.

    Raises:
        ServiceError: this installation is a temporary one, which will be gone tomorrow.
    """
    folders = [*(scripts or (Path(sysconfig.get_path("scripts")),)), Path(executable).parent]
    started = shutil.which(argv0 or sys.argv[0]) or argv0 or sys.argv[0]
    candidates = [Path(started).absolute(), *(folder / "cutoutd" for folder in folders)]
    found = next((path for path in candidates if path.stem == "cutoutd" and os.access(path, os.X_OK)), None)
    command = (str(found),) if found is not None else (executable, "-m", "cutoutd.service.main")
    whole = os.path.realpath(command[0])
    # uvx and `pipx run` build environments in their caches and clear them away.
    if any(part in whole for part in ("/.cache/uv/", "/uv/archive-v0/", "/pipx/.cache/")):
        raise ServiceError(
            "this cutoutd is a temporary installation, which a service would soon miss",
            command[0],
            "Install it first, from its checkout: `uv tool install .` or `pipx install .`.",
        )
    return command


def write_file(planned: PlannedFile) -> bool:
    """Write a planned file if it differs; whether it did. Replaced in one step, parents made.

    Raises:
        ServiceError: the file cannot be written.
    """
    if planned.fresh():
        return False
    temporary = planned.path.with_name(f".{planned.path.name}.new")
    try:
        planned.path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(planned.text, encoding="utf-8")
        temporary.chmod(planned.mode)
        temporary.replace(planned.path)
    except OSError as error:
        raise ServiceError(
            f"the file cannot be written ({error.strerror})", planned.path, "For --system, try with sudo."
        ) from error
    return True


def remove_file(path: Path) -> bool:
    """Remove a file that `install` wrote; False when it was not there.

    Raises:
        ServiceError: the file cannot be removed.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ServiceError(
            f"the file cannot be removed ({error.strerror})", path, "For --system, try with sudo."
        ) from error
    return True


def told(verb: str, path: Path) -> str:
    """One line of a report: `wrote /etc/systemd/system/cutoutd.service`."""
    return f"{verb} {printable(path)}"
