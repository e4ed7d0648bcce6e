"""The generated sample, page and schema say what the settings say."""

# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from cutoutd.config import describe, reference
from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings

DOCS = Path(__file__).parents[3] / "docs"
IN, OUT = "/photos/in", "/photos/out"


def defaults() -> Settings:
    return parse_settings(f'[[inbox]]\npath = "{IN}"\noutbox = "{OUT}"\n')


def every_option(table: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    for name, field in table.model_fields.items():
        inner = describe.model_of(field.annotation)
        yield from [f"{prefix}{name}"] if inner is None else every_option(inner, f"{prefix}{name}.")


def test_the_sample_as_it_stands_changes_nothing() -> None:
    assert parse_settings(reference.sample(IN, OUT)) == defaults()


def test_the_sample_with_every_default_uncommented_changes_nothing() -> None:
    lines = [
        re.sub(r"^#(?=\w+ = )", "", line)
        for line in reference.sample(IN, OUT).splitlines()
        if not line.endswith("# unset") and not _in_example(line)
    ]
    assert parse_settings("\n".join(lines)) == defaults()


def test_the_sample_with_everything_uncommented_is_valid() -> None:
    text = re.sub(r"^#(?=\w+ = |\[)", "", reference.sample(IN, OUT), flags=re.MULTILINE)
    settings = parse_settings(text)
    assert settings.inbox[0].after.failed is not None
    assert [order.label for order in settings.inbox[0].deliverables()] == ["master", "shop"]


def test_the_sample_holds_every_option() -> None:
    uncommented = re.sub(r"^#(?=\w+ = |\[)", "", reference.sample(IN, OUT), flags=re.MULTILINE)
    assert set(_written(tomllib.loads(uncommented))) >= {
        option
        for option in every_option()
        if not option.startswith(("inbox.deliver.", "inbox.rule.", "preset"))
    }


def _in_example(line: str) -> bool:
    """The lines of example tables, which have no default."""
    return line in {
        '#label = "master"', '#label = "shop"', '#preset = "product-white"', '#margin = "5%"',
        '#name = "upload"', '#on = ["done"]', '#command = ["rclone", "copy", "{output}", "remote:cutouts"]',
        '#match = "shoes/**"', '#csv = "orders.csv"',
        '#time_limit = "2m"', "#attempts = 8", "#at_once = 1",
    }  # fmt: skip


def _written(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(inner, dict):
            yield from _written(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_the_page_documents_every_option_with_its_description() -> None:
    page = reference.page()
    for _, table in _tables(Settings):
        for name, field in table.model_fields.items():
            if describe.model_of(field.annotation) is None and name != "label":
                assert f"| `{name}` | {(field.description or '!').replace('|', chr(92) + '|')} |" in page


def _tables(table: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield table.__name__, table
    for field in table.model_fields.values():
        inner = describe.model_of(field.annotation)
        if inner is not None:
            yield from _tables(inner)


def test_each_row_of_the_page_has_as_many_cells_as_its_head() -> None:
    for block in re.findall(r"(?:^\|.*\n)+", reference.page(), flags=re.MULTILINE):
        rows = [len(re.split(r"(?<!\\)\|", row)) for row in block.splitlines()]
        assert len(set(rows)) == 1, block


def test_every_option_is_described() -> None:
    for name, table in _tables(Settings):
        for option, field in table.model_fields.items():
            assert field.description, f"{name}.{option}"
            assert field.description[-1] in ".)", f"{name}.{option}"


def test_the_schema_knows_every_table() -> None:
    schema = json.loads(reference.schema())
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(Settings.model_fields)
    assert schema["$defs"]["Inbox"]["required"] == ["path", "outbox"]


def test_stale_files_are_found_and_renewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check", "--docs", str(tmp_path)]) == 1
    assert "config.sample.toml is stale" in capsys.readouterr().err
    assert reference.main(["--write", "--docs", str(tmp_path / "docs")]) == 0
    assert reference.main(["--check", "--docs", str(tmp_path / "docs")]) == 0
    (tmp_path / "docs/CONFIG.md").write_text("old")
    assert reference.stale(tmp_path / "docs") == [tmp_path / "docs/CONFIG.md"]


def test_the_committed_files_are_fresh() -> None:
    assert reference.stale(DOCS) == []
