"""The units of a fleet's scheduler and of a node as text; the daemon's own is written elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cutoutd.service.managers.systemd_unit import (
    STOP_MARGIN_S,
    Directive,
    Installation,
    command_line,
    hardening,
    install_section,
    no_vain_restarts,
    path_list,
    rendered,
    system_hardening,
)

# A node waits so long for photos in hand (`daemon/fleet/node.py`, Places).
_NODE_GRACE_S = 30


def scheduler_unit_text(installation: Installation) -> str:
    """The scheduler's whole unit file."""
    command = [*installation.program, "fleet", "scheduler"]
    if installation.config is not None:
        command += ["--config", str(installation.config)]
    service = [
        *_life(command, stop_s=STOP_MARGIN_S),
        Directive("NoNewPrivileges", "yes", "Nothing started from here gains rights."),
        Directive("MemoryDenyWriteExecute", "yes", "Nothing that it is sent becomes machine code."),
        *_own(installation),
    ]
    return _text("cutoutd, scheduler of a fleet", installation, service)


def node_unit_text(installation: Installation, folder: Path) -> str:
    """A node's whole unit file; `installation.writable` are the outboxes here."""
    command = [*installation.program, "fleet", "node", "--from", str(folder)]
    service = [
        *_life(command, stop_s=_NODE_GRACE_S + STOP_MARGIN_S),
        Directive("NoNewPrivileges", "yes", "Nothing started from here gains rights."),
        Directive("OOMPolicy", "continue", "A worker that ran out of memory costs one photo an attempt."),
        Directive("Nice", "5", "Programs somebody looks at come first; workers yield further by themselves."),
        *_own(installation),
    ]
    return _text("cutoutd, node of a fleet", installation, service)


def _text(title: str, installation: Installation, service: list[Directive]) -> str:
    unit = [
        Directive("Description", title, "What `systemctl status` calls it."),
        Directive(
            "After",
            "network-online.target remote-fs.target",
            "Only an order, no condition: it connects again and again, and waits for its shares.",
        ),
    ]
    return rendered({"Unit": unit, "Service": service, "Install": install_section(installation)})


def _life(command: list[str], *, stop_s: float) -> Iterator[Directive]:
    yield Directive("Type", "exec", "Started means: the program runs.")
    yield Directive("ExecStart", command_line(command), "The program that installed this.")
    yield Directive(
        "Restart", "always", "It comes back whatever ended it; the head gives what was in hand out again."
    )
    yield from no_vain_restarts()
    yield Directive("TimeoutStopSec", f"{stop_s:g}", "Time to finish what is in hand.")
    yield Directive("KillMode", "mixed", "SIGTERM goes to the main process alone; at the end all are killed.")


def _own(installation: Installation) -> Iterator[Directive]:
    yield Directive(
        "RestrictAddressFamilies",
        "AF_UNIX AF_INET AF_INET6",
        "The fleet's connections; workers, which open photos, give up every socket.",
    )
    yield from hardening()
    yield Directive("LimitCORE", "0", "A crash leaves no photo behind in a core dump.")
    if not installation.system:
        yield Directive("Environment", "PYTHONUNBUFFERED=1", "Log lines appear at once.")
        return
    yield Directive("User", installation.user or "", "Never root.")
    yield Directive("StateDirectory", "cutoutd", "What it keeps while it runs: /var/lib/cutoutd.")
    yield Directive("StateDirectoryMode", "0700", "Nobody else's business.")
    yield Directive("CacheDirectory", "cutoutd", "What can be made again: /var/cache/cutoutd.")
    yield Directive("CacheDirectoryMode", "0700", "Nobody else's business.")
    yield Directive("ProtectSystem", "strict", "The whole file system is read-only, save for what follows.")
    if installation.writable:
        yield Directive("ReadWritePaths", path_list(installation.writable), "The outboxes, and nothing else.")
    yield from system_hardening()
