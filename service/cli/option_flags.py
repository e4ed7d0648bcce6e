"""Command-line flags for output and matte options, made from the settings so that each is declared once."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError

from cutoutd.config.errors import CutoutError, UsageError, printable
from cutoutd.config.explain import problems_of
from cutoutd.config.fixes import Fixes
from cutoutd.config.load import load_settings
from cutoutd.config.matte import Matte
from cutoutd.config.output import PART, Deliverable, Output
from cutoutd.config.places import models_dir
from cutoutd.config.presets import builtin, expand, packs, unpack
from cutoutd.config.units import whole_number
from cutoutd.service.cli.path_type import PathType

# Matte's `engine` would read like the inference engine on a command line.
_FLAG_NAMES = {("matte", "engine"): "edge-engine"}
# Takes points besides its words.
_POINTS = "matte__keep"
remove_option = click.option(
    "--remove",
    multiple=True,
    metavar="X,Y",
    help="A point, in px or %, of what does not belong to the subject (may be given several times).",
)
mask_option = click.option(
    "--mask",
    type=PathType(path_type=Path, exists=True, dir_okay=False),
    help="A mask of the one photo, edited by hand: white or opaque is subject. It takes the network's place.",
)
# Options whose values become names of files.
_FILE_NAMES = ("name", "folder")
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
        prefix, _, name = parameter.partition("__")
        more = " A point x,y belongs to the subject; give as many as need be." if parameter == _POINTS else ""
        values = choices(Output if prefix == "output" else Matte, name)
        kind: dict[str, Any] = {} if "/" in flag else {"metavar": "|".join(values) or "VALUE"}
        if values and "/" not in flag:
            kind["shell_complete"] = completer(lambda values=values: values)
        if parameter == _POINTS:
            kind |= {"multiple": True, "metavar": "|".join((*values, "NUMBER", "X,Y"))}
        command = click.option(flag, parameter, default=None, help=text + more, **kind)(command)
    return command


# What `--help` says above the options of each kind, by what their parameters' names begin with.
_HEADINGS = {
    "": "Options",
    "output": "What the cutout looks like",
    "matte": "What belongs to the subject, and its edge",
}
# Declared here rather than in the settings, and about one photo's subject.
_OF_THE_SUBJECT = ("remove", "mask", "forget_points")


class Sectioned(click.Command):
    """A command whose help has the options of a picture and of its subject apart from those of the run."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click's, in several lists."""
        lists: dict[str, list[tuple[str, str]]] = {kind: [] for kind in _HEADINGS}
        for parameter in self.get_params(ctx):
            name = parameter.name or ""
            kind = "matte" if name in _OF_THE_SUBJECT else name.partition("__")[0]
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                lists[kind if kind in lists else ""].append(record)
        for kind, heading in _HEADINGS.items():
            with formatter.section(heading):
                formatter.write_dl(lists[kind])


