"""Refused system calls, counted in a child process that goes on as if it had not been watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cutoutd.daemon.sandbox import tracing

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine not in ("x86_64", "aarch64"),
    reason="refused calls are counted on Linux alone",
)

COUNT = """
import errno, json, os, socket, sys
from cutoutd.daemon.sandbox import guard, tracing
found = tracing.count_refusals()
guard.guard_worker([], [], trap=True)
said = []
for _ in range(2):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        said.append("allowed")
    except OSError as error:
        said.append(errno.errorcode[error.errno])
try:
    os.rename("/nowhere", "/nowhere else")
    said.append("allowed")
except OSError as error:
    said.append(errno.errorcode[error.errno])
sys.stdout.write(json.dumps([dict(found), said]))
sys.stdout.flush()
os._exit(0)
"""


def test_each_refusal_is_counted_by_name_and_gives_the_error_of_the_filter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0 or not done.stdout:
        pytest.fail(done.stderr)
    found, said = json.loads(done.stdout)
    assert found.get("socket") == 2
    assert any(name.startswith("rename") for name in found)
    assert set(said) <= {"EACCES", "EPERM"}


def test_a_processor_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    known = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*known[:4], "riscv64")))
    with pytest.raises(OSError, match="riscv64"):
        tracing.count_refusals()
