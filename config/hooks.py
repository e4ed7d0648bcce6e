"""Commands of the user's own that `cutoutd hooks` runs when something happened to a photo; it runs none itself."""

from __future__ import annotations

import hashlib
import json
import os
from enum import StrEnum
from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, field_validator

from cutoutd.config.section import Section
from cutoutd.config.units import Seconds


class EventKind(StrEnum):
    """What can happen to a photo, as the ledger notes it."""

    STARTED = "started"
    DRAFTED = "drafted"
    DONE = "done"
    FAILED = "failed"
    ARCHIVED = "archived"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


# What a hook's command may name in braces, and what stands there when it is run.
PLACEHOLDERS = {
    "photo": "the original, where it lies now",
    "name": "the original's name without folder and extension",
    "inbox": "the inbox's folder",
    "output": "the first cutout",
    "outputs": "all cutouts, one argument each (only as an argument of its own)",
    "event": "what happened: done, failed …",
    "reason": "why it failed, as a word such as no-subject",
    "detail": "the same as a sentence",
}


class Hook(Section):
    """A command that is run after something happened to a photo."""

    on: tuple[Literal["started", "drafted", "done", "failed", "archived", "accepted", "rejected"], ...] = (
        Field(default=("done",), min_length=1, description="After which events the command is run.")
    )
    command: tuple[str, ...] = Field(
        min_length=1,
        description="Program and arguments, run without a shell; the program's path may start with ~. "
        "{photo}, {name}, {inbox}, {output} (the first "
        "cutout), {outputs} (all of them), {event}, {reason} and {detail} are filled in; the whole event comes as JSON "
        "on standard input.",
        examples=[["rclone", "copy", "{output}", "remote:cutouts"]],
    )
    name: str = Field(
        default="",
        description="Name in `status` and logs, kept when the command changes; unset, the program's.",
    )
    time_limit: Seconds = Field(
        default=60, gt=0, description="A command that takes longer is ended, and tried again."
    )
    attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=8, description="How often a command that fails is tried, with pauses that grow to 5 minutes."
    )
    at_once: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Runs of this hook at the same time; with 1 they keep the order of the events."
    )

    @property
    def label(self) -> str:
        """The name shown to people."""
        return self.name or self.command[0].rsplit("/", 1)[-1]

    @property
    def program(self) -> str:
        """What is started: of the command its first word, "~/bin/upload" as in every path of the configuration."""
        written = self.command[0].format()  # no placeholders, but braces may be doubled as in the arguments
        return os.path.expanduser(written)  # noqa: PTH111 - pathlib's raises where nobody has that home

    @property
    def key(self) -> str:
        """What the ledger knows the hook by: its name, or what it does."""
        if self.name:
            return self.name
        text = json.dumps([sorted(self.on), self.command])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @field_validator("command")
    @classmethod
    def _names_only_placeholders(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        for number, argument in enumerate(command):
            for name in placeholders_in(argument):
                if name not in PLACEHOLDERS:
                    known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
                    raise ValueError(
                        f"names {{{name}}}, which is none of {known}; for a brace write {{{{ or }}}}"
                    )
                if number == 0:
                    raise ValueError("the program itself may not depend on the photo; name it outright")
                if name == "outputs" and argument != "{outputs}":
                    raise ValueError('{outputs} must be an argument of its own: "{outputs}"')
        return command


def placeholders_in(argument: str) -> list[str]:
    """The names in braces within one argument.

    Raises:
        ValueError: a brace is not closed.
    """
    try:
        return [name for _text, name, _format, _conversion in Formatter().parse(argument) if name is not None]
    except ValueError as error:
        raise ValueError(f"{argument!r}: {error}; for a brace itself write {{{{ or }}}}") from error
