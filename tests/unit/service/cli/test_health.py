"""Healthy means that photos are taken up; everything else is one sentence and a code that containers understand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.conditions import wait_until

from cutoutd.config.version import VERSION
from cutoutd.service.cli.health import concerns, in_order, unhealthy


def facts(**changed: Any) -> dict[str, Any]:
    inbox = {"path": "/in", "trouble": ""}
    return {"running": True, "pid": os.getpid(), "state": "idle", "inboxes": [inbox], **changed}


@pytest.mark.parametrize("state", ["idle", "working", "paused", "waiting"])
def test_a_daemon_that_does_as_it_was_told_is_healthy(state: str) -> None:
    assert unhealthy(facts(state=state)) == ""


def test_what_is_to_be_known_before_all_else() -> None:
    assert list(concerns(facts(state="idle", version=VERSION, why="", mistake="", config_refused=""))) == []
    assert list(concerns({"state": "stopped"})) == []
    old, older = (next(concerns({"version": version})) for version in ("0.1.9", ""))
    assert "still runs version 0.1.9" in old
    assert "still runs an earlier version" in older
    assert "cutoutd service restart" in old
    assert "c.toml:3" in next(concerns({"config_refused": "c.toml:3: no such option"}))


def test_a_pause_is_not_called_work() -> None:
    assert in_order(facts(state="idle")) == "Photos are taken up."
    assert "as was ordered: paused by command" in in_order(facts(state="paused", why="paused by command"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"running": False, "pid": None, "state": "stopped"}, "not running"),
        ({"state": "starting"}, "is starting"),
        ({"state": "stopping"}, "is stopping"),
        (
            {"state": "waiting", "why": "no memory", "self_test": "no memory"},
            "test photo cannot be processed (no memory)",
        ),
        ({"inboxes": [{"path": "/in", "trouble": "the folder is missing"}]}, "/in: the folder is missing"),
    ],
)
def test_what_keeps_photos_from_being_taken_up_is_said(changed: dict[str, Any], words: str) -> None:
    assert words in unhealthy(facts(**changed))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_suspended_daemon_is_noticed() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert unhealthy(facts(pid=process.pid)) == ""
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: "suspended" in unhealthy(facts(pid=process.pid)), "the process to be suspended")
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: unhealthy(facts(pid=process.pid)) == "", "the process to go on")
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_the_command_answers_with_a_code_and_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cutoutd.service", "status", "--healthy"],
        env={**os.environ, "CUTOUTD_STATE_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "not running" in done.stdout