def choices(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """The words that an option takes, from its declaration; where numbers are taken too, the words among them."""
    if name == "background":
        return ("transparent", "photo", "white", "black", "#rrggbb", "PICTURE")
    return tuple(dict.fromkeys(_words(model.model_fields[name].annotation)))


def _words(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(value) for value in get_args(annotation))
    elif get_args(annotation):
        for inner in get_args(annotation):
            yield from _words(inner)


def completer(values: Callable[[], Iterable[str]]) -> Callable[..., list[str]]:
    """Completes an option's value with those of these words that begin like what is typed."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        """The values that begin with what was typed."""
        return [value for value in values() if value.startswith(incomplete) and not value.isupper()]

    return complete


def preset_names() -> list[str]:
    """Every preset that can be named: your own, ours, and packs."""
    own: Iterable[str] = ()
    with suppress(CutoutError):
        own = load_settings().settings.preset
    return [*own, *builtin(), *packs()]


def model_names() -> list[str]:
    """Every network that is installed, and the names for what is best or fastest."""
    from cutoutd.models.networks.catalog import installed

    try:
        return ["fast", "standard", "best", *installed(models_dir())]
    except CutoutError:
        return ["fast", "standard", "best"]


def deliverable_labels() -> list[str]:
    """The labels of the configuration's deliverables."""
    try:
        inboxes = load_settings().settings.inbox
    except CutoutError:
        return []
    return list(dict.fromkeys(one.label for inbox in inboxes for one in inbox.any_deliverables()))


def given(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The options of one kind that were given, by field name."""
    start = f"{prefix}__"
    return {
        name.removeprefix(start): v
        for name, v in values.items()
        if name.startswith(start) and v is not None and v != ()
    }


def output_options(values: dict[str, Any]) -> dict[str, Any]:
    """The output options that flags describe, as the config would hold them; each is checked by itself.

    What they contradict is for the inbox to say that they are added to.

    Raises:
        UsageError: an option has a bad value.
    """
    try:
        part = Output.model_validate(_texts(given(values, "output")), context={PART: True})
    except ValidationError as error:
        raise UsageError(sentence(error, Output), fix="`cutoutd redo --help` lists every option.") from error
    return part.model_dump(exclude_unset=True, mode="json")


def deliverables(
    values: dict[str, Any],
    presets: tuple[str, ...],
    custom: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> tuple[Deliverable, ...]:
    """The deliverables that flags and presets describe.

    Args:
        values: the command's parameters.
        presets: names of presets and packs.
        custom: presets of the user's configuration, which win over ours of the same name.

    Raises:
        UsageError: an option has a bad value, or two exclude each other.
    """
    options = _texts(given(values, "output"))
    names = unpack(presets)
    try:
        if not names:
            return (Deliverable.model_validate(options),)
        several = {"label": ""} if len(names) == 1 else {}
        found: list[Deliverable] = []
        for name in names:
            raw: dict[str, Any] = {"preset": name, **options, **several, "label": name}
            if len(names) > 1 and "name" not in options and "folder" not in options:
                raw["name"] = "{stem}-{deliverable}"
            found.append(Deliverable.model_validate(expand(raw, custom)))
        return tuple(found)
    except (ValidationError, ValueError) as error:
        raise UsageError(
            sentence(error, Deliverable), fix="`cutoutd once --help` lists every option."
        ) from error


def matte_options(values: dict[str, Any]) -> Matte:
    """The matte options that flags describe.

    Raises:
        UsageError: an option has a bad value.
    """
    options = given(values, "matte")
    if isinstance(options.get("keep"), tuple):
        words = [one for one in options.pop("keep") if "," not in one]
        if len(words) > 1:
            raise UsageError(
                f"--keep says {' and '.join(words)}", fix="Give one of them, beside any points x,y."
            )
        if words:
            options["keep"] = words[0]
    number = whole_number(str(options.get("keep", "")))
    if number is not None:
        options["keep"] = number
    try:
        return Matte.model_validate(_texts(options))
    except ValidationError as error:
        raise UsageError(sentence(error, Matte), fix="`cutoutd once --help` lists every option.") from error


def _texts(options: dict[str, Any]) -> dict[str, Any]:
    """The same options. Raises UsageError where one is no text: bytes that are no UTF-8 are in file names alone."""
    for name, value in options.items():
        if name not in _FILE_NAMES and isinstance(value, str) and not value.isprintable():
            raise UsageError(
                f'--{name.replace("_", "-")}: "{printable(value)}" holds what is no text',
                fix="Leave that out; a picture needs a name in plain letters for this.",
            )
    return options


def fixes_of(values: Mapping[str, Any]) -> Fixes:
    """The points of --keep and --remove.

    Raises:
        UsageError: one is no point.
    """
    keep = tuple(one for one in values.get(_POINTS) or () if "," in one)
    try:
        return Fixes.of(keep, tuple(values.get("remove") or ()))
    except ValueError as error:
        raise UsageError(str(error), fix='Points are "x,y" in px or %, from the top left corner.') from error


def corrects(mask: Path | None, fixes: Fixes, *, one: bool) -> None:
    """Whether corrections make sense together, and for what they are given.

    Args:
        mask: edited by hand.
        fixes: points.
        one: whether they are for one photo.

    Raises:
        UsageError: they do not.
    """
    if (mask is not None or fixes) and not one:
        raise UsageError("Points and a mask are for one photo", fix="Name that one alone.")
    if mask is not None and fixes:
        raise UsageError(
            "A mask says all that points could", fix="Leave out --mask, or --keep and --remove with points."
        )


# What is called so in a configuration's inbox is another option here.
_OTHERWISE = {"quality": " (it is the file's; a network is chosen by `once --model`, or by the inbox)"}


def sentence(error: ValueError, root: type[BaseModel]) -> str:
    """What is wrong with the options of a table, as one sentence per problem."""
    if not isinstance(error, ValidationError):
        return str(error)
    parts: list[str] = []
    for problem in problems_of(error, root):
        where = "-".join(str(part).replace("_", "-") for part in problem.place[:1])
        parts.append(f"--{where}: {problem.message}{_OTHERWISE.get(where, '')}" if where else problem.message)
    return as_typed("; ".join(dict.fromkeys(parts)), root)


def as_typed(text: str, root: type[BaseModel] = Output) -> str:
    """A sentence with the options of a table as flags, where a configuration would have them assigned."""
    return _ASSIGNED.sub(lambda found: _as_flag(found, root), text)


# An option and its value as a configuration has them; a second one that would do as well may follow.
_ASSIGNED = re.compile(r'([a-z_]+) = (?:"([^"]*)"(?: or "([^"]*)")?|(\w+))')


def _as_flag(found: re.Match[str], root: type[BaseModel]) -> str:
    """One of them, if it is of this table."""
    name, text, other, plain = found.groups()
    if name not in root.model_fields:
        return found[0]
    flag = _FLAG_NAMES.get((root.__name__.lower(), name), name).replace("_", "-")
    if plain in ("true", "false"):
        return f"--{flag}" if plain == "true" else f"--no-{flag}"
    return f"--{flag} {plain or shlex.quote(text)}{f' or {shlex.quote(other)}' if other else ''}"
