"""Our records as JSON and back, strictly by their annotations; it moves no bytes between processes.

What a worker sends is hostile: it decodes files that anybody may have written. So nothing is built here that the
reader's own annotations do not name: no class comes from the message, every number has a range, every text a
length and printable characters only. Not for files and not for settings.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, Union, cast

from pydantic import BaseModel

# Under this key a record says what it is; no field is called so.
_KIND: Final = "is"
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")


class SchemaError(ValueError):
    """A message is not what its reader asked for; says in a few words where and why, never what it held."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number's smallest and largest value; for `Annotated`."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Text:
    """Printable text of at most `longest` characters; `lines` also lets line feeds through. For `Annotated`."""

    longest: int
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Hex:
    """Exactly so many hexadecimal digits, or none where `empty`; for `Annotated`."""

    digits: int
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Most:
    """At most so many entries of a list or table; for `Annotated`."""

    entries: int


@dataclass(frozen=True, slots=True)
class Raw:
    """Plain values that whoever asked reads himself; for `Annotated`."""


Rule = Range | Text | Hex | Most | Raw


def printed(text: object, longest: int, *, lines: bool = False) -> str:
    """Any text made fit for `Text`: what is not printable as an escape, and cut.

    Args:
        text: what to say.
        longest: characters of the answer at most.
        lines: line feeds stay.
    """
    shown = "".join(
        one if one.isprintable() or (lines and one == "\n") else one.encode("unicode_escape").decode("ascii")
        for one in str(text)[:longest]
    )
    return shown[:longest]


# --- out


def to_json(value: Any) -> Any:
    """A record, model or plain value as what `json` can write; tuples become lists, bytes hexadecimal.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [to_json(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_key(key): to_json(one) for key, one in cast("dict[Any, Any]", value).items()}
    if isinstance(value, BaseModel):
        return {"fields": to_json(value.model_dump()), "set": sorted(value.model_fields_set)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = cast("type[Any]", type(value))
        return {_KIND: kind.__name__, **{name: to_json(getattr(value, name)) for name in _names(kind)}}
    raise TypeError(f"{type(value).__name__} cannot travel to another process")


@cache
def _names(record: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError("a table's keys must be text")
    return key


def dumps(value: Any) -> bytes:
    """One message's bytes; paths that are no UTF-8 survive."""
    return json.dumps(to_json(value), ensure_ascii=True, separators=(",", ":")).encode("ascii")


# --- in


def loads(data: bytes, *, trusted: bool) -> Any:
    """One message's plain values.

    Args:
        data: ASCII JSON.
        trusted: it comes from the supervisor, which may say infinity and names that are no UTF-8.

    Raises:
        SchemaError: it is no JSON, nests without end, or holds a number that is none.
    """
    try:
        return json.loads(data.decode("ascii"), parse_constant=None if trusted else _no_number)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"no message ({type(error).__name__})") from error


def _no_number(_name: str) -> float:
    raise ValueError("not a finite number")


def from_json(wanted: Any, value: Any, *, at: str = "answer", trusted: bool = False) -> Any:
    """What `to_json` was given, of exactly the wanted type.

    Args:
        wanted: a type or annotation: records, lists, tables, plain types, `Annotated` with rules. What comes from a
            worker must have a rule for every number and text.
        value: plain values from `loads`.
        at: what the message calls this place, for the error.
        trusted: from the supervisor: rules are not needed, models of the settings and any plain value may come.

    Raises:
        SchemaError: it is something else.
    """
    return _read(wanted, value, at, (), trusted)


