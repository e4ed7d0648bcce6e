"""The systemd unit as text, each directive with its reason; it neither writes nor starts anything."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from cutoutd.config.errors import ConfigError, printable
from cutoutd.config.folders import is_inside
from cutoutd.config.settings import Settings
from cutoutd.models.networks.accelerators import expected
from cutoutd.service.text import refuse_control_characters

# Tells a reloading daemon which folders its unit lets it write to.
WRITABLE_VARIABLE = "CUTOUTD_WRITABLE_PATHS"

_WIDEN = "sudo cutoutd service install --system"
# The loop tells systemd that it lives several times in this; a start may wait for a disk that wakes up.
_WATCHDOG_S = 60
_START_S = 90
# Room after the process's own grace for syncing the ledger and ending what it started.
STOP_MARGIN_S = 15
_COMMENT_WIDTH = 108


class Installation(Struct, frozen=True):
    """Everything the unit's text depends on.

    `user` is None for a user unit. `writable` are the folders the daemon may change, state and cache excepted.
    """

    program: tuple[str, ...]
    config: Path | None
    settings: Settings
    writable: tuple[Path, ...]
    user: str | None = None

    @property
    def system(self) -> bool:
        """Whether it is a system unit, which can confine more than a user unit can."""
        return self.user is not None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder the daemon reads or writes."""
        read = [inbox.path for inbox in self.settings.inbox]
        config = [self.config.parent] if self.config is not None else []
        return tuple(dict.fromkeys([*read, *self.writable, *config]))

    @property
    def accelerated(self) -> bool:
        """Whether a graphics processor or a compiling engine is asked for, or found by "auto"."""
        return any(name != "cpu" for name in expected(self.settings.engine.providers))


class Directive(Struct, frozen=True):
    """One line of the unit and why it is there."""

    key: str
    value: str
    reason: str


def unit_text(installation: Installation) -> str:
    """The whole unit file."""
    sections = {
        "Unit": _unit(installation),
        "Service": [
            *_life(installation),
            *_resources(installation),
            *_no_network(installation),
            *(_confinement(installation) if installation.system else ()),
        ],
        "Install": install_section(installation),
    }
    return rendered(sections)


def rendered(sections: Mapping[str, Iterable[Directive]]) -> str:
    """A unit file as text: each directive below its reason."""
    text = "# Written by `cutoutd service install`; running that again renews it.\n"
    for name, directives in sections.items():
        text += f"\n[{name}]\n"
        for directive in directives:
            comment = textwrap.wrap(directive.reason, _COMMENT_WIDTH, break_on_hyphens=False)
            text += "".join(f"# {line}\n" for line in comment)
            refuse_control_characters(directive.value)
            text += f"{directive.key}={directive.value}\n"
    return text


def _unit(installation: Installation) -> Iterator[Directive]:
    yield Directive("Description", "cutoutd, photos in, cutouts out", "What `systemctl status` calls it.")
    if installation.system:
        yield Directive(
            "After",
            "local-fs.target remote-fs.target",
            "Folders on other disks and shares are usually there by then; a missing one is waited for anyway.",
        )
    yield Directive(
        "StartLimitIntervalSec", "300", "The window for the burst limit: five minutes outlast a slow failure."
    )
    yield Directive(
        "StartLimitBurst",
        "5",
        "Five failed starts in that window and systemd stops trying: a human is needed.",
    )


def _life(installation: Installation) -> Iterator[Directive]:
    stop_s = installation.settings.stop_grace + STOP_MARGIN_S
    yield Directive("Type", "notify", "Started means: the watches stand and the model is loaded.")
    yield Directive("NotifyAccess", "main", "Only the supervisor speaks to systemd, no worker.")
    yield exec_start(installation, "run")
    yield Directive(
        "ExecReload",
        "/bin/sh -c 'kill -HUP $$MAINPID'",
        "Reads the configuration again; one with mistakes changes nothing. (The shell's kill: small systems "
        "have no other.)",
    )
    yield Directive(
        "Restart",
        "on-failure",
        "After a crash it comes back and goes on with its work; a clean stop stays one.",
    )
    yield from no_vain_restarts()
    yield Directive(
        "WatchdogSec",
        str(_WATCHDOG_S),
        "Fed only while loop, watches and workers are healthy; silence for this long is a restart.",
    )
    yield Directive(
        "TimeoutStartSec",
        str(_START_S),
        "Time to load a model; the daemon asks for more while a large one is being prepared.",
    )
    yield Directive(
        "TimeoutStopSec",
        f"{stop_s:g}",
        "Longer than stop_grace, so that photos in hand are finished and the ledger is closed.",
    )
    yield Directive(
        "KillMode", "mixed", "SIGTERM goes to the supervisor alone, which lets its workers finish."
    )
    yield Directive("OOMPolicy", "continue", "A worker that ran out of memory costs one photo an attempt.")


