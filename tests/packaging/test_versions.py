"""One version everywhere, and pip installs what uv.lock says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import release

from cutoutd.config.version import VERSION

PROJECT = Path(__file__).resolve().parents[2]
PROJECT_FILE = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def pins(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (PROJECT / "packaging" / name).read_text().splitlines():
        package, _, rest = line.partition("==")
        found.setdefault(package, set()).add(rest.split(";")[0].strip())
    return found


def locked() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in tomllib.loads((PROJECT / "uv.lock").read_text())["package"]:
        if "version" in one:
            found.setdefault(one["name"], set()).add(one["version"])
    return found


def wanted(requirements: list[Any]) -> set[str]:
    return {
        re.split(r"[<>=!\[; ]", one, maxsplit=1)[0].lower() for one in requirements if isinstance(one, str)
    }


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PROJECT_FILE["project"]
    assert PROJECT_FILE["project"]["dynamic"] == ["version"]
    assert release.version() == VERSION
    done = subprocess.run(
        [sys.executable, "-m", "cutoutd.service", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"cutoutd {VERSION}\n"


def test_the_changelog_begins_with_it() -> None:
    known = release.sections((PROJECT / "CHANGELOG.md").read_text())
    assert next(iter(known)) == VERSION
    assert all(re.fullmatch(r"unreleased|\d{4}-\d{2}-\d{2}", when) for when, _ in known.values())
    assert all("\n- " in f"\n{lines}" for _, lines in known.values())
    assert release.notes().rstrip() == known[VERSION][1]


@pytest.mark.parametrize("tag", ["v0.0.1", "0.2.0", ""])
def test_a_tag_that_names_another_version_is_no_release(tag: str) -> None:
    assert any("the tag is" in one for one in release.mistakes(tag))


def test_pip_installs_what_the_lock_says() -> None:
    lock = locked()
    for package, versions in pins("constraints.txt").items():
        assert versions <= lock[package], package
    everything = wanted(PROJECT_FILE["project"]["dependencies"]) | wanted(
        PROJECT_FILE["dependency-groups"]["dev"]
    )
    for extra in ("raw", "matting"):
        everything |= wanted(PROJECT_FILE["project"]["optional-dependencies"][extra])
    assert everything - set(pins("constraints.txt")) == set(), "run `make lock`"


def test_the_oldest_versions_are_those_that_are_allowed() -> None:
    lowest = pins("lowest.txt")
    for requirement in PROJECT_FILE["project"]["dependencies"]:
        name, least = re.match(r"([\w-]+)>=([\w.]+)", requirement).groups()  # type: ignore[union-attr]
        (pinned,) = lowest[name]
        assert [int(n) for n in pinned.split(".")][:2] == [int(n) for n in least.split(".")][:2], name
