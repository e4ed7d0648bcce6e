"""`cutoutd verify`: the self-test a sceptic runs; it shows what was tried and what the answer was."""

from __future__ import annotations

import json
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click
from msgspec.structs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cutoutd.config.errors import ExitCode, UsageError
from cutoutd.config.load import load_settings
from cutoutd.config.places import models_dir, state_dir
from cutoutd.config.settings import Settings
from cutoutd.config.typed_paths import typed_path
from cutoutd.daemon.lock import holder
from cutoutd.service.cli.config import config_option
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.text import screen
from cutoutd.service.verify.installation import installation
from cutoutd.service.verify.judge import Check, Verdict, judge
from cutoutd.service.verify.run import gather

_MARKS = {Verdict.HOLDS: ("✓", "green"), Verdict.BROKEN: ("✗", "red"), Verdict.NOT_ENFORCED: ("!", "yellow")}


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.option(
    "--keep",
    type=PathType(path_type=Path, file_okay=False),
    help="Leave the photo, its cutout and everything that was written in this new folder.",
)
def verify(config_file: Path | None, as_json: bool, keep: Path | None) -> int:
    """Prove that nothing leaves this machine.

    Plants a photo full of secrets (place, serial number, comments, a thumbnail, a pattern in its background),
    has a real daemon cut it out in a folder of its own, makes that daemon and its worker try to reach the
    network, and looks for the secrets in everything that was written. Nothing is ever sent anywhere.

    Exit code 0: every promise holds; 12: one does not.
    """
    settings = load_settings(config_file).settings
    models, state = models_dir(), state_dir()
    pid = holder(state)
    started = time.monotonic()
    console = Console(stderr=True)
    with ExitStack() as stack:
        root = _folder(keep, stack)
        progress = _progress(console, stack, quiet=as_json)
        evidence = gather(settings, root, secrets.token_hex(8), progress)
        progress("Judging")
        checks = [*judge(evidence), *installation(settings, models, state, pid)]
    sound = all(check.passes for check in checks)
    seconds = time.monotonic() - started
    if as_json:
        facts = {
            "ok": sound,
            "seconds": round(seconds, 1),
            "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
            "checks": [{**asdict(check), "passes": check.passes} for check in checks],
        }
        sys.stdout.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    else:
        show(checks, settings, seconds, screen())
        if keep is not None:
            click.echo(f"Everything that was written lies in {root}.")
    return int(ExitCode.OK if sound else ExitCode.VERIFY)


def _folder(keep: Path | None, stack: ExitStack) -> Path:
    """The folder of the run: one that vanishes, or a new one the user named."""
    if keep is None:
        # Resolved, because on macOS the temporary folder is a link and photos behind links are not taken.
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cutoutd-verify-"))).resolve()
    root = typed_path(keep).resolve()
    try:
        root.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise UsageError(
            f"The folder cannot be made ({error.strerror})", keep, "Name one that does not exist yet."
        ) from error
    return root


def _progress(console: Console, stack: ExitStack, *, quiet: bool) -> Callable[[str], None]:
    """A spinner on a terminal, nothing elsewhere."""
    if quiet or not console.is_terminal:
        return lambda _text: None
    status = stack.enter_context(console.status("Starting"))
    return lambda text: status.update(f"{text} …")


def show(checks: list[Check], settings: Settings, seconds: float, console: Console) -> None:
    """The table, and the sum of it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "about", "what was tried", "the answer"):
        table.add_column(heading)
    area = ""
    for check in checks:
        mark, colour = _MARKS[check.verdict]
        name, area = (check.area if check.area != area else ""), check.area
        answer = (
            check.answer
            if check.verdict is not Verdict.NOT_ENFORCED
            else f"not enforced here: {check.answer}"
        )
        table.add_row(
            Text(mark, style=colour), Text(name, style="dim"), Text(check.tried), Text(answer, style=colour)
        )
    console.print(table)
    broken = [check for check in checks if not check.passes]
    soft = sum(check.verdict is Verdict.NOT_ENFORCED and check.passes for check in checks)
    if broken:
        console.print(Text(f"\n{len(broken)} of {len(checks)} promises do not hold.", style="bold red"))
        if not settings.engine.sandbox:
            console.print("engine.sandbox is off in your configuration: that is why. Leave it on.")
    else:
        note = f" ({soft} {'is' if soft == 1 else 'are'} not enforced on this platform)" if soft else ""
        console.print(
            Text(f"\nAll {len(checks)} promises hold{note}; shown in {seconds:.0f} s.", style="bold green")
        )
