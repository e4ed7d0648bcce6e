"""The unit of `cutoutd hooks` as text; the daemon's own, which has no network, is written elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from cutoutd.service.managers.systemd_unit import (
    STOP_MARGIN_S,
    Directive,
    Installation,
    exec_start,
    install_section,
    no_vain_restarts,
    rendered,
)


def hooks_unit_text(installation: Installation) -> str:
    """The whole unit file."""
    return rendered(
        {
            "Unit": _unit(),
            "Service": _service(installation),
            "Install": install_section(installation),
        }
    )


def _unit() -> Iterator[Directive]:
    yield Directive("Description", "cutoutd, commands after cutouts", "What `systemctl status` calls it.")
    yield Directive(
        "After",
        "cutoutd.service network-online.target",
        "Only an order, no condition: what the daemon did meanwhile stands in the ledger, and nothing is missed.",
    )


def _service(installation: Installation) -> Iterator[Directive]:
    stop_s = installation.settings.stop_grace + STOP_MARGIN_S
    yield Directive("Type", "exec", "Started means: the program runs.")
    yield exec_start(installation, "hooks")
    yield Directive(
        "Restart", "always", "It comes back whatever ended it; what was under way is done once more."
    )
    yield from no_vain_restarts()
    yield Directive(
        "TimeoutStopSec", f"{stop_s:g}", "Longer than stop_grace, so that commands that run are finished."
    )
    yield Directive(
        "KillMode",
        "mixed",
        "SIGTERM goes to cutoutd alone, which lets its commands finish; then all are ended.",
    )
    yield Directive("Nice", "10", "Photos come first.")
    yield Directive(
        "NoNewPrivileges",
        "yes",
        "Commands gain no rights by setuid. The network is theirs: that is what for.",
    )
    yield Directive("RestrictSUIDSGID", "yes", "No files that lend rights to others.")
    yield Directive("LockPersonality", "yes", "No switch to another call numbering or memory layout.")
    yield Directive("LimitCORE", "0", "A crash leaves no names of photos behind in a core dump.")
    if installation.system:
        yield Directive("User", installation.user or "", "The daemon's own: the ledger belongs to it.")
        yield Directive("StateDirectory", "cutoutd", "The ledger: /var/lib/cutoutd.")
        yield Directive("StateDirectoryMode", "0700", "It holds the names of photos.")
        yield Directive("ProtectSystem", "full", "The system's own folders are read-only.")
    else:
        yield Directive("Environment", "PYTHONUNBUFFERED=1", "Log lines appear at once.")