def _resources(installation: Installation) -> Iterator[Directive]:
    asked = installation.settings.service
    yield Directive(
        "Nice", "5", "Programs somebody looks at come first; workers yield further by themselves."
    )
    yield Directive(
        "CPUWeight", str(asked.cpu_weight), "Share of the processor when it is short (service.cpu_weight)."
    )
    yield Directive(
        "IOWeight", str(asked.io_weight), "Share of the disk when it is busy (service.io_weight)."
    )
    if asked.memory_high is not None:
        yield Directive(
            "MemoryHigh", str(asked.memory_high), "Above it memory is reclaimed (service.memory_high)."
        )
    if asked.memory_max is not None:
        yield Directive(
            "MemoryMax", str(asked.memory_max), "Above it a worker is killed (service.memory_max)."
        )


def _no_network(installation: Installation) -> Iterator[Directive]:
    """What works in user units too, because seccomp needs no privilege."""
    yield Directive(
        "NoNewPrivileges", "yes", "Nothing started from here gains rights, by setuid or otherwise."
    )
    yield _families(networked=bool(installation.settings.fleet.scheduler))
    yield from hardening()
    if not installation.accelerated:
        yield Directive(
            "MemoryDenyWriteExecute",
            "yes",
            "Decoded photos never become code. (Left out with accelerators, which compile at run time.)",
        )
    yield Directive("LimitCORE", "0", "A crash leaves no photo behind in a core dump.")
    yield Directive(
        "Environment",
        _word(f"{WRITABLE_VARIABLE}={os.pathsep.join(map(str, installation.writable))}")
        if installation.system
        else "PYTHONUNBUFFERED=1",
        "So that a reload can say which new folder this unit does not let it write to."
        if installation.system
        else "Log lines appear at once.",
    )


def _families(*, networked: bool) -> Directive:
    if networked:
        return Directive(
            "RestrictAddressFamilies",
            "AF_UNIX AF_INET AF_INET6",
            "The fleet's relay connects to its scheduler; the daemon and its workers give the network up themselves.",
        )
    return Directive(
        "RestrictAddressFamilies", "AF_UNIX", "No network: only local sockets, which speak to systemd itself."
    )


def hardening() -> Iterator[Directive]:
    """What no program of ours needs."""
    yield Directive(
        "SystemCallArchitectures", "native", "Other call numberings would slip past the two filters."
    )
    yield Directive("SystemCallFilter", "@system-service", "What ordinary services need, and nothing else.")
    yield Directive("SystemCallFilter", "~@aio", "Less io_uring, which could open sockets behind the filter.")
    yield Directive(
        "SystemCallFilter",
        "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
        "Plus what the daemon and its workers give up further rights with.",
    )
    yield Directive(
        "SystemCallErrorNumber", "EPERM", "A refused call is an error the program can report, not its death."
    )
    yield Directive("LockPersonality", "yes", "No switch to another call numbering or memory layout.")
    yield Directive("RestrictRealtime", "yes", "Never ahead of the whole machine.")
    yield Directive("RestrictSUIDSGID", "yes", "No files that lend rights to others.")
    yield Directive("RestrictNamespaces", "yes", "No containers inside, where filters could be undone.")


def _confinement(installation: Installation) -> Iterator[Directive]:
    """What needs a mount namespace or privileges: system units only, in user units it fails open."""
    yield Directive("User", installation.user or "", "Never root; it owns the state and the cutouts.")
    yield Directive("StateDirectory", "cutoutd", "The ledger: /var/lib/cutoutd.")
    yield Directive("StateDirectoryMode", "0700", "It holds the names of photos.")
    yield Directive("CacheDirectory", "cutoutd", "What can be made again: /var/cache/cutoutd.")
    yield Directive("CacheDirectoryMode", "0700", "Nobody else's business.")
    yield Directive(
        "UMask", "0027", "The group may read cutouts, others nothing (inbox.umask narrows further)."
    )
    yield Directive("ProtectSystem", "strict", "The whole file system is read-only, save for what follows.")
    if installation.writable:
        yield Directive(
            "ReadWritePaths",
            " ".join(_word(f"-{path}") for path in installation.writable),
            "Outboxes and after-care folders, and inboxes only if after-care moves originals. (The minus: one "
            "that is missing does not stop the others.)",
        )
    yield from _homes_and_tmp(installation)
    yield from _devices(installation)
    if not installation.settings.fleet.scheduler:
        yield from (Directive(*row) for row in _NO_NETWORK_TABLE)
    yield from system_hardening()


def system_hardening() -> Iterator[Directive]:
    """What no system service of ours needs."""
    yield from (Directive(*row) for row in _SYSTEM_TABLE)


def _homes_and_tmp(installation: Installation) -> Iterator[Directive]:
    used = [*installation.folders, Path(installation.program[0])]
    if any(_below(path, "/home", "/root", "/run/user") for path in used):
        yield Directive(
            "ProtectHome",
            "read-only",
            "A folder or the program itself lies in a home, so homes stay readable.",
        )
    else:
        yield Directive("ProtectHome", "yes", "Homes are invisible: nothing configured lies there.")
    if any(_below(path, "/tmp", "/var/tmp") for path in used):  # noqa: S108 - compared, not used
        return
    yield Directive("PrivateTmp", "yes", "Its own /tmp, seen by nobody and gone with it.")


