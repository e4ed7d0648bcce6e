"""`status`, `failures`, `retry`, `redo`, `pause`, `resume`, `rescan`, `forget`: all through the ledger, no sockets."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from cutoutd.config.errors import ConfigError, UsageError, printable
from cutoutd.config.load import load_settings
from cutoutd.config.places import state_dir
from cutoutd.config.settings import Settings
from cutoutd.config.units import parse_duration_s
from cutoutd.daemon.dispatch.commands import carry_out
from cutoutd.daemon.ledger.control import Control
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import PhotoRow
from cutoutd.daemon.lock import StateLock, holder
from cutoutd.service.cli.option_flags import given, matte_options, output_and_matte_flags, output_options
from cutoutd.service.text import counted

# A daemon answers within its housekeeping interval even when the wake-up signal may not be sent to it.
ANSWER_WAIT_S = 12.0

json_option = click.option("--json", "as_json", is_flag=True, help="For scripts.")


@contextmanager
def open_ledger_file() -> Generator[Ledger]:
    """The ledger, without the daemon's checks. Raises UsageError when cutoutd has never run here."""
    path = state_dir() / "ledger.sqlite"
    if not path.exists():
        raise UsageError("cutoutd has not run here yet", path, "Start it with `cutoutd run`.")
    ledger = Ledger(path, check=False)
    try:
        yield ledger
    finally:
        ledger.close()


