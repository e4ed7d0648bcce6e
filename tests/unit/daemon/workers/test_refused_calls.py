"""A worker's start that says which system calls it was refused, in real processes with a real filter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cutoutd.daemon.workers.refused_calls import Start, started
from cutoutd.models.networks.accelerators import Opened
from cutoutd.models.networks.catalog import FAST

pytestmark = pytest.mark.slow

linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")

# An engine whose driver locks a file as it is loaded, which no worker may.
LOCKS = """
import fcntl
for _ in range(2):
    try:
        fcntl.flock(0, fcntl.LOCK_SH)
    except OSError as error:
        why = error
raise ImportError(f"the driver cannot lock its cache ({why.strerror})")
"""
# SIGSYS has a handler: somebody counts. What a thread that waits for the interpreter looks like from outside.
HANGS_WHEN_COUNTED = """
import time
caught = next(line for line in open("/proc/self/status", "rb") if line.startswith(b"SigCgt"))
while int(caught.split()[1], 16) >> 30 & 1:
    time.sleep(1)
"""


def engine(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are started now find this instead of ONNX Runtime."""
    (folder / "onnxruntime").mkdir()
    (folder / "onnxruntime" / "__init__.py").write_text(code)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


@linux
def test_a_sound_start_is_refused_nothing(tmp_path: Path) -> None:
    assert started(FAST, tmp_path, ("cpu",), Opened()) == Start("", {})


@linux
def test_what_was_refused_is_named_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(tmp_path, LOCKS, monkeypatch)
    start = started(FAST, tmp_path, ("cpu",), Opened())
    assert "cannot lock its cache (Operation not permitted)" in start.error
    assert start.refused["flock"] == 2
    assert "flock (2 times)" in start.named()


@linux
def test_a_start_that_hangs_while_it_is_counted_is_tried_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(tmp_path, HANGS_WHEN_COUNTED + LOCKS, monkeypatch)
    start = started(FAST, tmp_path, ("cpu",), Opened(), limit_s=12)
    assert "cannot lock its cache" in start.error
    assert start.refused == {}


@linux
def test_a_start_that_never_ends_or_dies_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(tmp_path, "import time; time.sleep(600)", monkeypatch)
    assert started(FAST, tmp_path, ("cpu",), Opened(), limit_s=2) == Start("it was not done within 2 s", {})
    (tmp_path / "onnxruntime" / "__init__.py").write_text("import os; os._exit(7)")
    assert started(FAST, tmp_path, ("cpu",), Opened()) == Start("it ended with status 7", {})
