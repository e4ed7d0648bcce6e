"""The hooks' loop on a real ledger with real commands: at least once, in order, several at a time, tried again."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.conditions import wait_until

from cutoutd.config.hooks import Hook
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.events import Events, HookQueue
from cutoutd.service.hooks.runner import HookRunner

WRITE = "import json, sys; open(sys.argv[1], 'a').write(str(json.load(sys.stdin)['id']) + '\\n')"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


def hook(code: str, *more: str, **options: Any) -> Hook:
    command = [sys.executable, "-c", code.replace("{", "{{").replace("}", "}}"), *more]
    return Hook.model_validate({"name": "h", "command": command, **options})


def happen(ledger: Ledger, name: str, state: str = "done") -> None:
    """A photo's row as the daemon writes it, from pending to its end."""
    ledger.write(
        "INSERT INTO photos (inbox, path, key, state, arrived) VALUES (?, ?, ?, 'pending', 0)",
        (b"/in", name.encode(), ledger.key(name.encode())),
    )
    for step in ("running", state):
        ledger.write("UPDATE photos SET state = ? WHERE path = ?", (step, name.encode()))
    ledger.commit()


def known(ledger: Ledger, one: Hook) -> None:
    HookQueue(ledger).take_up(one.key, ())


@pytest.mark.slow
def test_every_event_is_run_once_and_in_order(ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "ids"
    one = hook(WRITE, str(out))
    known(ledger, one)
    for number in range(5):
        happen(ledger, f"{number}.jpg")
    HookRunner(ledger, (one,)).run(until_idle=True)
    ids = [int(line) for line in out.read_text().split()]
    assert ids == sorted(ids)
    assert len(ids) == 5
    HookRunner(ledger, (one,)).run(until_idle=True)
    assert len(out.read_text().split()) == 5, "nothing is run again"


def test_only_the_events_that_were_asked_for(ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "kinds"
    one = hook(
        "import json, sys; open(sys.argv[1], 'a').write(json.load(sys.stdin)['event'])",
        str(out),
        on=["failed"],
    )
    known(ledger, one)
    happen(ledger, "good.jpg")
    happen(ledger, "bad.jpg", "failed")
    HookRunner(ledger, (one,)).run(until_idle=True)
    assert out.read_text() == "failed"


def test_a_hook_that_fails_holds_back_no_other_event(ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "ids"
    code = "import json, sys; e = json.load(sys.stdin)\nif e['original'].endswith('bad.jpg'): sys.exit('refused')\n"
    one = hook(code + "open(sys.argv[1], 'a').write(e['original'] + '\\n')", str(out))
    known(ledger, one)
    happen(ledger, "bad.jpg")
    happen(ledger, "good.jpg")
    HookRunner(ledger, (one,)).run(until_idle=True)
    assert out.read_text() == "/in/good.jpg\n"
    standing = HookQueue(ledger).standing(one.key)
    assert (standing.waiting, standing.given_up) == (1, 0)
    assert standing.trouble == "exit code 1: refused"


@pytest.mark.slow
def test_as_many_at_once_as_allowed(ledger: Ledger, tmp_path: Path) -> None:
    """Each command waits until three are there, so fewer at once would never end."""
    meet = tmp_path / "meet"
    meet.mkdir()
    code = (
        "import os, sys, time, uuid\nopen(os.path.join(sys.argv[1], uuid.uuid4().hex), 'w')\n"
        "while len(os.listdir(sys.argv[1])) < 3: time.sleep(.01)\n"
    )
    one = hook(code, str(meet), at_once=3)
    known(ledger, one)
    for number in range(3):
        happen(ledger, f"{number}.jpg")
    HookRunner(ledger, (one,)).run(until_idle=True)
    assert len(list(meet.iterdir())) == 3


@pytest.mark.slow
def test_new_events_are_heard_while_it_runs(ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "ids"
    one = hook(WRITE, str(out))
    other = Ledger(tmp_path / "ledger.sqlite", check=False)
    known(other, one)
    runner: list[HookRunner] = []

    def serve() -> None:
        mine = Ledger(tmp_path / "ledger.sqlite", check=False)
        runner.append(HookRunner(mine, (one,)))
        runner[0].run()
        mine.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        for number in range(3):
            happen(other, f"{number}.jpg")
            wait_until(lambda n=number: out.exists() and len(out.read_text().split()) == n + 1, "the hook")
    finally:
        runner[0].stop()
        thread.join()
        other.close()


@pytest.mark.slow
def test_stopping_lets_a_command_finish_and_a_second_stop_ends_it_unpaid(
    ledger: Ledger, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    one = hook("import sys, time; open(sys.argv[1], 'w'); time.sleep(600)", str(started), time_limit=600)
    known(ledger, one)
    happen(ledger, "a.jpg")
    runner = HookRunner(ledger, (one,))

    def stop_twice() -> None:
        wait_until(started.exists, "the command's start")
        runner.stop()
        runner.stop()

    thread = threading.Thread(target=stop_twice)
    thread.start()
    began = time.monotonic()
    runner.run()
    thread.join()
    assert time.monotonic() - began < 60
    standing = HookQueue(ledger).standing(one.key)
    assert (standing.waiting, standing.trouble) == (1, ""), "still owed, and nobody's fault"


def test_what_the_events_of_json_look_like(ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "json"
    one = hook("import sys; open(sys.argv[1], 'w').write(sys.stdin.read())", str(out))
    known(ledger, one)
    happen(ledger, "a.jpg")
    HookRunner(ledger, (one,)).run(until_idle=True)
    assert set(json.loads(out.read_text())) == {
        "id", "event", "time", "photo", "inbox", "original", "outputs", "reason", "detail", "model", "seconds",
        "confidence", "needs_review",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("filenames", "called"), [(True, "event {}, shoe.jpg done"), (False, "event {}, done")]
)
def test_the_log_says_for_which_photo_a_command_ran_where_names_may_stand_there(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, *, filenames: bool, called: str
) -> None:
    caplog.set_level("INFO")
    well, badly = hook("pass", name="well"), hook("raise SystemExit(3)", name="badly")
    for one in (well, badly):
        known(ledger, one)
    happen(ledger, "shoe.jpg")
    HookRunner(ledger, (well, badly), filenames=filenames).run(until_idle=True)
    event = called.format(Events(ledger).last())
    assert f"well ran for {event}" in caplog.messages
    assert any(line.startswith(f"badly failed for {event} (exit code 3") for line in caplog.messages)
