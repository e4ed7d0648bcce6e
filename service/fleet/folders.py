"""A fleet's folders on the head: its own, and one for each node to be copied there; it starts nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cutoutd.config import places
from cutoutd.config.describe import toml_text
from cutoutd.config.errors import UsageError, printable
from cutoutd.config.fleet import NAME_PATTERN, NODE_FILE, NODES_FOLDER, scheduler_address
from cutoutd.config.settings import Settings
from cutoutd.daemon.fleet.roles import Role
from cutoutd.service.fleet.certificates import authority, issue


def make(
    folder: Path, nodes: Sequence[str], settings: Settings, scheduler: str, *, renew: bool = False
) -> list[Path]:
    """Writes the authority, the head's certificate, and a folder below `nodes/` for each node.

    Args:
        folder: of the fleet; private.
        nodes: their names.
        settings: the head's, whose folders nodes must see.
        scheduler: its address.
        renew: new certificates also where there is one.

    Returns:
        The folders of these nodes.

    Raises:
        UsageError: a name or the address will not do.
        ConfigError: what is there already cannot be read.
    """
    try:
        scheduler_address(scheduler)
    except ValueError as error:
        raise UsageError(str(error)) from error
    for name in nodes:
        if not re.fullmatch(NAME_PATTERN, name):
            raise UsageError(
                f'"{printable(name)}" will not do as a name: small letters, digits and dashes do'
            )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    by = authority(folder)
    host = urlsplit(scheduler).hostname or ""
    if renew or not (folder / "head.pem").exists():
        issue(folder, by, Role.HEAD, "head", hosts=(host,) if host else ())
    written: list[Path] = []
    for name in dict.fromkeys(nodes):
        own = folder / NODES_FOLDER / name
        if renew or not (own / "node.pem").exists():
            issue(own, by, Role.NODE, name)
        file = own / NODE_FILE
        if not file.exists():
            file.write_text(node_text(name, scheduler, settings), encoding="utf-8")
            file.chmod(0o600)
        written.append(own)
    return written


def node_text(name: str, scheduler: str, settings: Settings) -> str:
    """A node's file, with the head's folders at the same places."""
    lines = [
        f"# The node {name}: what it belongs to, and what it may read and write. Copy the whole folder to it.",
        f"name = {toml_text(name)}",
        f"scheduler = {toml_text(scheduler)}",
        "#slots = 0  # photos at once; 0 means one per core, but no more than RAM / 2 GB",
        "",
        '# The shared folders: "head" is the path there, "here" where this machine has mounted the same.',
    ]
    for path, write in shared_folders(settings).items():
        lines += ["[[folder]]", f"head = {toml_text(str(path))}", f"here = {toml_text(str(path))}"]
        lines += ["write = true", ""] if write else [""]
    return "\n".join(lines)


def shared_folders(settings: Settings) -> dict[Path, bool]:
    """Every folder of the head's that nodes must see, and whether they write there."""
    found: dict[Path, bool] = {}
    for inbox in settings.inbox:
        found.setdefault(inbox.path, False)
        found[inbox.outbox] = True
        for folder in (inbox.after.archive, inbox.after.failed):
            if folder is not None:
                found.setdefault(folder, False)
        for order in inbox.any_deliverables():
            if order.background_path is not None:
                found.setdefault(order.background_path.parent, False)
    return found


def instructions(
    folder: Path, written: Sequence[Path], scheduler: str, settings: Settings, config: Path
) -> list[str]:
    """What to do next, line by line."""
    lines = [f"The fleet's certificates lie in {printable(folder)}. Keep ca.key there: who has it can join."]
    if settings.fleet.scheduler != scheduler or settings.fleet.certificates != folder:
        line = _line_of_table(config)
        where = (
            f"Add to {printable(config)}"
            if line is None
            else f"Put into {printable(config)} below its line {line}"
        )
        other = "" if config == places.config_path() else f" --config {printable(config)}"
        lines += [
            "",
            f"{where}, and restart the daemon:",
            "",
            "[fleet]" if line is None else f"[fleet]  # is there already, in line {line}",
            f"scheduler = {toml_text(scheduler)}",
            f"certificates = {toml_text(str(folder))}",
            "",
            f"Run the scheduler on this machine: cutoutd fleet scheduler{other}",
        ]
    for own in written:
        lines += [
            "",
            f"Copy to {own.name}, then look through {NODE_FILE} there:",
            f"  scp -rp {own} {own.name}:cutoutd-node",
            f"On {own.name}: cutoutd fleet node --from cutoutd-node",
        ]
    if not written:
        lines += ["", "No node was named: `cutoutd fleet init NAME...` makes a folder for each."]
    return lines


def _line_of_table(config: Path) -> int | None:
    """Where a configuration has [fleet] already, as the one that `cutoutd init` writes; a second would be refused."""
    try:
        lines = config.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next(
        (number for number, line in enumerate(lines, 1) if line.split("#")[0].strip() == "[fleet]"), None
    )
