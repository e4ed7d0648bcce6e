"""`cutoutd review`: delivered cutouts that somebody should look at, and why; it changes nothing."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

from cutoutd.config.places import state_dir
from cutoutd.daemon.ledger.control import Control
from cutoutd.daemon.ledger.database import LEDGER_NAME
from cutoutd.service.cli.control import json_option, open_ledger_file
from cutoutd.service.cli.status import row_dict
from cutoutd.service.text import said


@click.command()
@json_option
def review(as_json: bool) -> None:
    """Cutouts that were delivered with doubt, how sure their network was, and what made it unsure.

    Of each ten that are wrong it names seven or eight, and of ten that are right one or two.
    """
    rows: list[dict[str, Any]] = []
    if (state_dir() / LEDGER_NAME).exists():
        with open_ledger_file() as ledger:
            control = Control(ledger)
            rows = [row_dict(row, control) for row in control.to_review()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("No cutout needs a look.")
        return
    console = Console(soft_wrap=True, highlight=False)  # a path broken over two lines cannot be copied
    for row in rows:
        console.print(said(f"? {', '.join(row['outputs']) or row['name']}", style="bold yellow"))
        sure = "" if row["confidence"] is None else f" ({row['confidence']:.0%} sure)"
        console.print(said(f"  {', '.join(row['needs_review'])}{sure}; of {row['original'] or row['name']}"))
    click.echo("Make them again with other options: `cutoutd redo PATH`.")
