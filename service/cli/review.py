"""`cutoutd review`: delivered cutouts that somebody should look at, and what was decided about any on the gallery."""

from __future__ import annotations

import codecs
import json
import sys
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict, replace
from rich.console import Console

from cutoutd.config.errors import UsageError
from cutoutd.config.hooks import EventKind
from cutoutd.config.places import state_dir
from cutoutd.daemon.ledger.control import CommandArguments, Control, Verb
from cutoutd.daemon.ledger.database import LEDGER_NAME, Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.remarks import VERDICTS
from cutoutd.daemon.ledger.shots import decided
from cutoutd.daemon.lock import holder
from cutoutd.models.networks.doubt import Doubt
from cutoutd.service.cli.control import ANSWER_WAIT_S, command, json_option, open_ledger_file
from cutoutd.service.cli.machines_service import point_to_it
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.cli.status import row_dict
from cutoutd.service.gallery.choices import LARGEST_FILE, Correction, Taken, current, keep, read_choices
from cutoutd.service.gallery.feed import gallery_id
from cutoutd.service.text import counted, tell

_SIGNS = {"accepted": "✓", "rejected": "✕", None: "?"}
_STYLES = {"accepted": "bold green", "rejected": "bold red", None: "bold yellow"}


@click.command()
@click.argument("file", required=False, type=PathType(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--only",
    type=click.Choice([kind.value for kind in VERDICTS]),
    help="List what was accepted, or rejected, on the gallery; unset, what needs a look.",
)
@json_option
def review(file: Path | None, only: str | None, as_json: bool) -> None:
    """Cutouts that were delivered with doubt, how sure their network was, and what made it unsure.

    Of each ten that are wrong it names seven or eight, and of ten that are right one or two.

    With FILE, or - for standard input, it reads back what was accepted, rejected and pointed at on the gallery's page
    (`cutoutd-review-….json`): photos with points are made again with them, as `redo PATH --keep x,y --remove x,y` does.
    Choices about cutouts that were made anew since are left out and counted.
    """
    if file is not None:
        _read_back(file, as_json=as_json)
        return
    rows, rejected = list[dict[str, Any]](), 0
    if (state_dir() / LEDGER_NAME).exists():
        with open_ledger_file() as ledger:
            rows = _rows(ledger, only)
            shown = {row["photo"] for row in rows}
            rejected = sum(
                verdict == EventKind.REJECTED and photo not in shown
                for photo, verdict in decided(ledger).items()
            )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)  # a path broken over two lines cannot be copied
    if not rows:
        click.echo(f"Nothing is {only}." if only else "No cutout needs a look.")
        point_to_it(console, "cutoutd review", "says which of its cutouts do")
    for row in rows:
        _show(row, console)
    if rows and only != EventKind.ACCEPTED:
        tell(
            console,
            "Make one again: `cutoutd redo PATH`, with --keep x,y or --remove x,y (points), --roi, or other options;",
        )
        tell(console, "or point at what is wrong on the page of `cutoutd gallery`.")
    if rejected and not only:
        besides = f"{counted(rejected, 'other photo' if rows else 'photo')} rejected on the gallery"
        tell(
            console, f"{besides}: `cutoutd review --only rejected` lists {'it' if rejected == 1 else 'them'}."
        )


def _read_back(file: Path, *, as_json: bool) -> None:
    with open_ledger_file() as ledger:
        saved = read_choices(_text(file), gallery_id(ledger.key))
        taken = keep(ledger, saved.choices)
        corrections = current(ledger, saved.corrections)
    redone, refused = _made_again(corrections)
    outdated = taken.outdated + len(saved.corrections) - redone - len(refused)
    taken = replace(taken, outdated=outdated, redone=redone)
    click.echo(json.dumps(asdict(taken)) if as_json else _summary(taken))
    if refused:
        raise UsageError("\n".join(refused).removesuffix("."), fix="`cutoutd redo PATH` takes points too.")


def _made_again(corrections: list[Correction]) -> tuple[int, list[str]]:
    """Has photos made again with their points: how many, and a sentence for each that was refused."""
    redone, refused, wait_s = 0, list[str](), ANSWER_WAIT_S
    for one in corrections:
        overrides = Overrides(fixes=one.fixes, forget_points=not one.fixes)
        arguments = CommandArguments(photos=frozenset({one.photo}), overrides=overrides)
        answer = command(Verb.REDO, arguments, wait_s)
        if answer.waiting:  # what is left for a busy daemon is carried out; nobody waits for each of it
            wait_s = 0.0
        if answer.refused:
            refused.append(f"No. {one.photo}: {answer.refused}.")
        redone += not answer.refused and answer.count != 0
    return redone, refused


def _summary(taken: Taken) -> str:
    back = f", {taken.taken_back} taken back" if taken.taken_back else ""
    old = f"; {taken.outdated} left out: their cutouts are no longer those that were seen"
    verdicts = f"{counted(taken.accepted, 'photo')} accepted, {taken.rejected} rejected{back}"
    again = f"{counted(taken.redone, 'photo')} made again with your points" + (
        "" if holder(state_dir()) is not None else " when cutoutd runs"
    )
    decided_on = taken.accepted or taken.rejected or taken.taken_back or not taken.redone
    parts = [*([verdicts] if decided_on else []), *([again] if taken.redone else [])]
    return f"{'; '.join(parts)}{old if taken.outdated else ''}."


def _text(file: Path) -> str:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(LARGEST_FILE + 1)
        else:
            with file.open("rb") as handle:
                data = handle.read(LARGEST_FILE + 1)
    except OSError as error:
        lost = isinstance(error, FileNotFoundError)
        fix = "The gallery's page says its name; browsers save among their downloads." if lost else ""
        raise UsageError(f"The choices cannot be read ({error.strerror})", file, fix) from error
    if len(data) > LARGEST_FILE:
        raise UsageError("This file is too large for a gallery's choices", file)
    # Whoever copied the text saved it with an editor of their own, which may begin it with a mark, or write UTF-16.
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig", "replace")


def _rows(ledger: Ledger, only: str | None) -> list[dict[str, Any]]:
    """What needs a look, or what was decided so, each with what was decided about its present cutouts."""
    control, marked = Control(ledger), decided(ledger)
    found: list[PhotoRow | None] = [*control.to_review()]
    if only is not None:
        intake = Intake(ledger)
        found = [intake.get(photo) for photo, verdict in sorted(marked.items()) if verdict == only]
    return [row_dict(row, control) | {"verdict": marked.get(row.id)} for row in found if row is not None]


def _show(row: dict[str, Any], console: Console) -> None:
    verdict: str | None = row["verdict"]
    outputs = ", ".join(row["outputs"]) or row["name"]
    tell(console, f"{_SIGNS[verdict]} {outputs}", _STYLES[verdict], whole=row["outputs"])
    sure = "" if row["confidence"] is None else f" ({row['confidence']:.0%} sure)"
    why = f"{', '.join(row['needs_review'])}{sure}; " if row["needs_review"] else ""
    original = row["original"] or row["name"]
    tell(console, f"  {why}of {original}", whole=[original])
    if Doubt.NOT_REDONE in row["needs_review"]:
        tell(console, f"  {row['detail']}")
