"""Every `--help` ends with two examples, and each of them is a command line that exists."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest

from cutoutd.service.cli.app import COMMANDS, cutoutd
from cutoutd.service.cli.examples import EXAMPLES, examples_of


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cutoutd)
    for name in COMMANDS:
        command = cutoutd.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {below.name}", below) for below in command.commands.values())


def test_every_help_ends_with_two_examples() -> None:
    for name, command in commands():
        text = command.get_help(click.Context(command, info_name=name))
        examples = text.rpartition("Examples:")[2].strip().splitlines()
        assert sum(line.strip().startswith("cutoutd ") for line in examples) == 2, name
        assert len(examples_of(name)) == 2
        assert text.count("Examples:") == 1, name
        assert "\\b" not in text, name


def test_no_list_of_commands_breaks_off_in_a_sentence() -> None:
    for name, command in (("", cutoutd), *commands()):
        if isinstance(command, click.Group):
            text = command.get_help(click.Context(command, info_name=name, terminal_width=80))
            listed = text.rpartition("Commands:")[2].partition("Examples:")[0]
            assert "..." not in listed, listed


@pytest.mark.parametrize("typed", sorted({typed for pair in EXAMPLES.values() for _, typed in pair}))
def test_each_example_is_understood(typed: str) -> None:
    words = shlex.split(typed.partition(" < ")[0].partition(" > ")[0])
    command: click.Command = cutoutd
    context = click.Context(cutoutd)
    while isinstance(command, click.Group):
        below = command.get_command(context, words.pop(0))
        assert below is not None, typed
        command = below
        context = click.Context(command, context)
        if isinstance(command, click.Group) and not words:
            return
    command.make_context(command.name, words)


def test_examples_are_of_commands_that_exist() -> None:
    assert set(EXAMPLES) <= {"", *(name for name, _ in commands())}
