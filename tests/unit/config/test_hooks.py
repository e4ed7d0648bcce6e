"""Hooks in the configuration: what their commands may name, and what is refused with a sentence."""

from __future__ import annotations

import pytest

from cutoutd.config.errors import ConfigError
from cutoutd.config.hooks import PLACEHOLDERS, Hook, placeholders_in
from cutoutd.config.load import parse_settings

INBOX = '[[inbox]]\npath = "/a"\noutbox = "/b"\n'


def test_every_placeholder_that_is_described_may_be_used() -> None:
    command = ["program", *(f"{{{name}}}" for name in PLACEHOLDERS)]
    assert Hook.model_validate({"command": command}).command == tuple(command)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["curl", "{outptu}"], "{outptu}, which is none of"),
        (["{photo}"], "the program itself may not depend on the photo"),
        (["a", "{photo"], "for a brace itself write"),
        (["a", "x{outputs}"], "must be an argument of its own"),
        (["a", "{0}"], "{0}, which is none of"),
        (["a", "{photo.__class__}"], "which is none of"),
    ],
)
def test_a_command_that_cannot_be_filled_in_is_refused(command: list[str], words: str) -> None:
    with pytest.raises(ValueError, match="command") as refused:
        Hook.model_validate({"command": command})
    assert words in str(refused.value)


def test_braces_can_be_written() -> None:
    assert placeholders_in("a {{b}} {name}") == ["name"]


def test_a_hook_is_known_by_its_name_or_by_what_it_does() -> None:
    plain = Hook.model_validate({"command": ["/usr/bin/curl", "{output}"]})
    assert plain.label == "curl"
    assert plain.key == Hook.model_validate({"command": ["/usr/bin/curl", "{output}"], "attempts": 3}).key
    assert plain.key != Hook.model_validate({"command": ["/usr/bin/curl", "{photo}"]}).key
    named = {"name": "shop", "command": ["a"]}
    assert Hook.model_validate(named).key == Hook.model_validate({**named, "command": ["b"]}).key == "shop"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[hook]]\ncommand = ["a"]\n[[hook]]\ncommand = ["a"]\n', "two hooks are called a"),
        (
            '[[hook]]\ncommand = ["a"]\n[history]\nfilenames = false\n',
            "history.filenames = false does not keep",
        ),
        ('[[hook]]\non = ["finished"]\ncommand = ["a"]\n', "finished"),
        ("[[hook]]\ncommand = []\n", "command"),
    ],
)
def test_contradictions_are_named(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_settings(INBOX + text)
    assert words in str(refused.value)
