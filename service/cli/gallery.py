"""`cutoutd gallery`: before and after, as one page for a browser; gallery.py makes the page."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.status import Status

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.sandbox.guard import guard_supervisor
from cutoutd.service.cli.control import open_ledger_file
from cutoutd.service.gallery.gallery import Shot, check_target, last_shots, page, write
from cutoutd.service.gallery.thumbnails import Pair, PairJob, make_pairs
from cutoutd.service.text import counted

# How often `--watch` looks into the ledger; a look costs one small query.
WATCH_EVERY_S = 1.0


@click.command()
@click.option(
    "-o",
    "--out",
    "target",
    default=Path("cutoutd-gallery.html"),
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page to write.",
)
@click.option(
    "--last", default=24, show_default=True, type=click.IntRange(1, 500), help="How many photos to show."
)
@click.option("--watch", is_flag=True, help="Go on: a new page whenever a photo is done, until Ctrl-C.")
def gallery(target: Path, last: int, watch: bool) -> None:
    """Show the last photos before and after, as one page for a browser.

    The page is a single file that fetches nothing; small pictures of your photos are inside it. With --watch
    it renews itself while you shoot: put the browser on the screen that the client looks at.
    """
    path = Path(os.path.abspath(target.expanduser()))  # noqa: PTH100 - links stay as named
    check_target(path)
    umask = os.umask(0o077)
    guard_supervisor()
    with open_ledger_file() as ledger:
        maker = Maker(path, 0o666 & ~umask, watch=watch)
        shots = last_shots(ledger, last)
        shown, absent = maker.make(shots)
        click.echo(f"{path.as_uri()}  ({counted(shown, 'photo')}{f', {absent} not shown' if absent else ''})")
        if watch:
            click.echo("Renewed whenever a photo is done; Ctrl-C ends it.")
            _follow(ledger, maker, shots, last)


def _follow(ledger: Ledger, maker: Maker, shots: list[Shot], last: int) -> None:
    version = ledger.data_version()
    while True:
        time.sleep(WATCH_EVERY_S)
        if ledger.data_version() == version:
            continue
        version = ledger.data_version()
        now = last_shots(ledger, last)
        if now != shots:
            shots = now
            maker.make(shots)


class Maker:
    """Makes the page again and again, decoding only what it has not seen.

    Args:
        path: the page.
        mode: its permission bits.
        watch: the page looks for its own successor.
    """

    def __init__(self, path: Path, mode: int, *, watch: bool) -> None:
        self._path = path
        self._mode = mode
        self._watch = watch
        self._seen: dict[Shot, Pair | str] = {}

    def make(self, shots: list[Shot]) -> tuple[int, int]:
        """Writes the page. Returns how many photos it shows, and how many could not be shown."""
        new = [shot for shot in shots if shot not in self._seen]
        with tempfile.TemporaryDirectory(prefix="cutoutd-") as scratch, _spinner(len(new)):
            jobs = [PairJob(shot.original, shot.outputs) for shot in new]
            made = {new[number]: result for number, result in make_pairs(jobs, Path(scratch))}
        self._seen = {shot: (self._seen | made)[shot] for shot in shots}
        pairs = [(shot, pair) for shot, pair in self._seen.items() if isinstance(pair, Pair)]
        absent = len(shots) - len(pairs)
        write(self._path, page(pairs, watch=self._watch, now=time.time(), absent=absent), self._mode)
        return len(pairs), absent


def _spinner(count: int) -> Status:
    """Something to look at while pictures are made small."""
    return Console(stderr=True).status(f"Making {count} small pictures …")
