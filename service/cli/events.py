"""`cutoutd events` and `cutoutd hooks`: what happens to photos, for people, scripts and commands of the user's own."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from cutoutd.config.errors import AlreadyRunningError, UsageError, json_line, printable
from cutoutd.config.load import load_settings
from cutoutd.config.places import state_dir
from cutoutd.config.settings import Settings
from cutoutd.config.units import parse_duration_s
from cutoutd.daemon.ledger.events import Event, Events, HookQueue
from cutoutd.daemon.log_names import LogNames
from cutoutd.service import streams
from cutoutd.service.cli.config import config_option
from cutoutd.service.cli.control import open_ledger_file
from cutoutd.service.hooks.command import facts
from cutoutd.service.hooks.runner import HookRunner
from cutoutd.service.text import counted

# No event has a larger number, and SQLite knows none.
_LAST = 2**63 - 1
# SQLite has no bell to ring in another process; asking whether the ledger changed costs two file reads.
LOOK_EVERY_S = 0.25


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens next, until stopped.")
@click.option(
    "--since", metavar="TIME", help='Begin that long ago, e.g. "2h"; unset, with what is remembered.'
)
@click.option("--after", "cursor", type=click.IntRange(min=0), metavar="ID", help="Begin after this event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def events(follow: bool, since: str | None, cursor: int | None, as_json: bool) -> None:
    """What happened to photos, from started to done, failed or accepted; one line each, oldest first.

    Every event has a number. Whoever remembers the last one and asks for those `--after` it misses nothing and
    hears nothing twice, over restarts of either side.
    """
    if since is not None and cursor is not None:
        raise UsageError("--since and --after both say where to begin", fix="Give one of them.")
    with open_ledger_file() as ledger:
        reader = Events(ledger)
        at = min(cursor or 0, _LAST)
        if since is not None:
            at = reader.before(ledger.clock() - _seconds(since))
        version = -1
        while True:
            if (now := ledger.data_version()) != version or not follow:
                version = now
                while portion := reader.since(at):
                    for event in portion:
                        _print(event, as_json=as_json)
                    at = portion[-1].id
            if not follow:
                return
            time.sleep(LOOK_EVERY_S)


def _seconds(text: str) -> float:
    try:
        return float(parse_duration_s(text))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _print(event: Event, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line(facts(event)))
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    name = f"photo {event.photo}" if event.original is None else printable(event.original)
    more = f": {event.reason}" if event.reason else ""
    if event.kind == "done" and event.outputs:
        more = " -> " + ", ".join(printable(path) for path in event.outputs)
        if event.needs_review:
            more += f" (needs a look: {', '.join(event.needs_review)})"
    click.echo(f"{event.id:>6}  {when}  {event.kind.value:<8}  {name}{more}")


@click.command()
@config_option
@click.option("--retry", is_flag=True, help="Owe again what was given up, and end.")
@click.option("--once", is_flag=True, help="Run what is due now, and end.")
def hooks(config_file: Path | None, retry: bool, once: bool) -> None:
    """Run the commands of `[[hook]]` after photos are done or have failed.

    A process of its own, because the daemon and all its workers have given up the network and may start no
    programs. Each command is run at least once for each event; one that fails is tried again with growing pauses
    and never delays a cutout. `cutoutd status` shows how hooks are doing.
    """
    loaded = load_settings(config_file)
    settings = loaded.settings
    if not settings.hook and not retry:
        fix = 'Add one: [[hook]] with on = ["done"] and command = ["…"].'
        raise UsageError("the configuration has no hook", loaded.path, fix)
    if retry:  # beside the process at work, which sees it in the ledger
        with open_ledger_file() as ledger:
            count = HookQueue(ledger).retry()
            ledger.commit()
        click.echo(f"{counted(count, 'run')} will be tried again.")
        return
    with _alone(state_dir()), open_ledger_file() as ledger:
        _log(settings)
        runner = HookRunner(ledger, settings.hook, filenames=settings.log.filenames)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: runner.stop())
        runner.run(until_idle=once, grace_s=settings.stop_grace)


def _log(settings: Settings) -> None:
    """Lines on standard error, or in the journal, without names of photos where the settings say so."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    names = LogNames()
    names.follow(settings)
    handler.addFilter(names)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    streams.filtered(sys.stderr, names.hide)


@contextmanager
def _alone(state: Path) -> Generator[None]:
    """One process runs the hooks of a state folder."""
    if not state.is_dir():
        raise UsageError("cutoutd has not run here yet", state, "Start it with `cutoutd run`.")
    fd = os.open(state / "hooks.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                "Another `cutoutd hooks` is already at work with this state folder", state, "Use that one."
            ) from None
        yield
    finally:
        os.close(fd)
