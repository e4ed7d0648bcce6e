"""Our records as JSON and back, strictly by their annotations; it moves no bytes between processes.

What a worker sends is hostile: it decodes files that anybody may have written. So nothing is built here that the
reader's own annotations do not name: no class comes from the message, every number has a range, every text a
length and printable characters only. Not for files and not for settings.
"""

from __future__ import annotations

import json
import math
import re
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, Literal, Union, cast

from msgspec import Struct
from pydantic import BaseModel

from cutoutd.daemon.workers.message_rules import Hex, Most, Range, Raw, Text

# Under this key a record says what it is; no field is called so.
_KIND: Final = "is"
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")


class SchemaError(ValueError):
    """A message is not what its reader asked for; says in a few words where and why, never what it held."""


# --- out


def to_json(value: Any) -> Any:
    """A record, model or plain value as what `json` can write; tuples become lists, bytes hexadecimal.

    Raises:
        TypeError: it is none of these.
    """
    return _writer(cast("type[Any]", type(value)))(value)


@cache
def _writer(kind: type[Any]) -> Callable[[Any], Any]:
    """What writes a value of this type; found once for each, since there are few and most records have many."""
    if issubclass(kind, Enum):
        return lambda value: value.value
    if kind is bytes:
        return bytes.hex
    if kind is type(None) or issubclass(kind, int | float | str):
        return lambda value: value
    if issubclass(kind, Path):
        return str
    if issubclass(kind, list | tuple):
        return lambda value: [to_json(one) for one in value]
    if issubclass(kind, dict):
        return lambda value: {_key(key): to_json(one) for key, one in value.items()}
    if issubclass(kind, BaseModel):
        return lambda value: {"fields": to_json(value.model_dump()), "set": sorted(value.model_fields_set)}
    if issubclass(kind, Struct):
        return partial(_written, kind.__name__, kind.__struct_fields__)
    raise TypeError(f"{kind.__name__} cannot travel to another process")


def _written(kind: str, names: tuple[str, ...], record: Any) -> dict[str, Any]:
    made: dict[str, Any] = {_KIND: kind}
    for name in names:
        value = getattr(record, name)
        made[name] = _writer(cast("type[Any]", type(value)))(value)
    return made


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
    try:
        return _reader(wanted, (), trusted)(value)
    except _WrongError as wrong:
        raise SchemaError(f"{at}{wrong.where}: {wrong.why}") from None


# Makes something of a plain value, or raises `_WrongError`.
_Reader = Callable[[Any], Any]


class _WrongError(Exception):
    """Where, below what is being read, and why it is not what was asked for."""

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.where = where


def _wrong(why: str) -> Any:
    raise _WrongError(why)


@cache
def _reader(wanted: Any, rules: tuple[Any, ...], trusted: bool) -> _Reader:
    """What reads an annotation; made once for each, since looking at annotations takes longer than reading by them."""
    origin, kinds = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Annotated:
        return _reader(kinds[0], (*rules, *kinds[1:]), trusted)
    if origin is Literal:
        return partial(_choice, {_word(one): one for one in kinds})
    if origin in (Union, types.UnionType):
        return partial(_one_of, {one: _reader(one, rules, trusted) for one in kinds})
    if origin in (tuple, list):
        return _entries(origin, kinds, rules, trusted)
    if origin is dict:
        return _table(kinds, rules, trusted)
    if wanted is Any:
        return _as_it_is if trusted or Raw() in rules else _refusing("nobody knows what it may be")
    if wanted is None or wanted is type(None):
        return _nothing
    if isinstance(wanted, type):
        return _of_type(cast("type[Any]", wanted), rules, trusted)
    return _refusing("its annotation is not understood")


def _of_type(wanted: type[Any], rules: tuple[Any, ...], trusted: bool) -> _Reader:
    if issubclass(wanted, Enum):
        return partial(_choice, {_word(one.value): one for one in wanted})
    if issubclass(wanted, Struct):
        return partial(_record, wanted, trusted)
    if issubclass(wanted, BaseModel):
        return partial(_model, wanted) if trusted else _refusing("a model")
    if wanted is bool:
        return _truth
    reader = _PLAIN.get(wanted)
    return _refusing("not a type that travels") if reader is None else reader(rules, trusted)


def _refusing(why: str) -> _Reader:
    return lambda _value: _wrong(why)


def _as_it_is(value: Any) -> Any:
    return value


def _nothing(value: Any) -> None:
    return None if value is None else _wrong("not null")


def _truth(value: Any) -> bool:
    return value if type(value) is bool else _wrong("not true or false")


def _word(one: Any) -> tuple[type[Any], Any]:
    """A word with its type: 1 is not true, and no 1.0."""
    value: Any = one.value if isinstance(one, Enum) else one
    return cast("type[Any]", type(value)), value


def _choice(allowed: dict[tuple[type[Any], Any], Any], value: Any) -> Any:
    if not isinstance(value, list | dict) and (type(value), value) in allowed:
        return allowed[type(value), value]
    return _wrong("none of the words that are allowed")


def _one_of(readers: dict[Any, _Reader], value: Any) -> Any:
    if isinstance(value, dict) and _KIND in value:
        # Only one of several records can be meant: its own complaint says more than "none of them".
        word = cast("Any", value)[_KIND]
        readers = {
            one: reader for one, reader in readers.items() if getattr(one, "__name__", "") == word
        } or readers
    problem = _WrongError("none of the types that are allowed")
    for reader in readers.values():
        try:
            return reader(value)
        except _WrongError as wrong:
            problem = wrong
    raise problem


