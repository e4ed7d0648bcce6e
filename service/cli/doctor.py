"""`cutoutd doctor`: one screen that says what is well, what is not, and how to fix it; doctor.py looks."""

from __future__ import annotations

import json
from pathlib import Path

import click
from msgspec.structs import asdict

from cutoutd.service.cli.config import config_option

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
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
        raise SystemExit(exit_code(findings))
    area = ""
    for finding in findings:
        mark, colour = _MARKS[finding.level]
        name = finding.area if finding.area != area else ""
        area = finding.area
        click.echo(f"{name:>10}  {click.style(mark, fg=colour)} {finding.what}")
        if finding.fix:
            click.echo(f"{'':>12}  -> {finding.fix}")
    broken = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    click.echo(
        f"\n{broken or 'no'} error{'' if broken == 1 else 's'}, "
        f"{warnings or 'no'} warning{'' if warnings == 1 else 's'}"
    )
    raise SystemExit(exit_code(findings))
