"""What a sentence tells people to install can be had, by an interpreter that is there; for the whole tree."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cutoutd.config import installing
from cutoutd.config.installing import pip_install

PROJECT = Path(__file__).resolve().parents[3]
# cutoutd is on no package index: whoever types one of these gets an error, or somebody else's program.
NOT_TO_BE_HAD = re.compile(r"(?:pip|pipx|uv tool) install [^\n]*\bcutoutd\b|cutoutd\[\w+\]")


@pytest.mark.slow
def test_it_is_this_interpreters_own_pip() -> None:
    command = shlex.split(pip_install("rawpy"))
    assert command == [sys.executable, "-m", "pip", "install", "rawpy"]
    assert subprocess.run([*command[:3], "--version"], capture_output=True, check=False).returncode == 0


def test_a_path_with_blanks_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing.sys, "executable", "/Users/Ann B/env/bin/python")
    assert pip_install("rawpy>=0.24") == "'/Users/Ann B/env/bin/python' -m pip install 'rawpy>=0.24'"
    monkeypatch.setattr(installing.sys, "executable", "")
    assert pip_install("rawpy") == "python3 -m pip install rawpy"


def test_no_sentence_and_no_page_names_a_package_that_cannot_be_had() -> None:
    pages = [*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*")]
    code = [
        path for room in ("config", "models", "daemon", "service") for path in (PROJECT / room).rglob("*.py")
    ]
    found = [
        f"{path.relative_to(PROJECT)}: {match[0]}"
        for path in [*pages, *code]
        if path.is_file() and "training" not in path.parts
        for match in NOT_TO_BE_HAD.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
