"""Is the daemon taking up photos? One answer for health checks of containers and monitors; it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cutoutd.config.version import VERSION
from cutoutd.daemon.live_status import DaemonState

# Paused and waiting are what was ordered (a command, a load limit, the battery), unless more is said of it below.
_SOUND = frozenset({DaemonState.IDLE, DaemonState.WORKING, DaemonState.PAUSED, DaemonState.WAITING})


def unhealthy(facts: Mapping[str, Any], proc: Path = Path("/proc")) -> str:
    """Why photos are not taken up, as one sentence; empty when they are.

    Args:
        facts: what `status --json` shows.
        proc: where the kernel tells of processes; where it does not, a suspended daemon goes unnoticed.
    """
    if not facts["running"]:
        return "The daemon is not running; `cutoutd run` starts it."
    if _suspended(proc / str(facts.get("pid")) / "stat"):
        return "The daemon is suspended (SIGSTOP); SIGCONT lets it go on."
    if facts["state"] not in _SOUND:
        return f"The daemon is {facts['state']}."
    if facts.get("self_test"):
        why = facts["self_test"].rstrip(".")
        return (
            f"Even the built-in test photo cannot be processed ({why}); `cutoutd doctor` looks for the cause."
        )
    troubled = [f"{one['path']}: {one['trouble']}" for one in facts.get("inboxes", ()) if one["trouble"]]
    return f"Photos are not taken up everywhere. {'; '.join(troubled)}" if troubled else ""


def in_order(facts: Mapping[str, Any]) -> str:
    """What is said of a daemon that `unhealthy` has nothing against, as one sentence."""
    if facts["state"] in (DaemonState.PAUSED, DaemonState.WAITING):
        return f"No new photo is started, as was ordered: {(facts.get('why') or facts['state']).rstrip('.')}."
    return "Photos are taken up."


def concerns(facts: Mapping[str, Any]) -> Iterator[str]:
    """What whoever looks at a daemon should know before all else, a sentence each."""
    if facts.get("why"):
        yield facts["why"]
    if facts.get("mistake"):
        yield facts["mistake"]
    if facts.get("version", VERSION) != VERSION:
        old = f"version {facts['version']}" if facts["version"] else "an earlier version"
        yield f"It still runs {old} of cutoutd; {VERSION} is installed. `cutoutd service restart`, or start it anew."
    if facts.get("config_refused"):
        yield f"The new config is not used; the old one stays in force. {facts['config_refused']}"


def _suspended(stat: Path) -> bool:
    try:
        # The program's name in brackets may hold anything; the state is the first word behind it.
        return stat.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[-1].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False