def _entries(origin: Any, kinds: tuple[Any, ...], rules: tuple[Any, ...], trusted: bool) -> _Reader:
    alike = origin is list or kinds[-1:] == (...,)
    readers = tuple(_reader(kind, (), trusted) for kind in (kinds[:1] if alike else kinds))
    few = _few(rules, trusted or not alike)

    def read(value: Any) -> Any:
        if type(value) is not list:
            return _wrong("not a list")
        entries = cast("list[Any]", value)
        few(entries)
        if alike:
            made: list[Any] = [readers[0](one) for one in entries]
            return made if origin is list else tuple(made)
        if len(readers) != len(entries):
            return _wrong("another number of entries")
        return tuple(reader(one) for reader, one in zip(readers, entries, strict=True))

    return read


def _table(kinds: tuple[Any, ...], rules: tuple[Any, ...], trusted: bool) -> _Reader:
    of_key, of_value = (_reader(kind, (), trusted) for kind in kinds)
    few = _few(rules, trusted)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            return _wrong("not a table")
        table = cast("dict[str, Any]", value)
        few(table)
        return {of_key(key): of_value(one) for key, one in table.items()}

    return read


def _few(rules: tuple[Any, ...], trusted: bool) -> Callable[[Any], None]:
    most = next((rule.entries for rule in rules if isinstance(rule, Most)), None)

    def check(found: Any) -> None:
        if most is None and not trusted:
            _wrong("its number of entries has no limit")
        if most is not None and len(found) > most:
            _wrong("too many entries")

    return check


@cache
def _fields(wanted: type[Struct], trusted: bool) -> tuple[frozenset[str], tuple[tuple[str, _Reader], ...]]:
    """A record's keys, and what reads each field."""
    hints = typing.get_type_hints(wanted, include_extras=True)
    names = wanted.__struct_fields__
    return frozenset((_KIND, *names)), tuple((name, _reader(hints[name], (), trusted)) for name in names)


def _record(wanted: type[Struct], trusted: bool, value: Any) -> Any:
    if type(value) is not dict:
        return _wrong("not a record")
    record = cast("dict[str, Any]", value)
    keys, readers = _fields(wanted, trusted)
    if record.get(_KIND) != wanted.__name__ or record.keys() != keys:
        return _wrong(f"not a {wanted.__name__} with exactly its fields")
    read: dict[str, Any] = {}
    for name, reader in readers:
        try:
            read[name] = reader(record[name])
        except _WrongError as wrong:
            raise _WrongError(wrong.why, f".{name}{wrong.where}") from None
    return wanted(**read)


def _model(wanted: type[BaseModel], value: Any) -> Any:
    """A model of the settings, which were checked when they were read."""
    if type(value) is not dict:
        return _wrong("not a model")
    model = cast("dict[str, Any]", value)
    return wanted.model_construct(_fields_set=set(model["set"]), **model["fields"])


def _limits(rules: tuple[Any, ...]) -> Range | None:
    return next((rule for rule in rules if isinstance(rule, Range)), None)


def _integer(rules: tuple[Any, ...], trusted: bool) -> _Reader:
    limits = _limits(rules)

    def read(value: Any) -> Any:
        if type(value) is not int:
            return _wrong("not a whole number")
        if limits is None:
            return value if trusted else _wrong("its range is not known")
        # Compared before anything turns it into a float: thousands of digits would not fit into one.
        return value if limits.low <= value <= limits.high else _wrong("out of range")

    return read


def _real(rules: tuple[Any, ...], trusted: bool) -> _Reader:
    limits = _limits(rules)

    def read(value: Any) -> Any:
        if type(value) is int and abs(value) < 1 << 53:
            value = float(value)
        if type(value) is not float:
            return _wrong("not a number")
        if limits is None:
            return value if trusted else _wrong("its range is not known")
        fits = math.isfinite(value) and limits.low <= value <= limits.high
        return value if fits else _wrong("out of range")

    return read


def _text(rules: tuple[Any, ...], trusted: bool) -> _Reader:
    rule = next((one for one in rules if isinstance(one, Hex | Text)), None)

    def read(value: Any) -> Any:
        if type(value) is not str:
            return _wrong("not text")
        if isinstance(rule, Hex):
            whole = (rule.empty and not value) or (len(value) == rule.digits and _HEX.fullmatch(value))
            return value if whole else _wrong(f"not {rule.digits} hexadecimal digits")
        if isinstance(rule, Text):
            plain = value.replace("\n", "") if rule.lines else value
            fits = len(value) <= rule.longest and (plain.isprintable() or not plain)
            return value if fits else _wrong("too long, or not printable")
        return value if trusted else _wrong("its length is not known")

    return read


def _bytes(rules: tuple[Any, ...], trusted: bool) -> _Reader:
    longest = next((rule.entries for rule in rules if isinstance(rule, Most)), None)

    def read(value: Any) -> Any:
        if longest is None and not trusted:
            return _wrong("its length is not known")
        fits = type(value) is str and _HEX.fullmatch(value) and (longest is None or len(value) <= 2 * longest)
        return bytes.fromhex(value) if fits else _wrong("not so many bytes")

    return read


def _path(_rules: tuple[Any, ...], trusted: bool) -> _Reader:
    def read(value: Any) -> Any:
        return Path(value) if trusted and type(value) is str else _wrong("a path")

    return read


_PLAIN: Final[dict[type[Any], Callable[[tuple[Any, ...], bool], _Reader]]] = {
    int: _integer,
    float: _real,
    str: _text,
    bytes: _bytes,
    Path: _path,
}
