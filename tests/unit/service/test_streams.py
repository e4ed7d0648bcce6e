"""Standard streams that may go away: closed at start, broken pipes, full disks, a terminal that hangs up."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from cutoutd.service.streams import Enduring, Terminal

pytestmark = pytest.mark.slow

PROGRAM = f"{sys.executable} -m cutoutd.service"


def shell(line: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(tmp_path), "CUTOUTD_STATE_DIR": str(tmp_path / "state")}
    return subprocess.run(
        ["sh", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


CLOSED = (">&- 2>&- <&-", ">&-", "2>&-", "<&-")
COMMANDS = ("status", "no-such-command", "run -c gone", "--version", "failures")


# Of each command and of each way one; the others differ in nothing that happens before a command is known.
@pytest.mark.parametrize(
    ("command", "closed"),
    [
        pytest.param(command, closed, marks=[] if command == "status" or not way else pytest.mark.thorough)
        for command in COMMANDS
        for way, closed in enumerate(CLOSED)
    ],
)
def test_a_closed_stream_is_no_trouble(command: str, closed: str, tmp_path: Path) -> None:
    done = shell(f"{PROGRAM} {command} {closed}", tmp_path)
    assert done.returncode == {"no-such-command": 2, "run -c gone": 4}.get(command, 0)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_command_that_makes_no_sense_is_said_in_plain_words(tmp_path: Path) -> None:
    done = shell(f"{PROGRAM} failures --no-such-option", tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "Usage: cutoutd failures [OPTIONS]"
    assert "No such option" in done.stderr
    assert "b'" not in done.stderr
    assert 'b"' not in done.stderr


@pytest.mark.parametrize("command", ["--version", "status", "presets"])
def test_a_full_disk_behind_the_output_is_said_once(command: str, tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    done = shell(f"PYTHONUNBUFFERED= {PROGRAM} {command} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "cutoutd: the output could not be written (No space left on device).\n"


def test_a_full_disk_is_not_blamed_where_nothing_was_put_out(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    done = shell(f"PYTHONUNBUFFERED=1 {PROGRAM} events > /dev/full", tmp_path)
    assert done.returncode == 2
    assert "has not run here yet" in done.stderr
    assert "could not be written" not in done.stderr


def broken_pipe() -> TextIO:
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


def test_what_nobody_reads_is_dropped() -> None:
    stream = Enduring(broken_pipe())
    for _ in range(3):
        assert stream.write("x" * 100_000) == 100_000
        stream.flush()
    assert stream.gone
    assert not stream.isatty()
    stream.close()


def test_a_full_disk_may_have_room_later() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        stream = Enduring(full)
        stream.write("x" * 100_000)
        stream.flush()
        assert not stream.gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_terminal_that_hangs_up_is_noticed(tmp_path: Path) -> None:
    """A child with a terminal of its own looks before and after the terminal goes."""
    report = tmp_path / "report"
    pid, descriptor = pty.fork()
    if pid == 0:
        script = (
            "import signal, sys, time\n"
            "from pathlib import Path\n"
            "from cutoutd.service.streams import Terminal\n"
            "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
            "terminal = Terminal()\n"
            "before = terminal.gone()\n"
            "sys.stdout.write(chr(10)); sys.stdout.flush()\n"
            "until = time.monotonic() + 20\n"
            "while not terminal.gone() and time.monotonic() < until: time.sleep(0.01)\n"
            "Path(sys.argv[1]).write_text(f'{before} {terminal.gone()}')\n"
        )
        os.execv(  # noqa: S606
            sys.executable, [sys.executable, "-c", script, str(report)]
        )
    assert os.read(descriptor, 1000).endswith(b"\n")
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    assert report.read_text() == "False True"


def test_without_a_terminal_none_has_gone(tmp_path: Path) -> None:
    assert not Terminal(str(tmp_path / "no such terminal")).gone()


def test_the_answer_to_version_loads_no_module_of_types() -> None:
    code = (
        "import sys; before = set(sys.modules); import cutoutd.service.main;"
        "print({'typing', 're', 'enum'} & (set(sys.modules) - before))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"
