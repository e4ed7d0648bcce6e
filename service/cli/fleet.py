"""`cutoutd fleet …`: certificates, the scheduler, a node, and how they stand; Dask is imported by none but the two."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cutoutd.config import places
from cutoutd.config.errors import ConfigError, EngineError, UsageError
from cutoutd.config.fleet import DEFAULT_PORT
from cutoutd.config.installing import pip_install
from cutoutd.config.load import Loaded, load_settings
from cutoutd.config.typed_paths import typed_path
from cutoutd.service.cli.config import config_option
from cutoutd.service.cli.control import json_option
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.text import counted, tell


@click.group("fleet")
def fleet() -> None:
    """Several machines beside one storage work as one; docs/FLEET.md leads from one machine to three."""


@fleet.command("init", short_help="Certificates for this machine and the others.")
@click.argument("nodes", nargs=-1, metavar="NODE...")
@config_option
@click.option(
    "--dir",
    "folder",
    type=PathType(path_type=Path, file_okay=False),
    help="Where to put it; unset, `fleet` beside the configuration.",
)
@click.option(
    "--scheduler",
    metavar="tls://HOST:PORT",
    help="How nodes reach the scheduler; unset, [fleet] says, or this machine's name.",
)
@click.option("--renew", is_flag=True, help="New certificates also for machines that have one.")
def init(
    nodes: tuple[str, ...], config_file: Path | None, folder: Path | None, scheduler: str | None, renew: bool
) -> None:
    """Make the fleet's own certificates: for this machine, the head, and for each NODE.

    Running it again with further names adds nodes.
    """
    made = _maker()
    loaded = load_settings(config_file)
    base = loaded.path or places.config_path()
    folder = typed_path(folder or loaded.settings.fleet.certificates or base.parent / "fleet")
    address = scheduler or loaded.settings.fleet.scheduler or f"tls://{socket.gethostname()}:{DEFAULT_PORT}"
    written = made.make(folder, nodes, loaded.settings, address, renew=renew)
    for line in made.instructions(folder, written, address, loaded.settings, base):
        click.echo(line)


def _maker() -> Any:
    try:
        from cutoutd.service.fleet import folders
    except ImportError as error:
        fix = f"Run `{pip_install('distributed', 'cryptography')}`."
        raise EngineError(f"a fleet needs the package cryptography ({error})", fix=fix) from error
    return folders


@fleet.command("scheduler", short_help="Tell nodes what the head orders.")
@config_option
@click.option("--listen", default="", metavar="ADDRESS", help="Listen on this address only; unset, on all.")
def scheduler(config_file: Path | None, listen: str) -> None:
    """Run the scheduler, which tells nodes what the head orders; no photo passes it."""
    from cutoutd.daemon.fleet.confining import confine
    from cutoutd.daemon.fleet.scheduler import serve

    address, certificates = _configured(load_settings(config_file))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    scratch = places.state_dir() / "scheduler"
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(scratch)
    confine(certificates, own=[scratch])
    asyncio.run(serve(address, certificates, scratch, listen=listen))


def _configured(loaded: Loaded) -> tuple[str, Path]:
    asked = loaded.settings.fleet
    if not asked.scheduler or asked.certificates is None:
        raise ConfigError(
            "the configuration has no [fleet]", loaded.path, "`cutoutd fleet init` says what to add."
        )
    return asked.scheduler, asked.certificates


@fleet.command("node", short_help="Work for the head of a fleet, until stopped.")
@click.option(
    "--from",
    "folder",
    type=PathType(path_type=Path, file_okay=False),
    help="The node's folder, as `cutoutd fleet init` made it; unset, `node` beside the configuration.",
)
@click.option(
    "--slots", type=click.IntRange(0, 256), default=0, help="Photos at once; 0 as its node.toml says."
)
def node(folder: Path | None, slots: int) -> None:
    """Work for the head of a fleet, until stopped; what is in hand is finished first."""
    from cutoutd.daemon.fleet.node_process import keep

    folder = typed_path(folder or places.config_path().parent / "node")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    os.umask(0o077)
    code = keep(folder, slots, places.state_dir() / "node", places.models_dir(), places.cache_dir())
    raise SystemExit(code)


@fleet.command("status", short_help="Nodes, their slots and pace, who is missing.")
@json_option
def status(as_json: bool) -> None:
    """Nodes, their slots and pace, and who is missing; asks the daemon of this machine, which is the head."""
    from cutoutd.service.cli.status import collect_status

    facts = collect_status()
    found: dict[str, Any] | None = facts.get("fleet")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not facts["running"]:
        raise UsageError("the daemon is not running", fix="Start it; `cutoutd status` says how.")
    if found is None:
        raise UsageError("the daemon works alone", fix="`cutoutd fleet init` says how to begin.")
    show(found, Console(soft_wrap=True, highlight=False))


def show(found: dict[str, Any], console: Console) -> None:
    """Draws how the fleet stands."""
    from cutoutd.daemon.fleet.node_slots import MISSING
    from cutoutd.daemon.fleet.slots import EXPIRES_SOON_S

    if found["trouble"]:
        tell(console, f"! {found['scheduler']}: {found['trouble']}", "yellow")
    else:
        tell(console, f"● {found['scheduler']}", "green")
    models = ", ".join(f"{name} {sha256[:12]}" for name, sha256 in found["models"].items())
    tell(console, f"  all that are ready run cutoutd {found['version']} with {models}", "dim")
    for one in found["nodes"]:
        ready = one["state"] == "ready"
        line = f"{'●' if ready else '!'} {one['name']}  {one['state']}"
        if ready:
            line += f"  {one['busy']} of {counted(one['slots'], 'slot')} busy, {one['photos_per_minute']} photos/min"
        if one["state"] == MISSING:
            line += (
                f" since {_day(one['missing_since'])}"
                if one["missing_since"]
                else ": not seen since the start"
            )
        tell(console, line, "green" if ready else "yellow")
        expires = one["certificate_expires"]
        notes = [
            one["why"],
            f"not confined there: {one['unconfined']}" if one["unconfined"] else "",
            _rounding(found["proofs"], one["proofs"]),
            f"its certificate expires on {_day(expires).partition(' ')[0]}: `cutoutd fleet init --renew`"
            if expires and expires < time.time() + EXPIRES_SOON_S
            else "",
        ]
        for note in filter(None, notes):
            tell(console, f"  {note}", "yellow")
    if all(one["state"] == MISSING for one in found["nodes"]):
        tell(console, "No node is connected: `cutoutd fleet node` on another machine joins.", "dim")


def _day(at: float) -> str:
    """A moment in wall-clock seconds, as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _rounding(head: dict[str, str], node: dict[str, str]) -> str:
    """Whether the same photo may give other bytes there."""
    other = sorted(name for name, proof in node.items() if head.get(name) not in (None, "", proof))
    if not other:
        return ""
    names = ", ".join(other)
    return f"its processor rounds differently with {names}: single bits of cutouts may differ (docs/FLEET.md)"
