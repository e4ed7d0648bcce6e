"""`cutoutd service …`: the commands around systemd and launchd; the managers do the work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
from msgspec.structs import asdict

from cutoutd.config import places
from cutoutd.config.errors import ExitCode, UsageError, printable
from cutoutd.config.fleet import NODE_FILE, load_node
from cutoutd.config.load import Loaded, load_settings
from cutoutd.config.typed_paths import typed_path
from cutoutd.service.cli.config import config_option
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.managers.choice import any_settings, manager_for
from cutoutd.service.managers.manager import Role, ServiceManager, entry_point

_role_option = click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.DAEMON.value,
    show_default=True,
    help="Which program: the daemon; `cutoutd hooks`, which runs your commands after cutouts; or a fleet's scheduler "
    "or node.",
)
_system_option = click.option(
    "--system", is_flag=True, help="The hardened service of the machine instead of this user's."
)


@click.group("service")
def service() -> None:
    """Have systemd (Linux) or launchd (macOS) run cutoutd."""


@service.command("install", short_help="Install, enable, start it; or renew it.")
@config_option
@_system_option
@_role_option
@click.option(
    "--as", "user", metavar="USER", help="With --system: run as this user instead of one of its own."
)
@click.option(
    "--print", "only_print", is_flag=True, help="Show the files that would be written; write nothing."
)
@click.option("--start/--no-start", default=True, help="Start it at once (the default).")
@click.option(
    "--from",
    "node",
    type=PathType(path_type=Path, file_okay=False),
    help="With --role node: the node's folder, as `cutoutd fleet init` made it.",
)
def install(
    config_file: Path | None,
    system: bool,
    role: str,
    user: str | None,
    only_print: bool,
    start: bool,
    node: Path | None,
) -> None:
    """Install, enable and start the service; running it again renews it."""
    if (role == Role.NODE) != (node is not None):
        raise UsageError("--role node and --from DIR go together")
    if node is not None:
        node = typed_path(node)
        load_node(node / NODE_FILE)
    if user is not None and not system:
        raise UsageError("--as goes with --system: your own service runs as you")
    loaded = _loaded(config_file, system=system)
    if role == Role.HOOKS and not loaded.settings.hook:
        raise UsageError("the configuration has no hook", loaded.path, "Add a [[hook]] first.")
    if role == Role.SCHEDULER and not loaded.settings.fleet.scheduler:
        raise UsageError(
            "the configuration has no [fleet]", loaded.path, "`cutoutd fleet init` says what to add."
        )
    manager = manager_for(
        loaded,
        system=system,
        user=user,
        program=entry_point(),
        needed=not only_print,
        role=Role(role),
        node=node,
    )
    if only_print:
        for planned in manager.files():
            click.echo(f"# {printable(planned.path)}\n{planned.text}")
        return
    _tell(manager.install(start=start))


@service.command("uninstall", short_help="Stop and remove it; photos and ledger stay.")
@_system_option
@_role_option
@click.option("--print", "only_print", is_flag=True, help="Show what would be removed; remove nothing.")
def uninstall(system: bool, role: str, only_print: bool) -> None:
    """Stop and remove the service; photos, configuration and ledger stay."""
    manager = manager_for(any_settings(), system=system, role=Role(role))
    if only_print:
        click.echo(f"would stop the {manager.name} and remove {printable(manager.installed_path)}")
        return
    _tell(manager.uninstall())


def _order(name: str, act: Callable[[ServiceManager], None], text: str) -> None:
    """Add `start`, `stop` and `restart`, which differ in nothing but the verb."""

    @service.command(name, help=text, short_help=text.partition(";")[0].rstrip(".") + ".")
    @_system_option
    @_role_option
    def command(system: bool, role: str) -> None:
        manager = manager_for(any_settings(), system=system, role=Role(role))
        act(manager)
        click.echo(f"{manager.name}: {manager.state().state}")

    del command


_order("start", lambda manager: manager.start(), "Start the installed service.")
_order(
    "stop",
    lambda manager: manager.stop(),
    "Stop it; photos in hand are finished, the rest is done after the next start.",
)
_order("restart", lambda manager: manager.restart(), "Stop and start it.")


@service.command("status", short_help="Running or not; exit code 11: not.")
@_system_option
@_role_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(system: bool, role: str, as_json: bool) -> None:
    """Say whether the service is installed and running; exit code 11 when it is not running."""
    manager = manager_for(any_settings(), system=system, role=Role(role))
    state = manager.state()
    if as_json:
        click.echo(json.dumps({"manager": manager.name, **asdict(state)}, indent=2))
    else:
        click.echo(f"{manager.name}: {state.state}")
        if not state.installed:
            click.echo("  not installed; `cutoutd service install` does it")
        rows = {
            "says": state.text,
            "since": state.since,
            "process": state.pid or "",
            "restarts": state.restarts or "",
            "at start": "" if not state.installed else "yes" if state.enabled else "no",
        }
        for name, value in rows.items():
            if value:
                click.echo(f"  {name}: {value}")
    if not state.running:
        raise SystemExit(ExitCode.SERVICE)


@service.command("logs")
@_system_option
@_role_option
@click.option("--lines", "-n", default=50, show_default=True, help="How many of the last lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on showing new lines.")
def logs(system: bool, role: str, lines: int, follow: bool) -> None:
    """Show the service's log."""
    code = manager_for(any_settings(), system=system, role=Role(role)).logs(lines, follow=follow)
    if code != 0:
        raise SystemExit(ExitCode.SERVICE)


def _loaded(config_file: Path | None, *, system: bool) -> Loaded:
    """A system service reads the machine's configuration, not that of the administrator who installs it."""
    if config_file is None and system and places.SYSTEM_CONFIG.is_file():
        return load_settings(places.SYSTEM_CONFIG)
    return load_settings(config_file)


def _tell(sentences: list[str]) -> None:
    for sentence in sentences:
        click.echo(sentence)
