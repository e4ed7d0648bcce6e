"""Menu entries as the file managers would read and run them."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from cutoutd.config.errors import ServiceError
from cutoutd.service.filemanagers.entries import linux, macos

PROGRAM = ('/opt/my tools/cut$out"d', "-m", "x")


def test_scripts_hand_on_every_name(tmp_path: Path) -> None:
    program = tmp_path / "cut 'out"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    entries = [one for one in linux(tmp_path / "data", tmp_path / "config", [str(program)]) if one.mode & 1]
    scripts = [one for one in entries if one.path.parent.name == "scripts"]
    assert len(scripts) == 6
    for entry in scripts:
        script = tmp_path / "script"
        script.write_text(entry.text)
        names = ["a b.jpg", "-o", "$(touch x)", "new\nline.jpg"]
        done = subprocess.run(["sh", str(script), *names], capture_output=True, text=True, check=True)
        look = "white" if "white" in entry.path.name else "transparent"
        assert done.stdout == "\n".join(["desktop", "cut", look, "--", *names]) + "\n"


def test_the_application_is_valid_and_the_service_menu_but_for_what_only_kde_knows(tmp_path: Path) -> None:
    validator = shutil.which("desktop-file-validate")
    if validator is None:
        pytest.skip("desktop-file-validate is not installed")
    for program in (PROGRAM, ("/usr/bin/cutoutd",)):
        for entry in linux(tmp_path, tmp_path, program):
            if entry.path.suffix == ".desktop":
                path = tmp_path / entry.path.name
                path.write_text(entry.text)
                done = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
                complaints = [
                    line for line in done.stdout.splitlines() if 'the type is "Service"' not in line
                ]
                assert complaints == [], (entry.path, done.stdout)


def test_the_finder_gets_property_lists_that_run_the_program(tmp_path: Path) -> None:
    entries = macos(tmp_path, ["/usr/local/bin/cutoutd"])
    assert [entry.path.name for entry in entries] == ["Info.plist", "document.wflow"] * 2
    for entry in entries:
        content = plistlib.loads(entry.text.encode())
        if entry.path.name == "document.wflow":
            action = content["actions"][0]["action"]["ActionParameters"]
            assert action["COMMAND_STRING"].startswith("/usr/local/bin/cutoutd desktop cut ")
            assert action["COMMAND_STRING"].endswith('-- "$@"')
        else:
            assert content["NSServices"][0]["NSSendFileTypes"] == ["public.image"]


@pytest.mark.parametrize("odd", ["\r", "\n", "\x1b", "\u2028", "\udcff"])
def test_a_program_writes_no_line_of_its_own_into_a_menu(odd: str, tmp_path: Path) -> None:
    program = [f"/x{odd}Exec=/bin/evil"]
    with pytest.raises(ServiceError, match="control characters"):
        linux(tmp_path, tmp_path, program)
    with pytest.raises(ServiceError, match="control characters"):
        macos(tmp_path, program)
