"""What is wrong with a configuration, in sentences for people; it finds no problems of its own.

pydantic names a place like `('inbox', 0, 'settel')` and a type of error. Here that becomes
`inbox[1].settel: there is no such option here (did you mean "settle"?)`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

from msgspec import Struct
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cutoutd.config import describe
from cutoutd.config.locate import Place
from cutoutd.config.settings import Settings

# How alike two names must be to be worth suggesting: 0.6 finds transposed and missing letters without
# offering unrelated words.
_LIKENESS = 0.6
_LONGEST_VALUE = 60  # characters of a wrong value shown in a message

_BOUND_WORDS = {
    "greater_than_equal": ("ge", "too small: at least"),
    "greater_than": ("gt", "too small: more than"),
    "less_than_equal": ("le", "too large: at most"),
    "less_than": ("lt", "too large: less than"),
}
_TRUE = frozenset({"yes", "y", "on", "true", "t", "1", "enabled", "ja", "oui", "si", "sí"})
_FALSE = frozenset({"no", "n", "off", "false", "f", "0", "disabled", "nein", "non", "none"})
_NOT_A = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text in quotes",
    "path": "a path in quotes",
    "tuple": 'a list such as ["a", "b"]',
    "list": 'a list such as ["a", "b"]',
    "finite": "a number",
}


class Problem(Struct, frozen=True):
    """One thing that is wrong, and where in the document."""

    place: Place
    message: str


def key_text(place: Place) -> str:
    """A place as people count: the first inbox is `inbox[1]`."""
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def problems_of(error: ValidationError, root: type[BaseModel] = Settings) -> list[Problem]:
    """Every problem pydantic found, one per place."""
    grouped: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # its elements were wrong, which is said on its own
        grouped.setdefault(true_place(root, detail["loc"]), []).append(detail)
    return [
        Problem(place, _sentence(root, place, details))
        for place, details in grouped.items()
        # A wrong element of a list says more than "this is no such list".
        if not any(len(other) > len(place) and other[: len(place)] == place for other in grouped)
    ]


def unknown_option(table: type[BaseModel], name: str) -> str:
    """The sentence for a key that does not exist in this table, with the nearest one or its right home."""
    close = difflib.get_close_matches(name, list(table.model_fields), n=1, cutoff=_LIKENESS)
    if close:
        return f'there is no such option here (did you mean "{close[0]}"?)'
    home = next((where for where, model in tables() if name in model.model_fields), None)
    if home is not None:
        return f"there is no such option here (it belongs under {home})"
    return "there is no such option here"


def tables() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every table with its header as written in TOML, outermost first, such as `[inbox.output]`."""
    yield "the top of the file", Settings
    yield from _tables_under(Settings, "")


