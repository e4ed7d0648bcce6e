"""`cutoutd presets`: the ready sets of output options, what they stand for, and which rule each follows."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import asdict
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cutoutd.config.errors import UsageError, json_lines, printable
from cutoutd.config.load import load_settings
from cutoutd.config.presets import builtin, expand, pack_about, packs
from cutoutd.service.cli.config import config_option
from cutoutd.service.text import said, screen


class Row(Struct, frozen=True):
    """One preset or pack.

    Attributes:
        kind: "preset", "pack", or "yours" for one from the configuration.
        options: what it expands to, presets that it builds on worked in; empty for a pack.
        presets: what a pack stands for; empty for a preset.
        rule: the rule it follows, in our own words; `source` is the page that has the last word.
    """

    name: str
    kind: str
    about: str
    options: Mapping[str, Any]
    presets: tuple[str, ...] = ()
    rule: str = ""
    source: str = ""


def _names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in (*builtin(), *packs()) if name.startswith(incomplete)]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME…]", shell_complete=_names)
@config_option
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def presets(names: tuple[str, ...], config_file: Path | None, as_json: bool) -> None:
    """Ready sets of output options; with NAMES only those, with the rule each follows and where it is stated.

    Use one with `cutoutd once --preset NAME`, or in the configuration as `preset = "NAME"`. Options given
    beside it win. Your own `[preset.NAME]` tables are listed too.
    """
    rows = chosen(all_rows(load_settings(config_file).settings.preset), names)
    if as_json:
        click.echo(json_lines([asdict(row) for row in rows]))
        return
    screen().print(details(rows) if names else overview(rows))
    if not names:
        click.echo("\n`cutoutd presets NAME` shows the rule behind a preset and the page that states it.")


def all_rows(own: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Every preset and pack: the user's own first, since they win over built-in ones of their name."""
    rows = [Row(name, "yours", "From your configuration", _expanded(name, own)) for name in own]
    rows += [
        Row(name, "preset", one.about, _expanded(name, {}), rule=one.rule, source=one.source)
        for name, one in builtin().items()
        if name not in own
    ]
    rows += [Row(name, "pack", pack_about(name), {}, presets=names) for name, names in packs().items()]
    return rows


def _expanded(name: str, own: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in expand({"preset": name}, own).items() if key != "preset"}


def chosen(rows: list[Row], names: tuple[str, ...]) -> list[Row]:
    """The rows with these names, in their order; all rows without names.

    Raises:
        UsageError: a name that does not exist, with the nearest one.
    """
    known = {row.name: row for row in rows}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            fix = f"Did you mean {near[0]!r}?" if near else f"These exist: {', '.join(known)}."
            raise UsageError(f"There is no preset {name!r}", fix=fix)
    return [known[name] for name in names] if names else rows


def options_text(row: Row) -> str:
    """What a row stands for, as it would be written in the configuration."""
    if row.presets:
        return ", ".join(row.presets)
    return ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in row.options.items())


def overview(rows: list[Row]) -> Table:
    """All of them at a glance."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("preset", no_wrap=True)
    table.add_column("for")
    table.add_column("stands for")
    for row in rows:
        name = row.name if row.kind == "preset" else f"{row.name} ({row.kind})"
        table.add_row(said(name, style="bold"), said(row.about), said(options_text(row), style="cyan"))
    return table


def details(rows: list[Row]) -> Group:
    """Each with its rule and the page that states it."""
    parts: list[Any] = []
    for row in rows:
        parts.append(said(row.name, style="bold"))
        lines = [row.about, options_text(row), *filter(None, (row.rule, row.source))]
        parts += [Padding(Text(printable(line), overflow="fold"), (0, 0, 0, 2)) for line in lines]
    return Group(*parts)
