"""The entry point: the version before anything loads, and output that does not get through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cutoutd.config.version import VERSION

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-m", "cutoutd.service.main"]


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_answered_before_the_command_line_loads(flag: str) -> None:
    code = f"""
import sys
sys.argv = ["cutoutd", "{flag}"]
from cutoutd.service.main import main
code = main()
assert code == 0, code
assert not {{"click", "rich", "pydantic", "numpy"}} & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"cutoutd {VERSION}\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_a_failure_in_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("cutoutd: the output could not be written (")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_left_is_none() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*PROGRAM, "--version"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_word_that_is_no_command_is_a_usage_error() -> None:
    done = subprocess.run([*PROGRAM, "cutt"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cutt" in done.stderr
    assert "Traceback" not in done.stderr
