"""What an exit status means."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cutoutd.daemon.workers import exit_status
from cutoutd.daemon.workers.exit_status import _by_exit_status as by_exit_status  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("status", "before", "after", "cause", "word"),
    [
        (-signal.SIGKILL, 3, 4, "out-of-memory", "memory"),
        (-signal.SIGKILL, 3, 3, "killed", "SIGKILL"),
        (-signal.SIGKILL, None, None, "out-of-memory", "memory"),
        (-signal.SIGKILL, None, 3, "out-of-memory", "memory"),
        (-signal.SIGSEGV, 3, 4, "crashed", "SIGSEGV"),
        (-signal.SIGABRT, 0, 0, "crashed", "SIGABRT"),
        (-signal.SIGSYS, 0, 0, "crashed", "sandbox refuses"),
        (-99, 0, 0, "crashed", "signal 99"),
        (1, 0, 0, "crashed", "status 1"),
        (0, 0, 0, "crashed", "status 0"),
        (None, 0, 0, "crashed", "without a reason"),
    ],
)
def test_exit_status(
    status: int | None, before: int | None, after: int | None, cause: str, word: str
) -> None:
    found, detail = by_exit_status(status, before, after)
    assert found == cause
    assert word in detail


@pytest.mark.parametrize("pidfd", [True, False])
def test_the_end_of_a_process_is_waited_for_without_sleeping(
    pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a clock that is faked no sleep may end at all."""
    if pidfd and not hasattr(os, "pidfd_open"):
        pytest.skip("this system has no descriptors of processes")
    slept: list[float] = []
    if pidfd:
        monkeypatch.setattr("time.sleep", slept.append)
    else:
        monkeypatch.delattr("os.pidfd_open", raising=False)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(7)"], stdin=subprocess.PIPE
    ) as one:
        assert exit_status.waited_for(one, 0.01) is None
        assert one.stdin is not None
        one.stdin.close()
        assert exit_status.waited_for(one, 20.0) == 7
        assert exit_status.waited_for(one, 0.0) == 7
    assert slept == []


def test_the_kernels_count_is_found(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 7\noom_kill 12\nswap_ra 0\n")
    assert exit_status.oom_kills(tmp_path / "vmstat") == 12
    (tmp_path / "vmstat").write_text("nr_free_pages 7\n")
    assert exit_status.oom_kills(tmp_path / "vmstat") is None
    assert exit_status.oom_kills(tmp_path / "absent") is None


def test_what_we_killed_ourselves_keeps_our_reason() -> None:
    assert exit_status.explain(None, "", "timeout", 0)[0] == "timeout"
    assert exit_status.explain(None, "odd", "killed", 0) == ("killed", exit_status.STOPPED)
    assert exit_status.explain(None, "", None, 0)[0] == "crashed"
