"""One setting in words (type, default, bounds), for messages and the reference; it validates nothing."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from cutoutd.config import errors, units

_SIMPLE = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    dict: "table",
}
# Numbers beyond this are not written out in sentences.
_MOST_WRITTEN = 10**40
_BOUNDS = (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))


def members(annotation: Any) -> Iterator[Any]:
    """The types behind an annotation, unions opened and `Annotated` kept; `None` is left out."""
    if get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from members(part)
    elif annotation is not type(None):
        yield annotation


def bare(annotation: Any) -> Any:
    """The annotation without its `Annotated` wrapping."""
    return bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The table behind an annotation: `Limits`, or `Inbox` for `tuple[Inbox, ...]`; None for plain values."""
    for member in members(annotation):
        inner = bare(member)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
        if get_origin(inner) in (tuple, list):
            return model_of(get_args(inner)[0])
    return None


def is_array_of_tables(annotation: Any) -> bool:
    """Whether the setting is written as `[[name]]`."""
    inner = bare(annotation)
    return get_origin(inner) in (tuple, list) and model_of(inner) is not None


def metadata(field: FieldInfo) -> list[Any]:
    """All constraints and parsers of a field, those of optional types included."""
    found = list(field.metadata)
    for member in members(field.annotation):
        if get_origin(member) is Annotated:
            found.extend(get_args(member)[1:])
    return [part for item in found for part in (item.metadata if isinstance(item, FieldInfo) else [item])]


def kind(field: FieldInfo) -> Literal["duration", "size", "percent", "plain"]:
    """The unit family of a field, read off the parser it declares."""
    for item in metadata(field):
        if isinstance(item, BeforeValidator) and item.func is units.parse_duration_s:
            return "duration"
        if isinstance(item, BeforeValidator) and item.func is units.parse_bytes:
            return "size"
        if isinstance(item, BeforeValidator) and getattr(item.func, "__name__", "") == "_percent":
            return "percent"
    return "plain"


def type_text(field: FieldInfo) -> str:
    """What may be written there: `duration`, `"oldest" or "newest"`, `list of texts`."""
    family = kind(field)
    if family != "plain":
        return {"duration": "duration", "size": "size", "percent": "number of per cent"}[family]
    choices: list[str] = []
    for member in members(field.annotation):
        choices.extend(_member_texts(bare(member)))
    return join_or(choices)


def _member_texts(annotation: Any) -> list[str]:
    origin = get_origin(annotation)
    if origin is Literal:
        return [toml_text(value) for value in get_args(annotation)]
    if origin in (tuple, list):
        inner = get_args(annotation)[0]
        if model_of(inner) is not None:
            return ["tables"]
        return [f"list of {join_or([t for m in members(inner) for t in _member_texts(bare(m))])}"]
    return [_SIMPLE.get(origin or annotation, "table")]


def bounds_text(field: FieldInfo) -> str:
    """`at least 1, at most 64`, in the field's own unit; empty where anything goes."""
    parts: list[str] = []
    for item in metadata(field):
        for name, words in _BOUNDS:
            limit = getattr(item, name, None)
            if limit is not None:
                parts.append(f"{words} {in_unit(field, limit)}")
    return ", ".join(dict.fromkeys(parts))


def in_unit(field: FieldInfo, value: float) -> str:
    """A number in the field's own unit: `10s`, `200MB`, `85`."""
    if isinstance(value, int) and abs(value) > _MOST_WRITTEN:  # no float holds the largest of them
        return "this number"
    family = kind(field)
    if family == "duration" and value > 0:
        return units.format_duration(value)
    if family == "size" and value > 0:
        return units.format_bytes(value)
    return f"{value:g}"


def default_text(field: FieldInfo) -> str | None:
    """The default as it would be written in TOML; None where there is none or where it is "unset"."""
    if field.is_required():
        return None
    default: Any = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, BaseModel):
        return None
    family = kind(field)
    if family == "duration":
        return toml_text(units.format_duration(default))
    if family == "size":
        return toml_text(units.format_bytes(default))
    return toml_text(default)


def toml_text(value: Any) -> str:
    """A plain value as TOML writes it."""
    if isinstance(value, list | tuple):
        parts: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType] - any value may stand here
        return f"[{', '.join(toml_text(part) for part in parts)}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < _MOST_WRITTEN:
        return str(int(value))
    if isinstance(value, str):
        return errors.toml_text(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return str(value)


def join_or(choices: list[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    unique = list(dict.fromkeys(choices))
    if len(unique) < 2:
        return "".join(unique)
    return f"{', '.join(unique[:-1])} or {unique[-1]}"
