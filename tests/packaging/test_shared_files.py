"""Manual pages and completion files: complete, current, and read by man without a word of complaint."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click
import pytest
from shared_files import EXIT_CODES, SHARE, files

from cutoutd.config.errors import ExitCode
from cutoutd.service.cli.app import COMMANDS, cutoutd

MADE = files()


def test_every_command_has_its_page_and_every_page_lies_in_the_tree() -> None:
    assert {f"man/man1/cutoutd-{name}.1" for name in COMMANDS} < set(MADE)
    there = {
        str(path.relative_to(SHARE)): path.read_text("utf-8") for path in SHARE.rglob("*") if path.is_file()
    }
    assert there == MADE, "run `make docs`"


def test_every_option_of_every_command_stands_in_its_page() -> None:
    root = click.Context(cutoutd, info_name="cutoutd")
    for name in COMMANDS:
        command = cutoutd.get_command(root, name)
        assert command is not None
        page = MADE[f"man/man1/cutoutd-{name}.1"].replace("\\-", "-")
        below = command.commands.values() if isinstance(command, click.Group) else ()
        for one in (command, *below):
            for option in one.params:
                if isinstance(option, click.Option) and not option.hidden:
                    assert option.opts[0] in page, (name, option.opts)


def test_every_exit_code_has_a_meaning() -> None:
    assert set(EXIT_CODES) == set(ExitCode)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("page", sorted(name for name in MADE if name.startswith("man/")))
def test_roff_takes_a_page_without_a_warning(page: str) -> None:
    command = ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-K", "utf8", str(SHARE / page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    shown = done.stdout
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "EXIT STATUS"):
        assert f"\n{heading}\n" in shown
    assert Path(page).stem in shown
