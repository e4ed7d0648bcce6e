"""A daemon, its hooks in a process of their own, and kill -9 of both: every event reaches its command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.conditions import wait_until
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

PROGRAM = [sys.executable, "-m", "cutoutd.service"]
APPEND = (
    "import json, os, sys, time\n"
    "event = json.load(sys.stdin)\n"
    "time.sleep(0.3)\n"  # the work of a hook: long enough to be killed in the middle of it
    "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
    "os.write(fd, (json.dumps(event) + '\\n').encode())\n"
)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    script = tmp_path / "append.py"
    script.write_text(APPEND)
    command = json.dumps([sys.executable, str(script), str(tmp_path / "heard")])
    one = Daemon(
        tmp_path,
        tables=f'[[hook]]\nname = "append"\non = ["done", "failed"]\ncommand = {command}\n',
    )
    one.start()
    yield one
    one.stop()


@contextmanager
def hooks(daemon: Daemon) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*PROGRAM, "hooks", "-c", str(daemon.root / "cutoutd.toml")],
        env=daemon.env(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def heard(daemon: Daemon) -> list[dict[str, Any]]:
    path = daemon.root / "heard"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def drop(daemon: Daemon, *names: str) -> None:
    for number, name in enumerate(names):
        (daemon.root / f".{name}").write_bytes(encoded(size=(160 + number, 120)))
        os.rename(daemon.root / f".{name}", daemon.inbox / name)


def known(daemon: Daemon) -> None:
    """The hook has been seen once, so that from now on nothing may be missed."""
    subprocess.run(
        [*PROGRAM, "hooks", "--once", "-c", str(daemon.root / "cutoutd.toml")], env=daemon.env(), check=True
    )


def test_every_event_reaches_its_command_over_killed_processes(daemon: Daemon) -> None:
    known(daemon)
    drop(daemon, "a.jpg", "b.jpg", "c.jpg")
    (daemon.root / ".bad.jpg").write_bytes(b"\xff\xd8 no photo at all")
    os.rename(daemon.root / ".bad.jpg", daemon.inbox / "bad.jpg")
    with hooks(daemon) as first:
        daemon.wait(lambda: len(heard(daemon)) >= 1, "the first command")
        os.killpg(first.pid, signal.SIGKILL)  # most likely in the middle of the next one
    daemon.kill()
    daemon.start()
    drop(daemon, "d.jpg")
    with hooks(daemon):
        expected = {"a.jpg": "done", "b.jpg": "done", "c.jpg": "done", "d.jpg": "done", "bad.jpg": "failed"}
        daemon.wait(
            lambda: {Path(one["original"]).name: one["event"] for one in heard(daemon)} == expected,
            "every photo's event",
            60,
        )
    for one in heard(daemon):
        if one["event"] == "done":
            assert [Path(path).exists() for path in one["outputs"]] == [True]
        else:
            assert one["reason"]


def test_events_follow_and_go_on_from_a_cursor(daemon: Daemon) -> None:
    drop(daemon, "a.jpg")
    daemon.wait((daemon.outbox / "a.png").exists, "the cutout")
    follower = subprocess.Popen(
        [*PROGRAM, "events", "--follow", "--json"], env=daemon.env(), stdout=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    try:
        first = [json.loads(follower.stdout.readline()) for _ in range(2)]
        drop(daemon, "b.jpg")
        second = [json.loads(follower.stdout.readline()) for _ in range(2)]
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()
    assert [one["event"] for one in first + second] == ["started", "done"] * 2
    again = subprocess.run(
        [*PROGRAM, "events", "--json", "--after", str(first[-1]["id"])],
        env=daemon.env(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = [json.loads(line) for line in again.stdout.splitlines()]
    assert [(one["id"], one["event"]) for one in told] == [(one["id"], one["event"]) for one in second]


def test_two_hook_processes_are_one_too_many(daemon: Daemon) -> None:
    with hooks(daemon):
        wait_until((daemon.state / "hooks.lock").exists, "the first")
        second = subprocess.run(
            [*PROGRAM, "hooks", "-c", str(daemon.root / "cutoutd.toml")],
            env=daemon.env(), capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert second.returncode == 5
    assert "already at work" in second.stderr
