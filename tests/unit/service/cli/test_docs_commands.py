"""Each command of ours that README.md and docs/ name is one that the command line understands."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cutoutd.service.cli.app import cutoutd

PROJECT = Path(__file__).resolve().parents[4]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`((?:sudo )?cutoutd [^`]+)`")


def typed(text: str) -> Iterator[str]:
    """What is typed after `cutoutd`: in blocks, where a line may hold comments and pipes, and within sentences."""
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.partition("#")[0].strip().removeprefix("sudo ")
            if words.startswith("cutoutd "):
                yield re.split(r" [<>|] ?", words.removeprefix("cutoutd "))[0].strip()
    for words in _INLINE.findall(text):
        if "…" not in words:
            yield words.removeprefix("sudo ").removeprefix("cutoutd ").replace("\n", " ")


NAMED = {words: page.name for page in PAGES for words in typed(page.read_text(encoding="utf-8"))}


def test_they_are_found() -> None:
    assert len(NAMED) > 60
    assert NAMED["once - -o -"] == "README.md"


@pytest.mark.parametrize(("words", "page"), sorted(NAMED.items()))
def test_a_command_that_a_page_names_is_understood(
    words: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edited.png").touch()  # a mask has to be there
    left = shlex.split(words.replace("LINES", "20").replace("[", "").replace("]", ""))
    command: click.Command = cutoutd
    context = click.Context(cutoutd)
    while isinstance(command, click.Group) and left and not left[0].startswith("-"):
        below = command.get_command(context, left.pop(0))
        assert below is not None, f"{page}: cutoutd {words}"
        command, context = below, click.Context(below, context)
    if left:  # else it is only named
        with contextlib.suppress(click.exceptions.Exit):  # of --version
            command.make_context(command.name, left)
