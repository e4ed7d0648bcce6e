"""One run of a hook: what the command is told, and every way in which it can end."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.conditions import wait_until

from cutoutd.config.hooks import EventKind, Hook
from cutoutd.daemon.ledger.events import Event
from cutoutd.service.hooks.command import arguments, run

pytestmark = pytest.mark.slow

EVENT = Event(
    id=7, kind=EventKind.DONE, at=1.7e9, photo=3, inbox=b"/in", original=b"/in/a b.jpg",
    outputs=(b"/out/a b.png", b"/out/a b.jpg"), reason="", detail="", model="cutout-m", seconds=0.5,
)  # fmt: skip


def hook(*command: str, **more: Any) -> Hook:
    return Hook.model_validate({"command": command, **more})


def python(code: str, *more: str, **options: Any) -> Hook:
    return hook(sys.executable, "-c", code.replace("{", "{{").replace("}", "}}"), *more, **options)


def test_placeholders_are_filled_in_without_a_shell() -> None:
    told = arguments(
        hook("p", "{photo}", "{name}; rm -rf /", "{output}", "{outputs}", "{event}{{}}", "{reason}"), EVENT
    )
    assert told == [
        "p", "/in/a b.jpg", "a b; rm -rf /", "/out/a b.png", "/out/a b.png", "/out/a b.jpg", "done{}", "",
    ]  # fmt: skip


def test_a_program_below_the_home_folder_is_named_as_every_path_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was looked for in a folder called "~"."""
    monkeypatch.setenv("HOME", str(tmp_path))
    script = tmp_path / "upload"
    script.write_text('#!/bin/sh\necho "$1" > "$HOME/told"\n')
    script.chmod(0o700)
    assert run(hook("~/upload", "~ {output}"), EVENT, []).well
    assert (tmp_path / "told").read_text() == "~ /out/a b.png\n"


def test_braces_in_the_programs_path_are_no_placeholders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "{home}"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    one = hook("~/{{a}}", "{output}")
    assert one.program == f"{home}/{{a}}"
    assert arguments(one, EVENT)[0] == one.program


def test_the_event_comes_as_json_on_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "told"
    ended = run(python("import sys; open(sys.argv[1], 'w').write(sys.stdin.read())", str(out)), EVENT, [])
    assert ended.well
    told = json.loads(out.read_text())
    assert told["event"] == "done"
    assert told["original"] == "/in/a b.jpg"
    assert told["outputs"] == ["/out/a b.png", "/out/a b.jpg"]


def test_a_name_that_is_no_text_reaches_the_command_as_its_bytes(tmp_path: Path) -> None:
    from msgspec.structs import replace

    odd = tmp_path / os.fsdecode(b"\xff.jpg")
    odd.write_bytes(b"there")
    event = replace(EVENT, original=os.fsencode(odd))
    code = "import os, sys; open(sys.argv[1], 'rb').close(); sys.stdin.read()"
    assert run(python(code, "{photo}"), event, []).well


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit('no route to host')", "exit code 1: no route to host"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("print('x' * 100000); raise SystemExit(3)", "exit code 3: xxx"),
        ("print('\\x1b[31mred'); raise SystemExit(4)", "exit code 4"),
    ],
)
def test_a_command_that_fails_says_why_in_few_words(code: str, words: str) -> None:
    ended = run(python(code), EVENT, [])
    assert ended.why.startswith(words)
    assert len(ended.why) < 2000
    assert "\x1b" not in ended.why


def test_a_program_that_is_not_there_is_named() -> None:
    assert "/no/such/program cannot be started" in run(hook("/no/such/program"), EVENT, []).why


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)\n"
    )
    ended = run(python(code, str(pids), time_limit=3), EVENT, [])
    assert ended.why == "took longer than 3 s"
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: _gone(int(pid)), what=f"the end of {pid}")


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_stopping_ends_it_at_once() -> None:
    stopped: list[bool] = []
    threading.Timer(0.3, stopped.append, (True,)).start()
    began = time.monotonic()
    assert run(python("import time; time.sleep(600)"), EVENT, stopped).why == "ended with cutoutd"
    assert time.monotonic() - began < 30
