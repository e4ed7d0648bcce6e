"""`cutoutd run`: the foreground daemon, on a terminal or under a service manager."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from cutoutd.config.load import load_settings
from cutoutd.config.places import cache_dir, models_dir, state_dir
from cutoutd.config.settings import Settings
from cutoutd.daemon.listener import Listener, Listeners
from cutoutd.daemon.machinery import Places
from cutoutd.daemon.plan import Plan, make_plan
from cutoutd.daemon.supervisor import Supervisor


@click.command()
@click.option(
    "--config", "-c", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="The config."
)
@click.option("--inbox", type=click.Path(path_type=Path, file_okay=False), help="Watch this folder only.")
@click.option("--outbox", type=click.Path(path_type=Path, file_okay=False), help="Put its cutouts there.")
@click.option("--model", help="Use this model; `cutoutd models list` shows what there is.")
def run(config_file: Path | None, inbox: Path | None, outbox: Path | None, model: str | None) -> None:
    """Watch the inboxes in the foreground.

    Without any configuration one inbox and one outbox are made under your Pictures folder. Ctrl-C finishes
    what is in hand; a second Ctrl-C stops at once. Whatever is not done stays owed and is done next time.
    """
    loaded = load_settings(config_file, inbox=inbox, outbox=outbox, model=model)

    def plan() -> Plan:
        from cutoutd.service.systemd_unit import check_unit_allows

        settings = load_settings(config_file, inbox=inbox, outbox=outbox, model=model).settings
        check_unit_allows(settings)
        return make_plan(settings, models_dir(), cache_dir())

    umask = os.umask(0o077)
    listener, finish = listeners(loaded.settings)
    supervisor = Supervisor(
        make_plan(loaded.settings, models_dir(), cache_dir()),
        Places(state_dir(), umask),
        listener,
        load=plan,
        config_path=loaded.path,
    )
    try:
        supervisor.run()
    finally:
        finish()


def listeners(settings: Settings) -> tuple[Listener, Callable[[], None]]:
    """Everyone who hears the daemon, and how to end the one on the terminal."""
    from cutoutd.service.desktop import DesktopListener, notifier_command
    from cutoutd.service.journal import JournalFormatter, goes_to_journal
    from cutoutd.service.metrics import MetricsListener
    from cutoutd.service.sd_notify import Notifier
    from cutoutd.service.systemd_listener import SystemdListener
    from cutoutd.service.terminal import LogListener, TerminalListener

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JournalFormatter()
        if goes_to_journal()
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(level=settings.log.level.upper(), handlers=[handler])
    # At level debug it would name every file, whatever log.filenames says.
    logging.getLogger("watchdog").setLevel(logging.INFO)
    everyone: list[Listener] = []
    finish: Callable[[], None] = lambda: None  # noqa: E731 - nothing to end without a terminal
    if sys.stdout.isatty():
        from rich.console import Console

        terminal = TerminalListener(Console())
        finish = terminal.stop
        everyone.append(terminal)
    else:
        everyone.append(LogListener())
    notifier = Notifier()
    if notifier.active:
        everyone.append(SystemdListener(notifier, settings.stop_grace))
    if settings.notify.done or settings.notify.failed:
        everyone.append(DesktopListener(settings.notify, notifier_command()))
    if settings.metrics.textfile is not None:
        everyone.append(MetricsListener(settings.metrics.textfile, settings.metrics.every))
    return Listeners(*everyone), finish
