"""Finds the configuration, reads it and reports every mistake in it at once; it declares no option itself."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from msgspec import Struct, field
from pydantic import ValidationError

from cutoutd.config import places, presets
from cutoutd.config.errors import ConfigError, UsageError, printable
from cutoutd.config.explain import Problem, key_text, problems_of, truth_meant, unknown_option
from cutoutd.config.folders import folder_problems
from cutoutd.config.locate import Place, line_of, locate
from cutoutd.config.missing import missing_things
from cutoutd.config.output import Deliverable, Output
from cutoutd.config.plain_file import bounded, read_plain
from cutoutd.config.rules import deliverables_of, unpack_deliverable
from cutoutd.config.settings import Settings
from cutoutd.config.typed_paths import typed_path
from cutoutd.config.units import BASE_FOLDER

_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


# Nobody writes so much; a device in its place never ends.
_MOST_BYTES = 16_000_000


class Loaded(Struct, frozen=True):
    """Settings and where they came from."""

    settings: Settings
    path: Path | None  # None: no config file, the defaults hold
    digest: str  # BLAKE2b of the file's bytes, to notice a change; empty without a file


class Instead(Struct, frozen=True):
    """What the command line says instead of the file."""

    inbox: Path | None = None
    outbox: Path | None = None
    model: str | None = None
    look: bool = False


NOTHING_INSTEAD = Instead()


def load_settings(
    explicit: Path | None = None,
    *,
    inbox: Path | None = None,
    outbox: Path | None = None,
    model: str | None = None,
    environ: Mapping[str, str] = os.environ,
    look: bool = False,
    anew: bool = False,
) -> Loaded:
    """The settings in force.

    Args:
        explicit: the file named by `--config`; unset, `$CUTOUTD_CONFIG`, then the user's and the
            site's file. Without any file one inbox and one outbox lie under the user's Pictures folder.
        inbox: replaces all configured inboxes by this one with the default options; needs `outbox`.
        outbox: the outbox of `inbox`.
        model: replaces the model of every inbox.
        environ: environment to look for `$CUTOUTD_CONFIG` in.
        look: find missing what options name too (`missing.py`), for `config check` and the doctor; the daemon itself
            starts without a background picture, whose disk may come later.
        anew: by a daemon at work, which waits for no pipe that was put in the file's place.

    Raises:
        ConfigError: a named file is missing or unreadable, or its contents are wrong; `problems` holds one
            line per mistake, all of them.
        UsageError: only one of inbox and outbox is given.
    """
    if (inbox is None) != (outbox is None):
        raise UsageError("an inbox and an outbox belong together", fix="Give both --inbox and --outbox.")
    instead = Instead(inbox, outbox, model, look)
    path = find_config(explicit, environ)
    if path is None:
        return Loaded(parse_settings("", None, instead), None, "")
    data = _read(path, anew=anew)
    if anew and not data.strip():
        raise ConfigError(
            "the config file is empty", path, "Restart cutoutd for its defaults, which need no configuration."
        )
    return Loaded(parse_settings(_decode(data, path), path, instead), path, hashlib.blake2b(data).hexdigest())


def find_config(explicit: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The config file in force, or None when there is none anywhere.

    Raises:
        ConfigError: the file named by `--config` or `$CUTOUTD_CONFIG` does not exist, or one may not be looked for.
    """
    if explicit is not None:
        explicit = typed_path(explicit)
        if not _lies_there(explicit):
            raise ConfigError("there is no such config file", explicit, "Check the name after --config.")
        return explicit
    candidates = places.config_candidates(environ)
    if environ.get("CUTOUTD_CONFIG") and not _lies_there(candidates[0]):
        raise ConfigError("there is no such config file", candidates[0], "$CUTOUTD_CONFIG names it.")
    return next((path for path in candidates if _lies_there(path) and path.is_file()), None)


def _lies_there(path: Path) -> bool:
    """Whether anything has this name; raises ConfigError where that may not be asked, as below another user's home."""
    try:
        return path.exists()
    except PermissionError as error:
        raise ConfigError(
            f"it may not be seen whether there is a config file ({error.strerror})",
            path,
            "See that $HOME is this user's own, or name the file with --config or $CUTOUTD_CONFIG.",
        ) from error
    except OSError:  # a name that no file can have
        return False