def _devices(installation: Installation) -> Iterator[Directive]:
    if installation.accelerated:
        yield Directive("PrivateDevices", "no", "The accelerator (engine.providers) is a device.")
        return
    yield Directive("PrivateDevices", "yes", "No disks, cameras or microphones: only /dev/null and its like.")
    yield Directive("DevicePolicy", "closed", "The same once more, by the control group.")


_NO_NETWORK_TABLE = (
    ("PrivateNetwork", "yes", "No network interface at all but an empty loopback."),
    ("IPAddressDeny", "any", "And no packet either way."),
)
_SYSTEM_TABLE = (
    ("CapabilityBoundingSet", "", "No privilege of root, ever."),
    ("AmbientCapabilities", "", "None handed down."),
    ("PrivateUsers", "yes", "Other users of this machine do not exist for it."),
    ("ProtectProc", "invisible", "Other users' processes are not listed."),
    ("ProtectClock", "yes", "The clock is not its business."),
    ("ProtectHostname", "yes", "Nor is the machine's name."),
    ("ProtectKernelLogs", "yes", "Nor the kernel's log."),
    ("ProtectKernelModules", "yes", "Nor its modules."),
    ("ProtectKernelTunables", "yes", "Kernel settings can be read (the inotify limits are), not changed."),
    ("ProtectControlGroups", "yes", "Nor can the control groups be changed."),
    ("RemoveIPC", "yes", "No shared memory stays behind."),
    ("KeyringMode", "private", "No kernel keys of others."),
)  # fmt: skip


def exec_start(installation: Installation, word: str) -> Directive:
    """What is started: this program with a command's word."""
    command = [*installation.program, word]
    if installation.config is not None:
        command += ["--config", str(installation.config)]
    return Directive("ExecStart", command_line(command), "The program that installed this.")


def no_vain_restarts() -> Iterator[Directive]:
    """When it is not started again, and how soon it is otherwise."""
    yield Directive("RestartSec", "5", "A pause, so that a failing disk is not hammered.")
    yield Directive(
        "RestartPreventExitStatus",
        "2 4 5",
        "Usage error, wrong configuration, second process: trying again changes nothing.",
    )


def install_section(installation: Installation) -> Iterator[Directive]:
    """When it is started."""
    target = "multi-user.target" if installation.system else "default.target"
    when = "the machine" if installation.system else "your session (or the machine, with lingering)"
    yield Directive("WantedBy", target, f"Starts with {when}.")


def writable_paths(settings: Settings, trash: Iterable[Path] = ()) -> tuple[Path, ...]:
    """The folders a daemon with these settings changes, state and cache excepted.

    An inbox is among them only if after-care moves originals out of it. `trash` are the folders that
    trashing would need.
    """
    paths: list[Path] = []
    for inbox in settings.inbox:
        paths.append(inbox.outbox)
        after = inbox.after
        if after.action != "keep" or after.failed is not None:
            paths.append(inbox.path)
        if after.action == "archive" and after.archive is not None:
            paths.append(after.archive)
        if after.failed is not None:
            paths.append(after.failed)
        if after.action == "trash":
            paths += trash
    if settings.metrics.textfile is not None:
        paths.append(settings.metrics.textfile.parent)
    return tuple(dict.fromkeys(paths))


def check_unit_allows(settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """For a reload: the unit this daemon runs in must let it write where the new settings ask it to.

    Raises:
        ConfigError: a folder is outside; the sentence names it and the command that widens the unit.
    """
    allowed = environ.get(WRITABLE_VARIABLE)
    if allowed is None:
        return  # not a system unit, which is what can confine
    granted = [Path(path) for path in allowed.split(os.pathsep) if path]
    outside = [path for path in writable_paths(settings) if not any(is_inside(path, top) for top in granted)]
    if outside:
        names = ", ".join(printable(path) for path in outside)
        raise ConfigError(
            f"the system service may not write to {names}: its unit was made for other folders",
            fix=f"Run `{_WIDEN}` (with the same --config and --as as before); it renews the unit and restarts.",
        )


def _below(path: Path, *folders: str) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def path_list(paths: Iterable[Path]) -> str:
    """Folders as one directive takes them; the minus: one that is missing does not stop the others."""
    return " ".join(_word(f"-{path}") for path in paths)


def _word(text: str) -> str:
    """One word of a unit file: quoted where needed, specifiers taken literally."""
    refuse_control_characters(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    escaped = escaped.replace("\n", "\\n").replace("\t", "\\t")
    return escaped if re.fullmatch(r"[\w@%+=:,./$-]+", escaped) else f'"{escaped}"'


def command_line(command: Iterable[str]) -> str:
    """A command as `ExecStart` wants it."""
    return " ".join(_argument(part) for part in command)


def _argument(text: str) -> str:
    """One word of a command line, where a dollar sign would name a variable."""
    return _word(text.replace("$", "$$"))