def order(verb: str, **arguments: Any) -> dict[str, Any]:
    """Has a command carried out: by the daemon if one is at work, else right here.

    Returns:
        The answer; `{"waiting": True}` when the daemon has not answered yet (it will carry it out).
    """
    with open_ledger_file() as ledger:
        pid = holder(state_dir())
        if pid is None:
            lock = StateLock(state_dir())
            try:
                return carry_out(ledger, verb, arguments, _settings)
            finally:
                lock.release()
        control = Control(ledger)
        number = control.order(verb, arguments)
        if pid:
            with suppress(PermissionError, ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
        until = time.monotonic() + ANSWER_WAIT_S
        while time.monotonic() < until:
            answer = control.answered(number)
            if answer is not None:
                return answer
            time.sleep(0.05)
        return {"waiting": True}


def _settings() -> Settings | None:
    """Those in force; a broken configuration is for the daemon's start to complain of."""
    try:
        return load_settings().settings
    except ConfigError:
        return None


def _say(answer: dict[str, Any], done: str, nothing: str = "") -> None:
    if "refused" in answer:
        raise UsageError(answer["refused"], fix=answer["fix"])
    if nothing and answer.get("count") == 0:
        click.echo(nothing)
    elif answer.get("waiting"):
        click.echo("The daemon is busy; it carries this out as soon as it can.")
    else:
        click.echo(done.format(photos=counted(int(answer.get("count", 0)), "photo")))


# --- status ----------------------------------------------------------------------------------------------------


def collect_status() -> dict[str, Any]:
    """Everything `status` shows, whether the daemon is up or down."""
    pid = holder(state_dir())
    if not (state_dir() / "ledger.sqlite").exists():
        return {
            "running": pid is not None,
            "state": "not started yet",
            "counts": {},
            "recent": [],
            "skipped": {},
        }
    with open_ledger_file() as ledger:
        control = Control(ledger)
        live = control.published() if pid is not None else {}
        return {
            **live,
            "running": pid is not None,
            "pid": pid,
            "state": live.get("state", "starting") if pid is not None else "stopped",
            "paused": bool(ledger.get_meta("paused")),
            "counts": control.counts(),
            "skipped": control.skipped(),
            "recent": [row_dict(row, control) for row in control.recent(8)],
            "aftercare": control.aftercare_troubles(),
            "ledger": str(ledger.path),
        }


def row_dict(row: PhotoRow, control: Control) -> dict[str, Any]:
    """One photo for people and scripts."""
    name = f"photo {row.id}" if row.path is None else printable(row.path)
    return {
        "photo": row.id,
        "name": name,
        "original": None
        if row.path is None
        else printable(row.archived_to or os.path.join(row.inbox, row.path)),  # noqa: PTH118 - bytes
        "inbox": printable(row.inbox),
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "attempts": row.attempts,
        "finished": row.finished,
        "model": row.model,
        "outputs": [printable(path) for path in control.outputs(row.id)],
        "timings": json.loads(row.timings) if row.timings else {},
    }


@click.command()
@json_option
def status(as_json: bool) -> None:
    """What is owed, in hand, done and failed; works with the daemon up or down."""
    facts = collect_status()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    show_status(facts, Console(soft_wrap=True, highlight=False))  # paths stay whole


_COLOURS = {"idle": "green", "working": "green", "paused": "yellow", "waiting": "yellow", "stopped": "red"}


def show_status(facts: dict[str, Any], console: Console) -> None:
    """Draws the status at a glance."""
    state = facts["state"]
    head = Text(f"cutoutd is {state}", style=f"bold {_COLOURS.get(state, 'yellow')}")
    if facts.get("since"):
        head.append(f"  (process {facts['pid']}, since {_clock(facts['since'])})", style="dim")
    console.print(head)
    if facts.get("why"):
        console.print(Text(facts["why"], style="yellow"))
    if state in ("stopped", "not started yet"):
        console.print(Text("Start it with `cutoutd run` or `cutoutd service start`.", style="dim"))
    counts = facts["counts"]
    if counts:
        owed = counts["pending"] + counts["running"] + counts["delivering"]
        line = (
            f"{owed} owed · {counts['done']} done · {counts['failed']} failed · {counts['skipped']} skipped"
        )
        console.print(Text(line, style="bold"))
    for inbox in facts.get("inboxes", ()):
        _show_inbox(inbox, console)
    for model, one in facts.get("models", {}).items():
        console.print(Text(f"model {model} on {one['provider']}", style="dim"))
        for reason in one.get("why_not", ()):
            if (
                "does not start" in reason or "memory" in reason
            ):  # the rest is as it should be; --json has all
                console.print(Text(f"  not on {reason}", style="yellow"))
    sandbox: dict[str, Any] = facts.get("sandbox") or {}
    worker: dict[str, Any] | None = sandbox.get("worker")
    if worker:
        console.print(Text(f"network: {worker['network']} · files: {worker['files']}", style="dim"))
    for hand in facts.get("in_hand", ()):
        console.print(Text(f"▸ {hand['name']}  {hand['stage']}"))
    for row in facts["recent"]:
        _show_result(row, console)
    for trouble in facts.get("aftercare", ()):
        console.print(Text(f"! {trouble}", style="yellow"))


def _show_inbox(inbox: dict[str, Any], console: Console) -> None:
    mark, style = ("!", "yellow") if inbox["trouble"] or not inbox["watching"] else ("●", "green")
    how = " (polled)" if inbox["polled"] else ""
    console.print(Text(f"{mark} {inbox['path']} → {inbox['outbox']}{how}", style=style))
    if inbox["trouble"]:
        console.print(Text(f"  {inbox['trouble']}", style="yellow"))


def _show_result(row: dict[str, Any], console: Console) -> None:
    if row["state"] == "done":
        outputs = ", ".join(Path(path).name for path in row["outputs"]) or "done"
        console.print(Text(f"✓ {_clock(row['finished'])}  {row['name']} → {outputs}", style="green"))
    else:
        console.print(Text(f"✗ {_clock(row['finished'])}  {row['name']}: {row['reason']}", style="red"))


def _clock(when: float | None) -> str:
    if when is None:
        return "--"
    shape = "%H:%M:%S" if time.time() - when < 12 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(shape, time.localtime(when))


# --- failures and orders -----------------------------------------------------------------------------------------


@click.command()
@json_option
def failures(as_json: bool) -> None:
    """Failed photos, why, and what to do; the originals lie where they were."""
    with open_ledger_file() as ledger:
        control = Control(ledger)
        rows = [row_dict(row, control) for row in control.failures()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("No photo has failed.")
        return
    console = Console(soft_wrap=True)  # a path broken over two lines cannot be copied
    for row in rows:
        console.print(Text(f"✗ {row['original'] or row['name']}", style="bold red"))
        console.print(Text(f"  {row['reason']}: {row['detail']}"))
    click.echo("Try them again with `cutoutd retry --all` or `cutoutd retry PATH`.")


def _paths(paths: tuple[Path, ...], everything: bool) -> list[str] | None:
    if bool(paths) == everything:
        raise UsageError("Say which photos", fix="Name files or folders, or give --all.")
    return None if everything else [os.path.abspath(path) for path in paths]  # noqa: PTH100 - links stay as named


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="All failed photos.")
def retry(paths: tuple[Path, ...], everything: bool) -> None:
    """Try failed photos again."""
    answer = order("retry", paths=_paths(paths, everything))
    _say(answer, "{photos} will be tried again.", "No failed photo is meant; `cutoutd failures` lists them.")


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="All finished photos whose names are kept.")
@click.option("--since", help='Photos finished within this time, e.g. "2h".')
@click.option("--deliverable", default="", help="Only this deliverable of each photo.")
@output_and_matte_flags
def redo(
    paths: tuple[Path, ...], everything: bool, since: str | None, deliverable: str, **options: Any
) -> None:
    """Make finished cutouts again, with the present config and the options given here.

    The new cutout replaces its own earlier one; a cutout you have edited stays, and the new one takes the next
    free name.
    """
    overrides: dict[str, Any] = {}
    if deliverable:
        overrides["deliverable"] = deliverable
    if given(options, "output"):
        overrides["output"] = output_options(options)
    if given(options, "matte"):
        overrides["matte"] = matte_options(options).model_dump(exclude_unset=True)
    after = None if since is None else time.time() - _seconds(since)
    wanted = _paths(paths, everything) if since is None else ([os.path.abspath(p) for p in paths] or None)  # noqa: PTH100
    answer = order("redo", paths=wanted, since=after, overrides=overrides)
    _say(answer, "{photos} will be done again.", "No finished photo is meant, or its name is no longer kept.")


def _seconds(text: str) -> float:
    try:
        return float(parse_duration_s(text))
    except ValueError as error:
        raise UsageError(str(error)) from error


@click.command()
def pause() -> None:
    """Start no new photo; photos in hand are finished, new ones are remembered."""
    _say(order("pause"), "Paused. `cutoutd resume` goes on.")


@click.command()
def resume() -> None:
    """Go on after `pause`."""
    _say(order("resume"), "Going on.")


@click.command()
def rescan() -> None:
    """Look through all inboxes now, instead of waiting for the next regular look."""
    if holder(state_dir()) is None:
        click.echo("cutoutd is not running; it looks through all inboxes when it starts.", err=True)
        sys.exit(1)
    _say(order("rescan"), "Looking through the inboxes.")


@click.command()
@click.option(
    "--all", "everything", is_flag=True, help="Rows too; only keyed digests stay, so that nothing is redone."
)
def forget(everything: bool) -> None:
    """Remove the names of finished photos from the ledger; photos and cutouts stay."""
    _say(
        order("forget", everything=everything),
        "{photos} forgotten; nothing is done again for that.",
    )