def _read(path: Path, *, anew: bool) -> bytes:
    try:
        if anew or path.is_file():
            return read_plain(path, _MOST_BYTES)
        with path.open("rb") as file:  # a pipe, as `--config <(…)` makes
            return bounded(file.read(_MOST_BYTES + 1), _MOST_BYTES, path)
    except OSError as error:
        raise ConfigError(f"the config file cannot be read ({error.strerror})", path) from error


def _decode(data: bytes, path: Path) -> str:
    try:
        # TOML's newline is \n or \r\n; a byte order mark is what some editors leave in front.
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _config_error(
            path, [f"{_name(path)}:{line}: not UTF-8: save the file as UTF-8 text"]
        ) from error


def parse_settings(text: str, path: Path | None = None, instead: Instead = NOTHING_INSTEAD) -> Settings:
    """Settings from TOML text.

    Args:
        text: what the config file holds.
        path: that file, for messages and for relative paths; unset, paths are relative to the working folder.
        instead: what the command line says instead.

    Raises:
        ConfigError: with every mistake as one line of `problems`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _config_error(path, [f"{_name(path)}:{_syntax(str(error), text)}"]) from error
    except RecursionError:
        raise _config_error(path, [f"{_name(path)}: brackets are nested too deeply to be read"]) from None
    lines = locate(text)
    prepared = _prepare(document, instead)
    problems = list(prepared.problems)
    settings: Settings | None = None
    base = path.parent if path is not None else Path.cwd()
    try:
        settings = Settings.model_validate(prepared.raw, context={BASE_FOLDER: base})
    except ValidationError as error:
        problems += [_where_written(problem, prepared.moved) for problem in problems_of(error)]
    if settings is not None:
        problems += folder_problems(settings)
        problems += missing_things(settings) if instead.look else []
    if problems or settings is None:
        typed = [f"{option}: {p.message}" for p in problems if (option := _typed(p.place, instead))]
        unique = dict.fromkeys(
            (line_of(lines, p.place), f"{key_text(p.place)}: " if p.place else "", p.message)
            for p in problems
            if not _typed(p.place, instead)
        )
        ordered = sorted(unique, key=lambda problem: problem[0])
        if path is None and not text:  # from the command line alone: there is no line to name
            raise _config_error(None, [*typed, *(message for _, _, message in ordered)])
        written = [f"{_name(path)}:{line}: {key}{message}" for line, key, message in ordered]
        raise _config_error(path, [*typed, *written])
    return settings


def _typed(place: Place, instead: Instead) -> str:
    """The option of the command line that a mistake was made in; "" where it stands in the file."""
    if instead.inbox is None or place[:1] != ("inbox",):
        return ""
    return "--outbox" if place[-1] == "outbox" else "--inbox" if place[-1] == "path" else ""


class _Prepared(Struct):
    """A document with command line and presets worked in."""

    raw: dict[str, Any]
    presets: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    problems: list[Problem] = field(default_factory=list[Problem])
    # Where each deliverable was written, since packs shift the numbers.
    moved: dict[Place, Place] = field(default_factory=dict[Place, Place])

    def inbox(self, entry: dict[str, Any], place: Place, model: str | None) -> dict[str, Any]:
        """One [[inbox]] table with its presets worked in."""
        inbox = dict(entry)
        if model is not None:
            inbox["model"] = model
        if isinstance(inbox.get("output"), dict):
            inbox["output"] = self._expanded(inbox["output"], (*place, "output"))
        if isinstance(inbox.get("deliver"), list):
            deliveries: list[Any] = []
            for index, wanted in enumerate(cast("list[Any]", inbox["deliver"])):
                origin = (*place, "deliver", index)
                for one in unpack_deliverable(wanted):
                    self.moved[*place, "deliver", len(deliveries)] = origin
                    deliveries.append(self._expanded(one, origin) if isinstance(one, dict) else one)
            inbox["deliver"] = deliveries
        if isinstance(inbox.get("rule"), list):
            inbox["rule"] = [
                self._rule(cast("dict[str, Any]", rule), (*place, "rule", index))
                if isinstance(rule, dict)
                else rule
                for index, rule in enumerate(cast("list[Any]", inbox["rule"]))
            ]
        return inbox

    def _rule(self, rule: dict[str, Any], place: Place) -> dict[str, Any]:
        """One [[inbox.rule]] table with its presets worked in."""
        deliveries: list[Any] = []
        written = rule.get("deliver")
        for wanted in deliverables_of(rule):
            own = isinstance(written, list) and wanted in written
            origin = (*place, "deliver", cast("list[Any]", written).index(wanted)) if own else place
            self.moved[*place, "deliver", len(deliveries)] = origin
            deliveries.append(self._expanded(wanted, origin) if isinstance(wanted, dict) else wanted)
        return {**rule, "deliver": deliveries} if deliveries else rule

    def _expanded(self, options: Any, place: Place) -> dict[str, Any]:
        written = cast("dict[str, Any]", options)
        try:
            return presets.expand(written, self.presets)
        except ValueError as error:
            self.problems.append(Problem((*place, "preset"), str(error)))
            return {key: value for key, value in written.items() if key != "preset"}


def _prepare(document: dict[str, Any], instead: Instead) -> _Prepared:
    raw = dict(document)
    if instead.inbox is not None:
        raw["inbox"] = [{"path": str(_absolute(instead.inbox)), "outbox": str(_absolute(instead.outbox))}]
    elif "inbox" not in raw:
        watched, delivered = places.default_folders(places.pictures_dir())
        raw["inbox"] = [{"path": str(watched), "outbox": str(delivered)}]
    prepared = _Prepared(raw)
    prepared.presets = _custom_presets(raw, prepared.problems)
    if isinstance(raw["inbox"], list):
        entries = cast("list[Any]", raw["inbox"])
        raw["inbox"] = [
            prepared.inbox(cast("dict[str, Any]", entry), ("inbox", index), instead.model)
            if isinstance(entry, dict)
            else entry
            for index, entry in enumerate(entries)
        ]
    return prepared


def _custom_presets(raw: dict[str, Any], problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """The user's own presets without their mistakes, which are reported at the preset and not at each use."""
    tables = raw.get("preset")
    if not isinstance(tables, dict):
        return {}
    sound: dict[str, dict[str, Any]] = {}
    for name, options in cast("dict[str, Any]", tables).items():
        if not isinstance(options, dict):
            continue  # the settings themselves say that this is no table
        kept = dict(cast("dict[str, Any]", options))
        for place, message in _option_problems(kept):
            problems.append(Problem(("preset", name, *place), message))
            kept.pop(str(place[0]), None)
        sound[name] = kept
    raw["preset"] = {**tables, **sound}
    return sound


