"""Which service manager this machine has."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from cutoutd.config import places
from cutoutd.config.errors import ServiceError, printable
from cutoutd.config.load import Loaded
from cutoutd.config.settings import Settings
from cutoutd.service.managers.manager import Role, Runner, ServiceManager


def manager_for(
    loaded: Loaded,
    *,
    system: bool,
    user: str | None = None,
    program: tuple[str, ...] = (),
    needed: bool = True,
    role: Role = Role.DAEMON,
    node: Path | None = None,
) -> ServiceManager:
    """The service manager of this platform.

    Args:
        loaded: the configuration the service would run with.
        system: the machine's service instead of the user's.
        user: who a system service runs as.
        program: what the service would run; only `files` and `install` need it.
        role: which program it is to look after.
        node: the folder of a node's certificates, for that role.
        needed: False when the manager is only asked what it would write.

    Raises:
        ServiceError: there is none, or it has no system services for us.
    """
    if sys.platform == "darwin":
        if role in (Role.SCHEDULER, Role.NODE):
            raise ServiceError("a fleet's parts are services on Linux only", fix="Run them in a terminal.")
        from cutoutd.service.managers.launchd import LaunchAgent

        if system:
            raise ServiceError(
                "on macOS cutoutd runs as your own agent only", fix="Leave --system out: photos are yours."
            )
        return LaunchAgent(loaded, program, role=role)
    if needed and not systemd_runs():
        raise ServiceError(
            "systemd does not run this machine", fix=_without_systemd(role, node, system=system)
        )
    from cutoutd.service.managers.systemd import SystemService, UserService

    if system:
        return SystemService(loaded, program, Runner(), user=user, role=role, node=node)
    return UserService(loaded, program, Runner(), role=role, node=node)


def _without_systemd(role: Role, node: Path | None, *, system: bool) -> str:
    folder = (
        "" if role is not Role.NODE else f" --from {'DIR' if node is None else shlex.quote(printable(node))}"
    )
    install = f"service install{' --system' if system else ''}{role.option}{folder} --print"
    return (
        f"Have your own service manager start `cutoutd {role.command}{folder}`; `cutoutd {install}` shows what "
        "systemd would be told."
    )


def systemd_runs() -> bool:
    """Whether systemd is this machine's first process, as sd_booted(3) tests it."""
    return Path("/run/systemd/system").is_dir()


def any_settings() -> Loaded:
    """Stopping and removing must work with a broken configuration too, for they do not depend on it."""
    return Loaded(
        Settings.model_validate({"inbox": [{"path": "/", "outbox": "/"}]}), places.SYSTEM_CONFIG, ""
    )
