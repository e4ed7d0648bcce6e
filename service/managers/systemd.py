"""cutoutd as a systemd service: installs the unit and calls systemctl; the unit's text is not made here."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cutoutd.config.errors import ConfigError, ServiceError, printable
from cutoutd.config.fleet import NODE_FILE, load_node
from cutoutd.config.load import Loaded
from cutoutd.config.settings import Settings
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
from cutoutd.service.managers.systemd_fleet_units import node_unit_text, scheduler_unit_text
from cutoutd.service.managers.systemd_hooks_unit import hooks_unit_text
from cutoutd.service.managers.systemd_unit import (
    Installation,
    unit_text,
    writable_paths,
)

SYSTEM_UNITS = Path("/etc/systemd/system")
SYSUSERS = Path("/etc/sysusers.d/cutoutd.conf")
SERVICE_USER = "cutoutd"

_SYSUSERS_TEXT = f"""\
# Written by `cutoutd service install --system`: the user the service runs as, without home or login.
u {SERVICE_USER} - "cutoutd, photos in, cutouts out" /var/lib/cutoutd
"""
_SHOWN = "LoadState,UnitFileState,ActiveState,SubState,StatusText,MainPID,NRestarts,ActiveEnterTimestamp"


@dataclass
class UserService:
    """A user unit: starts with the user's session, or with the machine for users who linger."""

    loaded: Loaded
    program: tuple[str, ...]
    runner: Runner = field(default_factory=Runner)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    role: Role = Role.DAEMON
    node: Path | None = None  # the folder of a node's certificates, for that role

    name = "systemd user service"
    _scope: tuple[str, ...] = ("--user",)

    def __post_init__(self) -> None:
        # Without a login session (cron, ssh command) the bus of a lingering user is there all the same.
        bus = Path(f"/run/user/{os.getuid()}")
        if "XDG_RUNTIME_DIR" not in self.runner.environ and bus.is_dir():
            self.runner.environ["XDG_RUNTIME_DIR"] = str(bus)

    @property
    def unit(self) -> str:
        """The unit's name."""
        return f"{self.role.service_name}.service"

    @property
    def installed_path(self) -> Path:
        """Where the unit file lies."""
        base = self.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return Path(base) / "systemd/user" / self.unit

    def files(self) -> tuple[PlannedFile, ...]:
        """The unit."""
        installation = Installation(self.program, self.loaded.path, self.loaded.settings, ())
        return (PlannedFile(self.installed_path, self._text(installation)),)

    def _text(self, installation: Installation) -> str:
        match self.role:
            case Role.HOOKS:
                return hooks_unit_text(installation)
            case Role.SCHEDULER:
                return scheduler_unit_text(installation)
            case Role.NODE if self.node is not None:
                return node_unit_text(installation, self.node)
            case _:
                return unit_text(installation)

    def install(self, *, start: bool) -> list[str]:
        """Write, enable and (re)start; see `ServiceManager`."""
        own = self.role in (Role.DAEMON, Role.HOOKS)  # the others' folders are other machines'
        told_ = [told("made", folder) for folder in make_folders(self.loaded.settings)] if own else []
        changed = [file.path for file in self.files() if write_file(file)]
        told_ += [told("wrote", path) for path in changed] or ["the unit was up to date"]
        self._systemctl("daemon-reload")
        self._systemctl("enable", "--quiet", self.unit)
        if start:
            self._systemctl("restart" if changed else "start", self.unit)
            told_.append("started")
        return told_ + self._advice()

    def uninstall(self) -> list[str]:
        """Stop, disable and remove the unit."""
        if not self.installed_path.exists():
            return [f"{printable(self.installed_path)} is not there: nothing to remove"]
        self._systemctl("disable", "--now", "--quiet", self.unit)
        removed = [told("removed", path) for path in self._written() if remove_file(path)]
        self._systemctl("daemon-reload")
        self._systemctl("reset-failed", "--quiet", self.unit, check=False)
        return [*removed, "photos, cutouts, configuration and ledger are untouched"]

    def _written(self) -> tuple[Path, ...]:
        """Every file that some `install` may have written."""
        return (self.installed_path,)

    def start(self) -> None:
        """Start the unit, or raise ServiceError."""
        self._need_unit()
        self._systemctl("start", self.unit)

    def stop(self) -> None:
        """Stop the unit, or raise ServiceError."""
        self._need_unit()
        self._systemctl("stop", self.unit)

    def restart(self) -> None:
        """Restart the unit, or raise ServiceError."""
        self._need_unit()
        self._systemctl("restart", self.unit)

    def state(self) -> ServiceState:
        """What `systemctl show` says."""
        shown = self._systemctl("show", f"--property={_SHOWN}", self.unit).stdout
        facts = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        active = facts.get("ActiveState", "unknown")
        return ServiceState(
            installed=facts.get("LoadState") == "loaded",
            enabled=facts.get("UnitFileState", "").startswith("enabled"),
            running=active in {"active", "reloading"},
            state=f"{active} ({facts.get('SubState', 'unknown')})",
            text=facts.get("StatusText", ""),
            pid=int(facts.get("MainPID") or 0),
            restarts=int(facts.get("NRestarts") or 0),
            since=facts.get("ActiveEnterTimestamp", ""),
        )

    def logs(self, lines: int, *, follow: bool) -> int:
        """Show the journal of this unit."""
        # Where the journal is not kept per user, `--user --unit` finds nothing and this one does.
        which = "--user-unit" if self._scope else "--unit"
        return self.runner.show(
            "journalctl",
            "--quiet",
            f"{which}={self.unit}",
            f"--lines={lines}",
            *(("--follow",) if follow else ()),
        )

    def _advice(self) -> list[str]:
        user = pwd.getpwuid(os.getuid()).pw_name
        answer = self.runner.run("loginctl", "show-user", user, "--property=Linger", "--value", check=False)
        if answer.stdout.strip() == "yes":
            return []
        return [f"it runs while you are logged in; for always: loginctl enable-linger {user}"]

    def _systemctl(self, *arguments: str, check: bool = True):  # noqa: ANN202 - the runner's own type
        return self.runner.run("systemctl", *self._scope, *arguments, check=check)

    def _need_unit(self) -> None:
        if not self.installed_path.exists():
            flag = ("" if self._scope else " --system") + self.role.option
            raise ServiceError(
                "the service is not installed", self.installed_path, f"Run `cutoutd service install{flag}`."
            )


