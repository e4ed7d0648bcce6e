"""Tests of one machine or image go to one process, whatever pytest-xdist makes of their marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.groups import FileGroups, group_of

PROJECT = Path(__file__).resolve().parents[2]
MARKED = sorted(
    path
    for path in (PROJECT / "tests").rglob("test_*.py")
    if path != Path(__file__) and "mark.xdist_group(" in path.read_text(encoding="utf-8")
)


def test_there_are_such_files() -> None:
    assert {path.name for path in MARKED} >= {"test_container.py", "test_systemd_nspawn.py", "test_deb.py"}


@pytest.mark.parametrize("path", MARKED, ids=lambda path: path.name)
def test_the_group_of_each_is_read_and_all_its_tests_are_in_it(
    path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert group_of(path)
    monkeypatch.setattr(pytestconfig.option, "tx", ["popen"])
    scheduler = FileGroups(pytestconfig)
    file = path.relative_to(PROJECT).as_posix()
    scopes = {scheduler._split_scope(f"{file}::{test}") for test in ("test_a", "test_b[x@y]")}  # pyright: ignore[reportPrivateUsage]
    assert scopes == {group_of(path)}


def test_other_tests_are_shared_one_by_one(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytestconfig.option, "tx", ["popen"])
    nodeid = "tests/unit/test_groups.py::test_a[1]"
    assert FileGroups(pytestconfig)._split_scope(nodeid) == nodeid  # pyright: ignore[reportPrivateUsage]
