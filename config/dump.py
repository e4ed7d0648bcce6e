"""Settings in force as TOML that reads back to the same settings; it reads nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cutoutd.config import describe
from cutoutd.config.settings import Settings


def to_toml(settings: Settings) -> str:
    """Every setting with its value, presets already worked in; unset ones are left out."""
    return "\n".join(_table(settings, "")).strip() + "\n"


def _table(table: BaseModel, header: str) -> Iterator[str]:
    below: list[tuple[str, Any]] = []
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        if isinstance(value, BaseModel | dict) or describe.is_array_of_tables(field.annotation):
            below.append((name, value))  # pyright: ignore[reportUnknownArgumentType] - a table of any kind
        elif value is not None:
            yield f"{name} = {_text(field, value)}"
    for name, value in below:
        yield from _nested(f"{header}{name}", value)


def _nested(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield f"\n[{path}]"
        yield from _table(value, f"{path}.")
    elif isinstance(value, dict):
        for name, options in _items(value):
            yield f"\n[{path}.{describe.toml_text(name)}]"
            yield from (f"{key} = {describe.toml_text(setting)}" for key, setting in _items(options))
    else:
        for entry in value:
            yield f"\n[[{path}]]"
            yield from _table(entry, f"{path}.")


def _items(table: Any) -> Iterator[tuple[str, Any]]:
    yield from table.items()


def _text(field: Any, value: Any) -> str:
    if isinstance(value, Path):
        return describe.toml_text(str(value))
    if describe.kind(field) in {"duration", "size"}:
        return describe.toml_text(describe.in_unit(field, value))
    return describe.toml_text(value)
