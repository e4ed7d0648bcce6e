"""`cutoutd gallery`: before and after, as a page for a browser; `maker.py` makes it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import click
from rich.console import Console

from cutoutd.config.errors import EngineError
from cutoutd.config.places import state_dir
from cutoutd.config.typed_paths import typed_path
from cutoutd.daemon.files.folders import take_umask
from cutoutd.daemon.ledger.previews import FOLDER
from cutoutd.daemon.sandbox.guard import guard_supervisor
from cutoutd.service.cli.control import open_ledger_file
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.gallery.maker import Maker, Wishes
from cutoutd.service.gallery.thumbnails import LONGEST_SIDE, SIDES, studio
from cutoutd.service.scratch import scratch_folder
from cutoutd.service.text import counted

# A worker that does not start within this time will not.
_START_S = 60.0


@click.command()
@click.option(
    "-o",
    "--out",
    "target",
    type=PathType(path_type=Path, file_okay=False),
    help="Another folder for the page and its pictures; unset, `gallery` in the state folder.",
)
@click.option(
    "--last", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="How many photos to show."
)
@click.option("--watch", is_flag=True, help="Go on: each photo appears as it is done, until Ctrl-C.")
@click.option("--client", is_flag=True, help="For other eyes: no file names, times, networks or failures.")
@click.option("--full", is_flag=True, help="Let the page show the files themselves, every pixel of them.")
@click.option(
    "--size",
    default=LONGEST_SIDE,
    show_default=True,
    type=click.IntRange(*SIDES),
    help="Longest side of the small pictures, in pixels.",
)
def gallery(target: Path | None, last: int, watch: bool, client: bool, full: bool, size: int) -> None:
    """Show photos before and after on a page for a browser: for your second screen, or a client's.

    The page is a file that is opened from the disk: no server, no network. Small pictures are made once and kept in
    the state folder until their photo is forgotten. With --watch a new photo is on the screen a moment after its
    cutout is done. Marks that are made there come back with `cutoutd review`.
    """
    umask = take_umask()
    guard_supervisor()
    home = state_dir() / FOLDER
    folder = home if target is None else typed_path(target)
    mode = 0o600 if target is None else 0o666 & ~umask
    wishes = Wishes(folder, last, size, client, full, mode)
    with (
        open_ledger_file() as ledger,
        scratch_folder() as scratch,
        studio(scratch) as made_by,
    ):
        maker = Maker(ledger, home, made_by, wishes)
        if watch:
            click.echo(maker.page.as_uri())
            click.echo("Photos appear there as they are done; Ctrl-C ends it.")
            _watch(maker)
        else:
            _once(maker)
            click.echo(f"{maker.page.as_uri()}  ({counted(maker.shown, 'photo')})")


def _once(maker: Maker) -> None:
    maker.look()
    total = maker.left
    until = time.monotonic() + _START_S
    with Console(stderr=True).status("") as said:
        while maker.left:
            said.update(f"Making {maker.left} of {total} small pictures …")
            before = maker.left
            maker.work()
            maker.tell(live=True)
            if maker.left != before:
                until = time.monotonic() + 2 * _START_S + _START_S
            if time.monotonic() > until:
                raise EngineError("Small pictures are not made", fix="Run `cutoutd doctor`.")
    maker.finish()


def _watch(maker: Maker) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            maker.look()
            maker.tell(live=True)
            maker.work()
            maker.tell(live=True)
    finally:
        maker.finish()
