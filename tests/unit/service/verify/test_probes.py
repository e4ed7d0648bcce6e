"""What a process finds out about itself, tried in processes that really gave something up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cutoutd.service.verify.probes import Tries, ability, seccomp_filters


def in_a_process(code: str) -> dict[str, Any]:
    """The ability of a fresh process after `code` has run in it."""
    program = f"""
import json, os, resource
from pathlib import Path
from cutoutd.service.verify.probes import Tries, ability
{code}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_free_process_says_so(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    before = os.umask(0o022)
    try:
        found = ability(Tries((tmp_path / "secret",), (tmp_path / "new",)))
    finally:
        assert os.umask(before) == 0o022  # looking at it did not change it
    assert found["read"] == {"secret": "allowed"}
    assert found["create"] == {f"{tmp_path.name}/new": "allowed"}
    assert found["umask"] == 0o022
    assert found["pid"] == os.getpid()


def test_what_is_refused_is_named(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    found = ability(Tries((tmp_path / "gone",), (tmp_path / "there",)))
    assert (found["read"], found["create"]) == ({"gone": "ENOENT"}, {f"{tmp_path.name}/there": "EEXIST"})
    assert (ability(Tries())["create"], ability(Tries())["reach"]) == ({}, {})


@pytest.mark.slow
def test_limits_are_the_processs_own() -> None:
    found = in_a_process(
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.umask(0o077)\n"
        "os.environ['ORT_DISABLE_TELEMETRY'] = '1'\nprint(json.dumps(ability(Tries())))"
    )
    assert (found["core_limit"], found["umask"], found["telemetry_off"]) == (0, 0o077, True)
    assert found["engine_loaded"] is False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux's")
def test_a_guarded_process_finds_the_network_shut_and_its_filter_counted() -> None:
    found = in_a_process(
        "from cutoutd.daemon.sandbox.guard import guard_supervisor\nbefore = ability(Tries())\n"
        "guard_supervisor()\nprint(json.dumps({'before': before, **ability(Tries())}))"
    )
    assert found["filters"] == (found["before"]["filters"] or 0) + 1
    assert found["dumpable"] is False
    assert "open" not in {found["network"]["ipv4"], found["network"]["ipv6"], found["network"]["udp"]}


def test_a_process_that_is_gone_has_no_filters_to_tell_of() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert seccomp_filters(done.pid) is None
