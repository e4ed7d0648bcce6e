"""Capabilities, given up in child processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux")


def in_a_child(script: str) -> object:
    code = "import json; from cutoutd.daemon.sandbox import capabilities; " + script
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_afterwards_none_is_held() -> None:
    assert in_a_child("capabilities.drop_all(); print(json.dumps(capabilities.held()))") == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has some to lose")
def test_before_root_has_some_and_afterwards_it_is_refused_like_anybody() -> None:
    before, answer = in_a_child(  # type: ignore[misc]
        "import os\n"
        "before = capabilities.held(); capabilities.drop_all()\n"
        "try:\n    os.setgroups([1])\n    answer = 'allowed'\n"
        "except PermissionError:\n    answer = 'refused'\n"
        "print(json.dumps([before, answer]))"
    )
    if not before:
        pytest.skip("this root has none")
    assert answer == "refused"


def test_where_the_kernel_does_not_say_nobody_knows() -> None:
    script = "from pathlib import Path; capabilities.Path = lambda _name: Path('/nonexistent'); "
    assert in_a_child(script + "print(json.dumps(capabilities.held()))") is None