def _option_problems(options: dict[str, Any]) -> list[tuple[Place, str]]:
    """What is wrong with single options; whether they fit together is judged where the preset is used."""
    found: list[tuple[Place, str]] = [
        ((key,), unknown_option(Output, key)) for key in options if key not in Deliverable.model_fields
    ]
    try:
        Deliverable.model_validate({k: v for k, v in options.items() if k in Deliverable.model_fields})
    except ValidationError as error:
        found += [(p.place, p.message) for p in problems_of(error, Deliverable) if p.place]
    return found


def _where_written(problem: Problem, moved: dict[Place, Place]) -> Problem:
    """The problem at the deliverable as written, where a pack before it shifted the numbers."""
    place = problem.place
    return Problem((*moved.get(place[:4], place[:4]), *place[4:]), problem.message)


def _syntax(message: str, text: str) -> str:
    """The parser's message with the line in front."""
    match = _TOML_PLACE.search(message)
    what = message[: match.start()] if match else message
    if what == "Cannot overwrite a value":
        what = "a key or table is written twice"
    line = int(match[1]) if match and match[1] else text.count("\n") + 1
    column = f", column {match[2]}" if match and match[2] else ""
    hint = " (a path with backslashes goes in single quotes)" if "\\" in what else _truth_hint(text, line)
    return f"{line}: not valid TOML{column}: {what[:1].lower()}{what[1:]}{hint}"


def _truth_hint(text: str, line: int) -> str:
    """For `recursive = yes`, which is no TOML."""
    _, _, value = next(iter(text.splitlines()[line - 1 : line]), "").partition("=")
    meant = truth_meant(value.partition("#")[0])
    return f" (did you mean {meant}?)" if meant else ""


def _name(path: Path | None) -> str:
    return printable(path) if path is not None else "<settings>"


def _config_error(path: Path | None, lines: list[str]) -> ConfigError:
    count = "a mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return ConfigError(f"the configuration has {count}", path, problems=tuple(lines))


def _absolute(path: Path | None) -> Path | None:
    """A path from the command line starts at the working directory, not at the config file."""
    return None if path is None else typed_path(path)