def _tables_under(table: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in table.model_fields.items():
        inner = describe.model_of(field.annotation)
        if inner is None:
            continue
        header = f"{prefix}{name}"
        yield f"[[{header}]]" if describe.is_array_of_tables(field.annotation) else f"[{header}]", inner
        yield from _tables_under(inner, f"{header}.")


def true_place(root: type[BaseModel], loc: Sequence[str | int]) -> Place:
    """The part of pydantic's `loc` that exists in the document: its tags for unions are left out."""
    place: list[str | int] = []
    annotations: list[Any] = [root]
    for part in loc:
        below = [step for annotation in annotations for step in _step(annotation, part)]
        if below or _names_a_key(annotations, part):
            place.append(part)
            annotations = below
    return tuple(place)


def _step(annotation: Any, part: str | int) -> Iterator[Any]:
    """The types that stand at `part` below a value of this type."""
    for member in describe.members(annotation):
        inner = describe.bare(member)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            field = inner.model_fields.get(str(part))
            if field is not None:
                yield field.annotation
        elif get_origin(inner) in (tuple, list) and isinstance(part, int):
            yield get_args(inner)[0]
        elif get_origin(inner) is dict:
            yield get_args(inner)[1]


def _names_a_key(annotations: list[Any], part: str | int) -> bool:
    """Whether `part` is an unknown key of a table rather than one of pydantic's tags."""
    inner = [describe.bare(member) for annotation in annotations for member in describe.members(annotation)]
    return isinstance(part, str) and any(isinstance(a, type) and issubclass(a, BaseModel) for a in inner)


def field_at(root: type[BaseModel], place: Place) -> FieldInfo | None:
    """The declaration of the setting at a place, or None for unknown keys and list elements."""
    table: type[BaseModel] | None = root
    field: FieldInfo | None = None
    for part in place:
        if isinstance(part, int):
            continue
        if table is None:
            return None
        field = table.model_fields.get(part)
        table = describe.model_of(field.annotation) if field is not None else None
    return field


def _sentence(root: type[BaseModel], place: Place, details: list[ErrorDetails]) -> str:
    field = field_at(root, place)
    if len(details) > 1:
        # One error per member of a union: a bound or a sentence of our own says more than "not a list".
        telling = [d for d in details if d["type"] in _BOUND_WORDS or d["type"] == "value_error"]
        if not telling and field is not None:
            wanted = describe.type_text(field).replace("whole number", "a whole number")
            hint = _meant_truth(details[0]["input"]) if "true or false" in wanted else ""
            return f"{_value(details[0])} is not {wanted}{hint}"
        details = telling or details
    return _one(root, place, field, details[0])


def _one(root: type[BaseModel], place: Place, field: FieldInfo | None, detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        about = field.description if field is not None and field.description else ""
        return f"is missing: {about[:1].lower()}{about[1:]}".rstrip(" .:")
    if kind == "extra_forbidden":
        return unknown_option(_table_at(root, place[:-1]), str(place[-1]))
    if kind in _BOUND_WORDS:
        key, words = _BOUND_WORDS[kind]
        value, limit = detail["input"], context[key]
        if field is None:
            return f"{value} is {words} {limit}"
        written = describe.in_unit(field, value) if isinstance(value, int | float) else _value(detail)
        return f"{written} is {words} {describe.in_unit(field, limit)}"
    if kind == "literal_error":
        return _choice(detail)
    if kind == "too_short" and place == ("inbox",):
        return "is empty: write at least one [[inbox]] table"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        header = ".".join(str(part) for part in place if isinstance(part, str))
        return f"{_value(detail)} is not a table: write [{header}] and its options on the lines below"
    if kind == "tuple_type" and field is not None and describe.is_array_of_tables(field.annotation):
        header = f"[[{'.'.join(str(p) for p in place if isinstance(p, str))}]]"
        if isinstance(detail["input"], dict):
            return f"write {header}, with double brackets"
        return f"{_value(detail)} is not a table: write {header} and its options on the lines below"
    if kind == "string_pattern_mismatch" and field is not None:
        return f"{_value(detail)} does not fit: {field.description}".removesuffix(".")
    for start, words in _NOT_A.items():
        if kind.startswith(f"{start}_"):
            return (
                f"{_value(detail)} is not {words}{_meant_truth(detail['input']) if start == 'bool' else ''}"
            )
    return detail["msg"][:1].lower() + detail["msg"][1:]


def truth_meant(word: str) -> str:
    """`true` or `false` for what other languages and people write instead; empty for anything else."""
    lowered = word.strip().strip("\"'").lower()
    if lowered in _TRUE:
        return "true"
    return "false" if lowered in _FALSE else ""


def _meant_truth(value: Any) -> str:
    meant = truth_meant(str(value))
    return f" (did you mean {meant}, without quotes?)" if meant else ""


def _choice(detail: ErrorDetails) -> str:
    # pydantic writes its choices as 'a', 'b' or 'c'.
    expected = detail.get("ctx", {}).get("expected", "").replace("'", '"')
    options = [option.strip('"') for option in expected.replace(" or ", ", ").split(", ")]
    close = difflib.get_close_matches(str(detail["input"]), options, n=1, cutoff=_LIKENESS)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    return f"{_value(detail)} is not one of {expected}{hint}"


def _table_at(root: type[BaseModel], place: Place) -> type[BaseModel]:
    field = field_at(root, place)
    return (describe.model_of(field.annotation) if field is not None else None) or root


def _value(detail: ErrorDetails) -> str:
    value: Any = detail["input"]
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:
        text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
