"""A worker ends with its daemon, and holds its share of the lock until then; each seen in a real process."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.conditions import wait_until

pytestmark = pytest.mark.slow

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only there the kernel tells of a parent's end")
PROGRAM = """
import sys
from cutoutd.daemon.workers import lifetime
lifetime.die_with({parent})
lifetime.hold_lock({lock!r})
print("begun", file=sys.stderr, flush=True)
sys.stdin.read()
"""


def start(lock: Path, parent: int | None = None) -> subprocess.Popen[bytes]:
    code = PROGRAM.format(parent=os.getpid() if parent is None else parent, lock=str(lock))
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def said(worker: subprocess.Popen[bytes]) -> bytes:
    assert worker.stderr is not None
    return worker.stderr.readline()


def test_it_holds_a_share_of_the_lock_for_as_long_as_it_lives(tmp_path: Path) -> None:
    workers = [start(tmp_path / "lock") for _ in range(2)]
    assert [said(worker) for worker in workers] == [b"begun\n"] * 2
    with (tmp_path / "lock").open() as lock:
        for worker in workers:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            worker.communicate()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_one_whose_daemon_is_gone_does_not_begin(tmp_path: Path) -> None:
    worker = start(tmp_path / "lock", parent=1)
    _, err = worker.communicate()
    assert worker.returncode != 0
    assert b"The daemon that started this worker is gone" in err


@LINUX
def test_it_dies_with_its_daemon(tmp_path: Path) -> None:
    code = PROGRAM.format(parent="PARENT", lock=str(tmp_path / "lock"))
    starter = (
        "import os, subprocess, sys, time\n"
        f"code = {code!r}.replace('PARENT', str(os.getpid()))\n"
        "w = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "w.stderr.readline(); print(w.pid, flush=True); time.sleep(60)"
    )
    daemon = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    pid = int(daemon.stdout.readline())
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()

    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    wait_until(gone, "the worker to follow its daemon")


def test_a_lock_that_cannot_be_had_is_a_sentence(tmp_path: Path) -> None:
    worker = start(tmp_path / "no folder" / "lock")
    _, err = worker.communicate()
    assert b"The worker lock cannot be taken (No such file or directory)" in err
