"""The program is replaced under a running daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.daemon_process import Daemon
from tests.support.photos import small

from cutoutd.config.errors import ExitCode
from cutoutd.config.version import VERSION

Make = Callable[..., Daemon]
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_version_that_is_installed_over_it_ends_the_daemon_so_that_the_new_one_starts(
    daemon: Make, tmp_path: Path
) -> None:
    """Workers of the new version did not understand the old daemon, and photos waited until somebody restarted it."""
    package = tmp_path / "site" / "cutoutd"
    package.mkdir(parents=True)
    for part in ROOT.iterdir():
        if part.name in ("daemon", "models", "service", "__init__.py"):
            (package / part.name).symlink_to(part)
    shutil.copytree(ROOT / "config", package / "config")

    def run() -> None:
        with one.log.open("ab") as log:
            command = [sys.executable, "-P", "-m", "cutoutd.service", "run", "-c", str(one.write_config())]
            one.process = subprocess.Popen(command, stdout=log, stderr=log, env=one.env())
        one.wait(lambda: one.said("ready") and one.settled(), "the daemon")

    one = daemon()
    one.environment = {"PYTHONPATH": str(package.parent)}
    for folder in (one.inbox, one.outbox, one.root / "home"):
        folder.mkdir(parents=True, exist_ok=True)
    run()
    version = package / "config" / "version.py"
    new = version.with_suffix(".new")
    new.write_text(version.read_text().replace(VERSION, "9.9.9"))
    os.replace(new, version)
    (one.inbox / "a.jpg").write_bytes(small("astronaut"))
    assert one.process is not None
    assert one.process.wait(90) == ExitCode.REPLACED
    assert one.said(f"cutoutd 9.9.9 was installed over {VERSION}, which ran here.")
    one.log.unlink()
    run()
    one.wait(lambda: one.settled() and one.outputs(), "the cutout")
    assert "9.9.9" in one.cli("status").stdout + one.cli("--version").stdout
    assert one.stop() == 0
