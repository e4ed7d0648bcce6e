"""The slice of the fuzzer that every test run takes: 500 broken files, none without a named answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).with_name("run_fuzz.py")


@pytest.mark.timeout(300)
def test_500_broken_files_fail_by_name_or_decode() -> None:
    command = [sys.executable, str(RUNNER), "--count", "500", "--seed", "500", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    # A fuzzer whose inputs all fail at the first byte, or all decode, would show nothing.
    transitions = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    assert int(transitions["ok"]) > 100
    assert int(transitions["unreadable"]) > 100
