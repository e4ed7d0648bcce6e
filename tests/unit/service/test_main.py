"""The entry point: the version before anything loads, and output that does not get through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import photos

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


STARTS = """
import os, subprocess, sys
started = []
popen = subprocess.Popen
class Counted(popen):
    def __init__(self, *words, **options):
        started.append("pydantic" in sys.modules)
        super().__init__(*words, **options)
subprocess.Popen = Counted
sys.argv = ["cutoutd", *sys.argv[1:]]
from cutoutd.service.main import main
code = main()
try:
    left = os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    left = None
print(code, started, left)
"""


def starts(*words: str | Path) -> str:
    """The exit code, of each process that was started whether much had been loaded by then, and who is left."""
    done = subprocess.run(
        [sys.executable, "-c", STARTS, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()[-1]


def test_once_has_its_worker_load_beside_its_own_modules(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(photos.encoded(size=(200, 200)))
    assert starts("once", photo, "-o", tmp_path / "out", "--model", "fast") == "0 [False] None"
    assert (tmp_path / "out" / "a.png").exists()


def test_words_that_make_no_sense_leave_no_worker(tmp_path: Path) -> None:
    assert starts("once", tmp_path / "nothing.jpg", "-o", tmp_path / "out") == "2 [False] None"
    assert starts("run", "--config", tmp_path / "nothing.toml") == "4 [False] None"


@pytest.mark.parametrize("command", ["once", "run"])
def test_no_worker_is_started_for_help(command: str) -> None:
    assert starts(command, "--help") == "0 [] None"
