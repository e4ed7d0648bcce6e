"""Completion: the shells accept the files, and every choice has its values."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import warm

from cutoutd.config.output import Output
from cutoutd.service.cli.completion import script
from cutoutd.service.cli.option_flags import choices

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_the_shell_reads_its_file(shell: str, check: str, tmp_path: Path) -> None:
    path = tmp_path / "cutoutd"
    path.write_text(script(shell))
    assert "_CUTOUTD_COMPLETE" in script(shell)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, check, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("once --format ", ["png", "webp", "tiff", "avif", "jpeg"]),
        ("once --shadow d", ["drop"]),
        ("once --preset amaz", ["amazon"]),
        ("once --model fa", ["fast"]),
        ("redo --deliverable w", ["web"]),
        ("completion f", ["fish"]),
    ],
)
def test_values_complete(words: str, expected: list[str], tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n[[inbox.deliver]]\nlabel = "web"\n'
    )
    typed = f"cutoutd {words}"
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "CUTOUTD_CONFIG": str(config),
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
        "_CUTOUTD_COMPLETE": "bash_complete",
    }
    if warm.POSSIBLE:
        done = warm.ask([], environment)
    else:
        done = subprocess.run(
            [sys.executable, "-m", "cutoutd.service"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == expected


def test_choices_come_from_the_declaration() -> None:
    assert choices(Output, "format") == ("png", "webp", "tiff", "avif", "jpeg")
    assert choices(Output, "compression") == ("fast", "small")
    assert choices(Output, "margin") == ()
