"""One setting in words, for the settings that there are: what they say must be what is accepted."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cutoutd.config import describe
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Output
from cutoutd.config.settings import Engine, Inbox, Settings


def field(table: type[BaseModel], name: str) -> FieldInfo:
    return table.model_fields[name]


@pytest.mark.parametrize(
    ("table", "name", "kind", "text"),
    [
        (Limits, "time_per_photo", "duration", "duration"),
        (Limits, "max_bytes", "size", "size"),
        (Limits, "photos_in_flight", "plain", "whole number"),
        (Inbox, "recursive", "plain", "true or false"),
        (Inbox, "path", "plain", "path"),
        (Settings, "inbox", "plain", "tables"),
    ],
)
def test_type_and_unit(table: type[BaseModel], name: str, kind: str, text: str) -> None:
    assert describe.kind(field(table, name)) == kind
    assert describe.type_text(field(table, name)) == text


def test_choices_are_listed_as_they_are_written() -> None:
    text = describe.type_text(field(Inbox, "order"))
    assert '"oldest"' in text
    assert '"newest"' in text
    assert " or " in text


def test_bounds_are_in_the_fields_own_unit() -> None:
    assert describe.bounds_text(field(Limits, "photos_in_flight")) == "at least 1, at most 1000"
    assert describe.bounds_text(field(Limits, "worker_memory")) == "at least 800MB"
    assert describe.bounds_text(field(Inbox, "path")) == ""


def test_every_default_is_valid_toml_of_the_value_itself() -> None:
    for table in (Limits, Engine, Matte, Output):
        for name, info in table.model_fields.items():
            text = describe.default_text(info)
            if text is None:
                continue
            written = tomllib.loads(f"x = {text}")["x"]
            # As a configuration that says so: the same as one that says nothing.
            assert getattr(table.model_validate({name: written}), name) == info.get_default(
                call_default_factory=True
            )


def test_tables_are_told_from_values() -> None:
    assert describe.model_of(field(Settings, "inbox").annotation) is Inbox
    assert describe.is_array_of_tables(field(Settings, "inbox").annotation)
    assert describe.model_of(field(Settings, "limits").annotation) is Limits
    assert not describe.is_array_of_tables(field(Settings, "limits").annotation)
    assert describe.model_of(field(Inbox, "path").annotation) is None


@pytest.mark.parametrize(
    ("choices", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "a", "c"], "a, b or c")],
)
def test_lists_for_people(choices: list[str], text: str) -> None:
    assert describe.join_or(choices) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (2.0, "2"),
        (1234567.0, "1234567"),
        (2.5, "2.5"),
        ("\x7f\u202e", r'"\u007f\u202e"'),
        ("ü", '"ü"'),
        ((1, "a"), '[1, "a"]'),
        (Path("/x"), "/x"),
    ],
)
def test_plain_values_as_toml(value: object, text: str) -> None:
    assert describe.toml_text(value) == text
