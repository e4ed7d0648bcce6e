"""Ready sets of output options and packs of them: the table is presets.toml, output.py validates."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from msgspec import Struct


class Preset(Struct, frozen=True):
    """One row of the table: its options, what it is for, and the rule it follows with the rule's source."""

    name: str
    about: str
    options: Mapping[str, Any]
    rule: str = ""
    source: str = ""


@cache
def _table() -> dict[str, Any]:
    text = resources.files("cutoutd.config").joinpath("presets.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def builtin() -> Mapping[str, Preset]:
    """The presets that come with cutoutd, by name, in the table's order."""
    return {
        name: Preset(
            name=name,
            about=row["about"],
            options=row["options"],
            rule=row.get("rule", ""),
            source=row.get("source", ""),
        )
        for name, row in _table()["preset"].items()
    }


def packs() -> Mapping[str, tuple[str, ...]]:
    """Names that stand for several presets at once, such as "marketplaces"."""
    return {name: tuple(row["presets"]) for name, row in _table()["pack"].items()}


def pack_about(name: str) -> str:
    """What a pack is for, in a line."""
    return str(_table()["pack"][name]["about"])


def unpack(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The presets behind these preset and pack names, in order, each once."""
    known = packs()
    flat = [one for name in names for one in known.get(name, (name,))]
    return tuple(dict.fromkeys(flat))


def expand(raw: Mapping[str, Any], custom: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """The options of the preset that `raw` names, overridden by what `raw` says itself.

    Args:
        raw: options as written; without a "preset" they are returned as they are.
        custom: presets from the user's own configuration; each may name a preset that it builds on, and one
            with a built-in's name replaces it.

    Returns:
        A new dict that still names the preset, for the record.

    Raises:
        ValueError: no such preset (with the nearest name), a pack in place of a preset, or a circle.
    """
    own = custom or {}
    layers: list[Mapping[str, Any]] = [raw]
    seen: list[str] = []
    name = raw.get("preset")
    while name:
        again = name in seen
        seen.append(str(name))
        # A user's "web" that builds on "web" means the built-in one.
        if again and (name not in builtin() or seen.count(str(name)) > 2):
            raise ValueError(f"presets build on each other in a circle: {' > '.join(seen)}")
        options = _options(str(name), {} if again else own)
        layers.append(options)
        name = options.get("preset")
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged.update(layer)
    return merged


def _options(name: str, custom: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    if name in custom:
        return custom[name]
    if name in builtin():
        return builtin()[name].options
    if name in packs():
        raise ValueError(
            f'"{name}" is a pack of several presets ({", ".join(packs()[name])}): name one of them here'
        )
    known = [*custom, *builtin(), *packs()]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"these exist: {', '.join(known)}"
    raise ValueError(f'there is no preset "{name}"; {hint}')