@dataclass
class SystemService(UserService):
    """A hardened system unit: starts with the machine, as a user of its own or as `user`."""

    user: str | None = None

    name = "systemd system service"
    _scope: tuple[str, ...] = ()

    @property
    def installed_path(self) -> Path:
        """Where the unit file lies."""
        return SYSTEM_UNITS / self.unit

    @property
    def run_as(self) -> str:
        """The user the service runs as."""
        return self.user or SERVICE_USER

    def files(self) -> tuple[PlannedFile, ...]:
        """The unit and, for a user of its own, its declaration."""
        self._check()
        settings = self.loaded.settings
        if self.role is Role.NODE and self.node is not None:
            writable = tuple(one.here for one in load_node(self.node / NODE_FILE).folder if one.write)
        elif self.role is Role.SCHEDULER:
            writable = ()
        else:
            writable = writable_paths(settings, trash_folders(settings, self.run_as))
        unit = self._text(Installation(self.program, self.loaded.path, settings, writable, user=self.run_as))
        planned = (PlannedFile(self.installed_path, unit),)
        return planned if self.user else (PlannedFile(SYSUSERS, _SYSUSERS_TEXT), *planned)

    def _written(self) -> tuple[Path, ...]:
        # The user is the daemon's: hooks that go do not take it along.
        return (self.installed_path, SYSUSERS) if self.role is Role.DAEMON else (self.installed_path,)

    def install(self, *, start: bool) -> list[str]:
        """Make the user and the folders, then as for a user unit."""
        if os.geteuid() != 0:
            raise ServiceError("a system service is installed by root", fix="Try again with sudo.")
        if not self.user and write_file(PlannedFile(SYSUSERS, _SYSUSERS_TEXT)):
            self.runner.run("systemd-sysusers", str(SYSUSERS))
        self._check_program()
        if self.role is not Role.NODE:
            self._own_new_folders()
        return super().install(start=start)

    def _check(self) -> None:
        if self.loaded.path is None and self.role is not Role.NODE:
            raise ConfigError(
                "a system service needs a configuration, for it has no Pictures folder",
                fix="Write /etc/cutoutd/config.toml (`cutoutd init --config /etc/cutoutd/config.toml "
                "--inbox DIR --outbox DIR`), or name one with --config.",
            )
        if self.user is not None:
            _user(self.user)

    def _own_new_folders(self) -> None:
        account = _user(self.run_as)
        settings = self.loaded.settings
        inboxes = {inbox.path for inbox in settings.inbox}
        for folder in make_folders(settings):
            os.chown(folder, account.pw_uid, account.pw_gid)
            # Members of the service's group drop photos and fetch cutouts; others see neither.
            folder.chmod(0o2770 if folder in inboxes else 0o2750)
        for folder in trash_folders(settings, self.run_as):
            if not folder.is_dir():
                folder.mkdir(parents=True, mode=0o700)
                os.chown(folder, account.pw_uid, account.pw_gid)

    def _check_program(self) -> None:
        account = _user(self.run_as)
        key = None if self.node is None else self.node / "node.key"
        for path in (Path(self.program[0]), Path(os.path.realpath(sys.executable)), self.loaded.path, key):
            barrier = unreachable_for(path, account) if path is not None else None
            if barrier is not None:
                raise ServiceError(
                    f"the user {self.run_as} may not read {printable(path or '')} (it ends at "
                    f"{printable(barrier)})",
                    fix="Install cutoutd where everybody may read it (python3 -m venv /opt/cutoutd), or "
                    "choose another user with --as.",
                )

    def _advice(self) -> list[str]:
        told_ = [f"it runs as {self.run_as}; its ledger lies in /var/lib/cutoutd"]
        if self.user is None:
            told_.append(f"to let somebody drop photos and fetch cutouts: usermod -aG {SERVICE_USER} USER")
        return told_


