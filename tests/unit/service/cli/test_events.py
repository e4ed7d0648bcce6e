"""`cutoutd events` and `cutoutd hooks` as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cutoutd.config.errors import UsageError
from cutoutd.daemon.ledger.database import LEDGER_NAME, Ledger
from cutoutd.daemon.ledger.events import HookQueue
from cutoutd.service.cli.events import events, hooks
from cutoutd.service.cli.status import collect_status, hooks_running

Happen = Callable[[str, str], None]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def happen(state: Path) -> Happen:
    def make(name: str, ended: str) -> None:
        ledger = Ledger(state / LEDGER_NAME)
        ledger.write(
            "INSERT INTO photos (inbox, path, key, state, reason, arrived) VALUES (?, ?, ?, 'pending', ?, 0)",
            (b"/in", name.encode(), ledger.key(name.encode()), "no-subject" if ended == "failed" else ""),
        )
        for step in ("running", ended):
            ledger.write("UPDATE photos SET state = ? WHERE path = ?", (step, name.encode()))
        ledger.close()

    return make


def run(*arguments: str) -> Result:
    return CliRunner().invoke(events, arguments, catch_exceptions=False)


def test_one_line_an_event(happen: Happen) -> None:
    happen("a.jpg", "done")
    happen("b.jpg", "failed")
    lines = run().output.splitlines()
    assert [line.split()[3] for line in lines] == ["started", "done", "started", "failed"]
    assert lines[-1].endswith("/in/b.jpg: no-subject")


def test_json_goes_on_after_a_cursor(happen: Happen) -> None:
    happen("a.jpg", "done")
    told = [json.loads(line) for line in run("--json").output.splitlines()]
    assert [one["event"] for one in told] == ["started", "done"]
    assert run("--json", "--after", str(told[-1]["id"])).output == ""
    happen("b.jpg", "done")
    rest = [json.loads(line) for line in run("--json", "--after", str(told[-1]["id"])).output.splitlines()]
    assert [one["original"] for one in rest] == ["/in/b.jpg"] * 2


def test_beyond_every_number_there_is_nothing(happen: Happen) -> None:
    happen("a.jpg", "done")
    for cursor in (2**63 - 1, 10**30):
        done = CliRunner().invoke(events, ["--after", str(cursor)], catch_exceptions=False)
        assert (done.exit_code, done.output) == (0, "")


def test_since(happen: Happen) -> None:
    happen("a.jpg", "done")
    assert len(run("--since", "1h").output.splitlines()) == 2
    with pytest.raises(UsageError, match="yesterday"):
        run("--since", "yesterday")
    with pytest.raises(UsageError, match="where to begin"):
        run("--since", "1h", "--after", "3")


def test_names_that_would_steer_the_terminal_do_not(happen: Happen) -> None:
    happen("a\x1b[31m\n.jpg", "done")
    assert "\x1b" not in run().output
    assert len(run().output.splitlines()) == 2


def test_status_knows_hooks_and_retry_owes_again(happen: Happen, state: Path) -> None:
    happen("a.jpg", "done")
    ledger = Ledger(state / LEDGER_NAME)
    queue = HookQueue(ledger)
    queue.keep_only({"k": "upload"})
    ledger.write("INSERT INTO hook_runs (hook, event, error, given_up) VALUES ('k', 2, 'no route', 1)")
    ledger.close()
    (hook,) = collect_status()["hooks"]
    assert hook == {"hook": "upload", "running": False, "waiting": 0, "given_up": 1, "trouble": "no route"}
    result = CliRunner().invoke(hooks, ["--retry"], catch_exceptions=False)
    assert result.output == "1 run will be tried again.\n"
    assert collect_status()["hooks"][0]["waiting"] == 1
    assert not hooks_running(state)


def test_without_hooks_there_is_nothing_to_run(tmp_path: Path, state: Path) -> None:
    assert state.is_dir()
    config = tmp_path / "config.toml"
    config.write_text('[[inbox]]\npath = "/a"\noutbox = "/b"\n')
    with pytest.raises(UsageError, match="has no hook"):
        CliRunner().invoke(hooks, ["-c", str(config)], catch_exceptions=False)
