"""Every sentence that promises names a test of its own, and each test that is named is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCS = ("SECURITY.md", "docs/PRIVACY.md", "docs/RELIABILITY.md")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_TEST = re.compile(r"`tests/[\w/]+\.py::test_\w+`")


def named() -> Iterator[tuple[str, str, str]]:
    for doc in DOCS:
        for found in _NAMED.finditer((PROJECT / doc).read_text(encoding="utf-8")):
            yield doc, found[1], found[2] or ""


def test_a_test_that_is_named_is_there() -> None:
    for doc, file, test in sorted(set(named())):
        path = PROJECT / file
        assert path.is_file(), f"{doc} names {file}"
        assert not test or f"def {test}(" in path.read_text(encoding="utf-8"), f"{doc} names {file}::{test}"


def section(doc: str, heading: str) -> str:
    text = (PROJECT / doc).read_text(encoding="utf-8")
    body = text.split(f"\n## {heading}\n", 1)[1]
    return re.split(r"\n## ", body, maxsplit=1)[0]


def rows(text: str) -> list[str]:
    """A table's rows without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = [number for number, line in enumerate(lines) if set(line) <= set("|-")]
    return [line for number, line in enumerate(lines) if number not in heads and number + 1 not in heads]


@pytest.mark.parametrize(
    ("doc", "heading"),
    [
        ("docs/PRIVACY.md", "What could go wrong, in plain words"),
        ("docs/PRIVACY.md", "What is guaranteed, and by what"),
        ("docs/RELIABILITY.md", "Who may harm a photo, and what holds"),
    ],
)
def test_every_row_that_promises_names_a_test(doc: str, heading: str) -> None:
    found = rows(section(doc, heading))
    assert len(found) >= 7
    assert [row for row in found if not _TEST.search(row)] == []


def test_every_promise_about_security_names_a_test() -> None:
    promises = re.split(r"^- ", section("SECURITY.md", "What is promised"), flags=re.MULTILINE)[1:]
    assert len(promises) >= 4
    assert [promise for promise in promises if not _TEST.search(promise)] == []
