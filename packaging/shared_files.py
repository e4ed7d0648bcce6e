"""Manual pages and completion files, made from the commands' own declarations; a wheel installs them below share/.

`shared_files.py --write` renews the files in packaging/share, `--check` fails on stale ones.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cutoutd.config.errors import ExitCode
from cutoutd.service.cli.app import COMMANDS, cutoutd
from cutoutd.service.cli.completion import script
from cutoutd.service.cli.examples import examples_of

SHARE = Path(__file__).resolve().parent / "share"
COMPLETIONS = {
    "bash": "bash-completion/completions/cutoutd",
    "zsh": "zsh/site-functions/_cutoutd",
    "fish": "fish/vendor_completions.d/cutoutd.fish",
}
# What an exit code means; a test holds this table against the enum.
EXIT_CODES = {
    ExitCode.OK: "All went well.",
    ExitCode.INTERNAL: "A mistake of the program.",
    ExitCode.USAGE: "The command makes no sense.",
    ExitCode.SOME_FAILED: "Some photos failed, or nothing was meant.",
    ExitCode.CONFIG: "The configuration has mistakes.",
    ExitCode.ALREADY_RUNNING: "A daemon runs already for this state folder.",
    ExitCode.MODEL: "A network is missing or damaged.",
    ExitCode.LEDGER: "The ledger cannot be used.",
    ExitCode.FOLDER: "A folder cannot be used.",
    ExitCode.NETWORK: "A download failed (only `models pull` makes any).",
    ExitCode.ENGINE: "The inference engine does not start.",
    ExitCode.SERVICE: "The service manager refused.",
    ExitCode.VERIFY: "A promise does not hold on this machine.",
    ExitCode.REPLACED: "Another version was installed over a running daemon, which ends for it.",
    ExitCode.INTERRUPTED: "Stopped by Ctrl-C.",
}


def files() -> dict[str, str]:
    """Path below share/ to text of every file."""
    made = {path: script(shell) for shell, path in COMPLETIONS.items()}
    root = click.Context(cutoutd, info_name="cutoutd")
    made["man/man1/cutoutd.1"] = _page(cutoutd, root)
    for name in COMMANDS:
        command = cutoutd.get_command(root, name)
        if command is not None:
            context = click.Context(command, info_name=name, parent=root)
            made[f"man/man1/cutoutd-{name}.1"] = _page(command, context)
    return made


def _page(command: click.Command, context: click.Context) -> str:
    """One manual page in man(7) macros; no date, so that equal declarations give equal bytes."""
    name = context.command_path.replace(" ", "-")
    lines = [f'.TH "{name.upper()}" 1 "" "cutoutd" "cutoutd"', ".SH NAME"]
    lines.append(f"{_text(name)} \\- {_text(_about(command, context))}")
    lines += [".SH SYNOPSIS", f"\\fB{_text(context.command_path)}\\fR {_text(_usage(command, context))}"]
    lines += [".SH DESCRIPTION", *_paragraphs(command.help or "")]
    lines += _options(command, context)
    lines += _commands(command, context)
    lines += [".SH EXAMPLES", *_examples(context)]
    lines += [".SH EXIT STATUS"]
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f"\\fB{int(code)}\\fR", _text(meaning)]
    lines += [".SH SEE ALSO", _see_also(context)]
    return "\n".join(lines) + "\n"


def _about(command: click.Command, context: click.Context) -> str:
    line = COMMANDS.get(context.info_name or "", ("", "", ""))[2] if context.parent is not None else ""
    return (line or command.get_short_help_str(limit=200)).rstrip(".")


def _usage(command: click.Command, context: click.Context) -> str:
    return " ".join(command.collect_usage_pieces(context))


def _paragraphs(text: str) -> Iterator[str]:
    """A command's help: paragraphs are filled, those that begin with a backspace stay as they are typed."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text).strip())):
        if number:
            yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", *map(_text, paragraph[1:].strip("\n").split("\n")), ".fi")
        else:
            yield _text(" ".join(paragraph.split()))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = [
        record
        for one in command.get_params(context)
        if (record := one.get_help_record(context)) and record[1]
    ]
    if records:
        yield ".SH OPTIONS"
    for typed, about in records:
        yield from (".TP", f"\\fB{_text(typed)}\\fR", _text(about))


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    """The commands of a group; those of the whole program have pages of their own."""
    if not isinstance(command, click.Group):
        return
    yield ".SH COMMANDS"
    if context.parent is None:
        for name, (_, _, about) in COMMANDS.items():
            yield from (".TP", f"\\fB{_text(f'cutoutd {name}')}\\fR", _text(about))
        return
    for name, below in command.commands.items():
        inner = click.Context(below, info_name=name, parent=context)
        yield f".SS {_text(f'{inner.command_path} {_usage(below, inner)}')}"
        yield from _paragraphs(below.help or "")
        for parameter in below.get_params(inner):
            if record := parameter.get_help_record(inner):
                yield from (".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1]))


def _examples(context: click.Context) -> Iterator[str]:
    name = context.command_path.removeprefix("cutoutd").strip()
    for about, typed in examples_of(name):
        yield from (".TP", f"\\fB{_text(f'cutoutd {typed}')}\\fR", _text(f"{about}."))


def _see_also(context: click.Context) -> str:
    others = COMMANDS if context.parent is None else ("",)
    pages = [f"cutoutd-{name}" if name else "cutoutd" for name in others]
    return ", ".join(f"\\fB{_text(page)}\\fR(1)" for page in pages)


def _text(text: str) -> str:
    """Text as roff takes it literally: no escape, no request at a line's start, plain hyphens that can be copied."""
    escaped = " ".join(text.split("\n")).replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main() -> int:
    """Writes or checks. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    writes = parser.parse_args().write
    wanted = files()
    there = {str(path.relative_to(SHARE)): path for path in SHARE.rglob("*") if path.is_file()}
    stale = [name for name in there if name not in wanted]
    stale += [
        name for name, text in wanted.items() if name not in there or there[name].read_text("utf-8") != text
    ]
    if not writes:
        if stale:
            sys.stderr.write(f"stale: {', '.join(sorted(stale))}; run `make docs`\n")
        return int(bool(stale))
    for name in stale:
        if name in wanted:
            (SHARE / name).parent.mkdir(parents=True, exist_ok=True)
            (SHARE / name).write_text(wanted[name], encoding="utf-8")
        else:
            there[name].unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
