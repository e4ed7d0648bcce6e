"""One daemon per state folder; the lock is the kernel's, so it ends with the process."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cutoutd.config.errors import AlreadyRunningError, CutoutError, LedgerError
from cutoutd.daemon.lock import (
    ORPHANS_WAIT_S,
    StateLock,
    holder,
    instance_id,
    wait_for_workers,
    workers_gone,
)

HOLD = """
import sys, time
from pathlib import Path
from cutoutd.daemon.lock import StateLock
lock = StateLock(Path(sys.argv[1])); print("held", flush=True); time.sleep(60)
"""


def test_the_second_is_refused_by_the_firsts_pid_and_free_after_its_death(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == b"held\n"
    with pytest.raises(AlreadyRunningError, match=str(first.pid)):
        StateLock(tmp_path)
    assert holder(tmp_path) == first.pid
    first.kill()
    first.wait()
    first.stdout.close()
    assert holder(tmp_path) is None
    StateLock(tmp_path).release()


def test_a_lock_file_that_somebody_removed_lets_no_second_daemon_in(tmp_path: Path) -> None:
    first = StateLock(tmp_path)
    for _ in range(2):  # the second time the file is there again, and nobody holds it
        first.path.unlink()
        with pytest.raises(AlreadyRunningError, match="unknown"):
            StateLock(tmp_path)
        assert holder(tmp_path) == 0
    first.release()
    assert holder(tmp_path) is None
    StateLock(tmp_path).release()


@pytest.mark.slow
@pytest.mark.parametrize("at", ["daemon.lock", "."])
def test_a_mere_look_at_the_lock_turns_no_daemon_away(tmp_path: Path, at: str) -> None:
    StateLock(tmp_path).release()
    looker = os.open(tmp_path / at, os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)

    def done() -> None:
        time.sleep(0.2)  # long enough that the lock is asked for in vain before; if it is not, nothing fails
        os.close(looker)

    threading.Thread(target=done).start()
    StateLock(tmp_path).release()


def test_no_state_folder_means_nobody(tmp_path: Path) -> None:
    assert holder(tmp_path / "absent") is None


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="state folder"):
        StateLock(tmp_path / "file" / "state")


def test_workers_of_an_earlier_life_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "workers.lock"
    assert workers_gone(path)
    worker = os.open(path, os.O_RDWR)
    fcntl.flock(worker, fcntl.LOCK_SH)
    assert not workers_gone(path)
    os.close(worker)
    assert workers_gone(path)


def test_a_new_daemon_waits_for_them_and_says_so_when_they_do_not_end(tmp_path: Path) -> None:
    path = tmp_path / "workers.lock"
    worker = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(worker, fcntl.LOCK_SH)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(CutoutError, match="still alive"):
        wait_for_workers(path, lambda: now[0], sleep)
    assert now[0] >= ORPHANS_WAIT_S
    wait_for_workers(path, lambda: now[0], lambda _seconds: os.close(worker))


def test_the_instance_outlives_the_ledger(tmp_path: Path) -> None:
    one = instance_id(tmp_path)
    assert instance_id(tmp_path) == one
    assert len(bytes.fromhex(one)) == 4
    (tmp_path / "instance").write_text("../../x")
    assert instance_id(tmp_path) not in (one, "../../x")


@pytest.mark.parametrize("known", [True, False])
def test_a_full_disk_keeps_no_daemon_from_its_lock(tmp_path: Path, known: bool) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to make a mount namespace (root)")
    program = """
import os, sys
from pathlib import Path
from cutoutd.daemon.lock import StateLock, holder
state = Path(sys.argv[1])
if sys.argv[2] == "True":
    StateLock(state).release()
try:
    with open(state / "filler", "wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
except OSError:
    pass
lock = StateLock(state)
print(os.getpid(), holder(state))
"""
    script = f'mount -t tmpfs -o size=64k disk "{tmp_path}" && exec "$@"'
    run = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", program, str(tmp_path), str(known)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    pid, told = run.stdout.split()
    assert told == (pid if known else "0")


def test_the_lock_follows_a_state_folder_that_was_removed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    lock = StateLock(state)
    assert lock.renewed() is lock
    shutil.rmtree(state)
    assert holder(state) is None
    lock = lock.renewed()
    assert holder(state) == os.getpid()
    shutil.rmtree(state)
    quicker = StateLock(state)
    with pytest.raises(AlreadyRunningError):
        lock.renewed()
    quicker.release()
    lock.release()


def _lay(path: Path, kind: str) -> None:
    """Something under a name of ours that is no file of ours."""
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        (path.parent / "precious").write_text("precious")
        path.symlink_to("precious" if kind == "link" else "nowhere")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link"])
def test_what_lies_under_our_names_is_neither_followed_nor_waited_for(tmp_path: Path, kind: str) -> None:
    _lay(tmp_path / "daemon.lock", kind)
    with pytest.raises(LedgerError, match="no plain file"):
        StateLock(tmp_path)
    assert holder(tmp_path) is None
    _lay(tmp_path / "workers.lock", kind)
    with pytest.raises(LedgerError, match="no plain file"):
        workers_gone(tmp_path / "workers.lock")
    _lay(tmp_path / "instance", kind)
    with pytest.raises(LedgerError, match="no plain file"):
        instance_id(tmp_path)
    assert kind != "link" or (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