def unreachable_for(path: Path, account: pwd.struct_passwd) -> Path | None:
    """The first folder or file on the way to `path` that the account may not enter or read; None if none."""
    groups = set(os.getgrouplist(account.pw_name, account.pw_gid)) | _groups_of(account.pw_name)
    whole = Path(os.path.realpath(path))
    for step in (*reversed(whole.parents), whole):
        try:
            found = step.stat()
        except OSError:
            return step
        wanted = 0o1 if step != whole else 0o4
        shift = 6 if found.st_uid == account.pw_uid else 3 if found.st_gid in groups else 0
        if account.pw_uid != 0 and not found.st_mode >> shift & wanted:
            return step
    return None


def _groups_of(name: str) -> set[int]:
    return {entry.gr_gid for entry in grp.getgrall() if name in entry.gr_mem}


def trash_folders(settings: Settings, user: str) -> tuple[Path, ...]:
    """The trash folders the service's user would need: its home's, and one at the top of other disks."""
    wanted = [inbox for inbox in settings.inbox if inbox.after.action == "trash"]
    if not wanted:
        return ()
    account = _user(user)
    home = Path(account.pw_dir)
    folders: list[Path] = []
    for inbox in wanted:
        top = _mount_top(inbox.path)
        same_disk = home.exists() and top.stat().st_dev == home.stat().st_dev
        folders.append(home / ".local/share/Trash" if same_disk else top / f".Trash-{account.pw_uid}")
    return tuple(dict.fromkeys(folders))


def _mount_top(folder: Path) -> Path:
    """The topmost folder of the file system that `folder`, or its nearest existing ancestor, lies on."""
    real = Path(os.path.realpath(folder))
    while not real.exists():
        real = real.parent
    while real != real.parent and real.parent.stat().st_dev == real.stat().st_dev:
        real = real.parent
    return real


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise ServiceError(
            f"there is no user {name} on this machine", fix="Name an existing one with --as."
        ) from None
