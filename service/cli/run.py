"""`cutoutd run`: the foreground daemon, on a terminal or under a service manager."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from cutoutd.config.load import load_settings
from cutoutd.config.places import cache_dir, config_path, models_dir, state_dir
from cutoutd.daemon.components import Places
from cutoutd.daemon.files.folders import take_umask
from cutoutd.daemon.ledger.control import Control
from cutoutd.daemon.lifecycle import Daemon
from cutoutd.daemon.plan import Plan, make_plan
from cutoutd.daemon.supervisor import Supervisor
from cutoutd.service import streams
from cutoutd.service.cli.control import open_ledger_file
from cutoutd.service.cli.option_flags import completer, model_names
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.listeners.everyone import listeners
from cutoutd.service.listeners.lines import closing_line


@click.command()
@click.option(
    "--config", "-c", "config_file", type=PathType(path_type=Path, dir_okay=False), help="The config."
)
@click.option("--inbox", type=PathType(path_type=Path, file_okay=False), help="Watch this folder only.")
@click.option("--outbox", type=PathType(path_type=Path, file_okay=False), help="Put its cutouts there.")
@click.option(
    "--model",
    help="Use this model; `cutoutd models list` shows what there is.",
    shell_complete=completer(model_names),
)
def run(config_file: Path | None, inbox: Path | None, outbox: Path | None, model: str | None) -> None:
    """Watch the inboxes in the foreground.

    Without any configuration one inbox and one outbox are made under your Pictures folder. Ctrl-C finishes
    what is in hand; a second Ctrl-C stops at once. Whatever is not done then is done next time.
    """
    loaded = load_settings(config_file, inbox=inbox, outbox=outbox, model=model)
    file = loaded.path or config_file

    def plan() -> Plan:
        """From the configuration as it is now; raises CutoutError."""
        from cutoutd.service.managers.systemd_unit import check_unit_allows

        nonlocal file
        # The very file that was taken first: one that is away for a moment does not make others count.
        now = load_settings(file, inbox=inbox, outbox=outbox, model=model, anew=True)
        file, settings = now.path, now.settings
        check_unit_allows(settings)
        return make_plan(settings, models_dir(), cache_dir())

    streams.endure("stdout", "stderr")
    terminal = streams.Terminal()
    # A background job that prints on a terminal with `stty tostop` would be stopped, not only its output.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    umask = take_umask()
    listener, finish = listeners(loaded.settings)
    state = state_dir()
    supervisor = Supervisor(
        make_plan(loaded.settings, models_dir(), cache_dir()),
        Places(state, umask),
        listener,
        load=plan,
        config_path=loaded.path or config_path(),  # there `cutoutd init` puts one
        hung_up=terminal.gone,
    )
    try:
        Daemon(supervisor, state).run()
    finally:
        finish()
    _close(supervisor.since)
    if supervisor.installed.other:
        raise supervisor.installed.must_end()


def _close(since: float) -> None:
    """What came of this session, where somebody looks at it; a service's log has each photo already."""
    if not (sys.stdout.isatty() or sys.stderr.isatty()):
        return
    with open_ledger_file() as ledger:
        control = Control(ledger)
        ended, counts = control.ended_since(since), control.counts()
    left = counts["pending"] + counts["running"] + counts["delivering"]
    click.echo(closing_line(ended["done"], ended["failed"], left), err=not sys.stdout.isatty())
