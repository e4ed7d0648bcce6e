"""`cutoutd doctor`: one screen that says what is well, what is not, and how to fix it; doctor.py looks."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click
from msgspec.structs import asdict

from cutoutd.config.errors import json_lines, printable_lines
from cutoutd.service.cli.config import config_option
from cutoutd.service.text import folded

_MARKS = {"ok": ("✓", "green"), "note": ("·", "cyan"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@click.command("doctor")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(config_file: Path | None, as_json: bool) -> None:
    """Check configuration, folders, disk, events, decoders, models, sandbox and service.

    The exit code is 0 when nothing is broken, else that of the first error.
    """
    from cutoutd.service.doctor.doctor import examine, exit_code

    findings = examine(config_file)
    if as_json:
        click.echo(json_lines([asdict(finding) for finding in findings]))
        raise SystemExit(exit_code(findings))
    area = ""
    for finding in findings:
        mark, colour = _MARKS[finding.level]
        name = finding.area if finding.area != area else ""
        area = finding.area
        _show(f"{name:>10}  {mark} {finding.what}", mark, colour)
        if finding.fix:
            _show(f"{'':>12}  -> {finding.fix}")
    broken = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    click.echo(
        f"\n{broken or 'no'} error{'' if broken == 1 else 's'}, "
        f"{warnings or 'no'} warning{'' if warnings == 1 else 's'}"
    )
    raise SystemExit(exit_code(findings))


def _show(line: str, mark: str = "", colour: str | None = None) -> None:
    """One line of the screen; on a terminal what goes on in the next one stands below its text."""
    line = printable_lines(line)
    if sys.stdout.isatty():
        line = folded(line, shutil.get_terminal_size().columns, hang=14 if mark else 17)
    click.echo(line.replace(mark, click.style(mark, fg=colour), 1) if mark else line)