def _read(wanted: Any, value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    origin = typing.get_origin(wanted)
    if origin is typing.Annotated:
        inner, *more = typing.get_args(wanted)
        return _read(inner, value, at, (*rules, *more), trusted)
    if origin is Literal:
        return _choice(typing.get_args(wanted), value, at)
    if origin in (Union, types.UnionType):
        return _one_of(typing.get_args(wanted), value, at, rules, trusted)
    if origin in (tuple, list):
        return _entries(wanted, value, at, rules, trusted)
    if origin is dict:
        return _table(typing.get_args(wanted), value, at, rules, trusted)
    if wanted is Any:
        return value if trusted or Raw() in rules else _wrong(at, "nobody knows what it may be")
    if wanted is None or wanted is type(None):
        return None if value is None else _wrong(at, "not null")
    if isinstance(wanted, type):
        return _of_type(cast("type[Any]", wanted), value, at, rules, trusted)
    return _wrong(at, "its annotation is not understood")


def _of_type(wanted: type[Any], value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    if issubclass(wanted, Enum):
        return wanted(_choice(tuple(one.value for one in wanted), value, at))
    if dataclasses.is_dataclass(wanted):
        return _record(wanted, value, at, trusted)
    if issubclass(wanted, BaseModel):
        return _model(wanted, value, at) if trusted else _wrong(at, "a model")
    if wanted is bool:
        return value if type(value) is bool else _wrong(at, "not true or false")
    reader = _PLAIN.get(wanted)
    return _wrong(at, "not a type that travels") if reader is None else reader(value, at, rules, trusted)


def _wrong(at: str, why: str) -> Any:
    raise SchemaError(f"{at}: {why}")


def _choice(allowed: tuple[Any, ...], value: Any, at: str) -> Any:
    for one in allowed:
        word = one.value if isinstance(one, Enum) else one
        if type(word) is type(value) and word == value:
            return one
    return _wrong(at, "none of the words that are allowed")


def _one_of(wanted: tuple[Any, ...], value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    if isinstance(value, dict) and _KIND in value:
        # Only one of several records can be meant: its own complaint says more than "none of them".
        named = [one for one in wanted if getattr(one, "__name__", "") == cast("Any", value)[_KIND]]
        wanted = tuple(named) or wanted
    problem = SchemaError(f"{at}: none of the types that are allowed")
    for one in wanted:
        try:
            return _read(one, value, at, rules, trusted)
        except SchemaError as error:
            problem = error
    raise problem


def _entries(wanted: Any, value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    kinds = typing.get_args(wanted)
    if type(value) is not list:
        return _wrong(at, "not a list")
    entries = cast("list[Any]", value)
    _few(entries, at, rules, trusted or (typing.get_origin(wanted) is tuple and kinds[-1:] != (...,)))
    if typing.get_origin(wanted) is list:
        return [_read(kinds[0], one, at, (), trusted) for one in entries]
    if kinds[-1:] == (...,):
        return tuple(_read(kinds[0], one, at, (), trusted) for one in entries)
    if len(kinds) != len(entries):
        return _wrong(at, "another number of entries")
    return tuple(_read(kind, one, at, (), trusted) for kind, one in zip(kinds, entries, strict=True))


def _table(kinds: tuple[Any, ...], value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    if type(value) is not dict:
        return _wrong(at, "not a table")
    table = cast("dict[str, Any]", value)
    _few(table, at, rules, trusted)
    of_key, of_value = kinds
    return {
        _read(of_key, key, at, (), trusted): _read(of_value, one, at, (), trusted)
        for key, one in table.items()
    }


def _few(found: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> None:
    most = next((rule.entries for rule in rules if isinstance(rule, Most)), None)
    if most is None and not trusted:
        _wrong(at, "its number of entries has no limit")
    if most is not None and len(found) > most:
        _wrong(at, "too many entries")


@cache
def _hints(wanted: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(wanted, include_extras=True)


def _record(wanted: type[Any], value: Any, at: str, trusted: bool) -> Any:
    if type(value) is not dict:
        return _wrong(at, "not a record")
    record = cast("dict[str, Any]", value)
    hints = _hints(wanted)
    names = _names(wanted)
    if record.get(_KIND) != wanted.__name__ or record.keys() != {_KIND, *names}:
        return _wrong(at, f"not a {wanted.__name__} with exactly its fields")
    return wanted(**{name: _read(hints[name], record[name], f"{at}.{name}", (), trusted) for name in names})


def _model(wanted: type[BaseModel], value: Any, at: str) -> Any:
    """A model of the settings, which were checked when they were read."""
    if type(value) is not dict:
        return _wrong(at, "not a model")
    model = cast("dict[str, Any]", value)
    return wanted.model_construct(_fields_set=set(model["set"]), **model["fields"])


def _number(value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    limits = next((rule for rule in rules if isinstance(rule, Range)), None)
    if limits is None:
        return value if trusted else _wrong(at, "its range is not known")
    if not (math.isfinite(value) and limits.low <= value <= limits.high):
        return _wrong(at, "out of range")
    return value


def _integer(value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    if type(value) is not int:
        return _wrong(at, "not a whole number")
    limits = next((rule for rule in rules if isinstance(rule, Range)), None)
    if limits is None:
        return value if trusted else _wrong(at, "its range is not known")
    # Compared before anything turns it into a float: thousands of digits would not fit into one.
    return value if limits.low <= value <= limits.high else _wrong(at, "out of range")


def _real(value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    if type(value) is int and abs(value) < 1 << 53:
        value = float(value)
    return _number(value, at, rules, trusted) if type(value) is float else _wrong(at, "not a number")


def _text(value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    if type(value) is not str:
        return _wrong(at, "not text")
    for rule in rules:
        if isinstance(rule, Hex):
            whole = (rule.empty and not value) or (len(value) == rule.digits and _HEX.fullmatch(value))
            return value if whole else _wrong(at, f"not {rule.digits} hexadecimal digits")
        if isinstance(rule, Text):
            plain = value.replace("\n", "") if rule.lines else value
            fits = len(value) <= rule.longest and (plain.isprintable() or not plain)
            return value if fits else _wrong(at, "too long, or not printable")
    return value if trusted else _wrong(at, "its length is not known")


def _bytes(value: Any, at: str, rules: tuple[Any, ...], trusted: bool) -> Any:
    longest = next((rule.entries for rule in rules if isinstance(rule, Most)), None)
    if longest is None and not trusted:
        return _wrong(at, "its length is not known")
    if (
        type(value) is not str
        or not _HEX.fullmatch(value)
        or (longest is not None and len(value) > 2 * longest)
    ):
        return _wrong(at, "not so many bytes")
    return bytes.fromhex(value)


def _path(value: Any, at: str, _rules: tuple[Any, ...], trusted: bool) -> Any:
    return Path(value) if trusted and type(value) is str else _wrong(at, "a path")


_PLAIN: Final[dict[type[Any], Callable[[Any, str, tuple[Any, ...], bool], Any]]] = {
    int: _integer,
    float: _real,
    str: _text,
    bytes: _bytes,
    Path: _path,
}
