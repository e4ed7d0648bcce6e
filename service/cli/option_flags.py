"""Command-line flags for output and matte options, made from the settings so that each is declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import click
from pydantic import BaseModel, ValidationError

from cutoutd.config.errors import UsageError
from cutoutd.config.output import PART, Deliverable, Output
from cutoutd.config.presets import expand, unpack
from cutoutd.config.settings import Matte

# Matte's `engine` would read like the inference engine on a command line.
_FLAG_NAMES = {("matte", "engine"): "edge-engine"}
# Options that make sense in a config only, or have a flag of their own.
_LEFT_OUT = {("output", "preset")}


def _flags(prefix: str, model: type[BaseModel]) -> list[tuple[str, str, str]]:
    """(flag, parameter name, help) for each field; what is true or false gets a flag for each."""
    found: list[tuple[str, str, str]] = []
    for name, info in model.model_fields.items():
        if (prefix, name) in _LEFT_OUT:
            continue
        flag = _FLAG_NAMES.get((prefix, name), name.replace("_", "-"))
        both = f"--{flag}/--no-{flag}" if info.annotation is bool else f"--{flag}"
        found.append((both, f"{prefix}__{name}", info.description or ""))
    return found


def output_and_matte_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds a flag for every output and matte option to a click command."""
    flags = [*_flags("output", Output), *_flags("matte", Matte)]
    for flag, parameter, text in reversed(flags):
        kind: dict[str, Any] = {} if "/" in flag else {"metavar": "VALUE"}
        command = click.option(flag, parameter, default=None, help=text, **kind)(command)
    return command


def given(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The options of one kind that were given, by field name."""
    start = f"{prefix}__"
    return {
        name.removeprefix(start): v for name, v in values.items() if name.startswith(start) and v is not None
    }


def output_options(values: dict[str, Any]) -> dict[str, Any]:
    """The output options that flags describe, as the config would hold them; each is checked by itself.

    What they contradict is for the inbox to say that they are added to.

    Raises:
        UsageError: an option has a bad value.
    """
    try:
        part = Output.model_validate(given(values, "output"), context={PART: True})
    except ValidationError as error:
        raise UsageError(sentence(error), fix="`cutoutd redo --help` lists every option.") from error
    return part.model_dump(exclude_unset=True, mode="json")


def deliverables(
    values: dict[str, Any],
    presets: tuple[str, ...],
    custom: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> tuple[Deliverable, ...]:
    """The orders that flags and presets describe.

    Args:
        values: the command's parameters.
        presets: names of presets and packs.
        custom: presets of the user's configuration, which win over ours of the same name.

    Raises:
        UsageError: an option has a bad value, or two exclude each other.
    """
    options = given(values, "output")
    names = unpack(presets)
    try:
        if not names:
            return (Deliverable.model_validate(options),)
        several = {"label": ""} if len(names) == 1 else {}
        orders: list[Deliverable] = []
        for name in names:
            raw: dict[str, Any] = {"preset": name, **options, **several, "label": name}
            if len(names) > 1 and "name" not in options and "folder" not in options:
                raw["name"] = "{stem}-{deliverable}"
            orders.append(Deliverable.model_validate(expand(raw, custom)))
        return tuple(orders)
    except (ValidationError, ValueError) as error:
        raise UsageError(sentence(error), fix="`cutoutd once --help` lists every option.") from error


def matte_options(values: dict[str, Any]) -> Matte:
    """The matte options that flags describe.

    Raises:
        UsageError: an option has a bad value.
    """
    options = given(values, "matte")
    if str(options.get("keep", "")).isdigit():
        options["keep"] = int(options["keep"])
    try:
        return Matte.model_validate(options)
    except ValidationError as error:
        raise UsageError(sentence(error), fix="`cutoutd once --help` lists every option.") from error


def sentence(error: ValueError) -> str:
    """A validation error as one sentence per problem."""
    if not isinstance(error, ValidationError):
        return str(error)
    parts: list[str] = []
    for problem in error.errors():
        where = "-".join(str(part).replace("_", "-") for part in problem["loc"][:1])
        message = problem["msg"].removeprefix("Value error, ")
        parts.append(f"--{where}: {message}" if where else message)
    return "; ".join(dict.fromkeys(parts))
