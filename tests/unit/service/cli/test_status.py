"""`cutoutd status` as people see it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from cutoutd.config.errors import LedgerError
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled
from cutoutd.daemon.live_status import LIVE_STATUS, DaemonState, HandStatus, InboxStatus, LiveStatus
from cutoutd.daemon.lock import StateLock
from cutoutd.models.decoding.refusals import AGAIN
from cutoutd.service.cli.control import pause
from cutoutd.service.cli.status import failures, show_status, status


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def shown(**facts: Any) -> str:
    console = Console(file=io.StringIO(), width=80, soft_wrap=True, highlight=False)
    whole: dict[str, Any] = {"state": "idle", "counts": {}, "recent": [], **facts}
    show_status(whole, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_before_the_first_start_it_says_how_to_start() -> None:
    result = CliRunner().invoke(status)
    assert result.exit_code == 0
    assert "not started yet" in result.output
    assert "Start it with `cutoutd run`" in result.output
    assert json.loads(CliRunner().invoke(status, ["--json"]).output)["running"] is False


def test_of_a_failed_photo_that_was_put_aside_nobody_says_that_it_is_watched(state: Path) -> None:
    state.mkdir()
    ledger = Ledger(state / "ledger.sqlite")
    for number, moved in enumerate((None, b"/failed/b.jpg")):
        ledger.write(
            "INSERT INTO photos (inbox, path, key, state, arrived, finished, reason, detail, archived_to)"
            " VALUES (?, ?, ?, 'failed', 1, 1, 'unreadable', ?, ?)",
            (b"/in", b"%d.jpg" % number, ledger.key(b"%d" % number), AGAIN, moved),
        )
    ledger.close()
    said = CliRunner().invoke(failures).output
    assert said.count("it is looked at again whenever it changes") == 1
    assert said.count("Copy it again from the camera or card, into the inbox.") == 1


def test_a_daemon_whose_ledger_is_not_there_is_no_stopped_one(state: Path) -> None:
    """It has just begun, or somebody removed the file: it will be there within seconds."""
    lock = StateLock(state)
    try:
        assert "cutoutd is starting" in CliRunner().invoke(status, []).output
        refused = CliRunner().invoke(pause, [])
    finally:
        lock.release()
    assert isinstance(refused.exception, LedgerError)
    assert "within seconds" in refused.exception.fix


def test_a_long_path_is_not_broken() -> None:
    path = "/srv/" + "photographs/" * 12
    inbox = {"path": path, "outbox": path, "watching": True, "polled": False, "no_events": "", "trouble": ""}
    assert f"● {path} → {path}\n" in shown(inboxes=[inbox])


def test_a_provider_that_should_run_and_does_not_is_said_and_others_are_not() -> None:
    model = {
        "provider": "cpu",
        "why_not": [
            "cuda: The provider 'cuda' does not start: its driver or libraries did not load",
            "rocm: this ONNX Runtime (1.31.1) was built without it",
            "coreml: only used when named, because it can be slower than the processor",
        ],
    }
    text = shown(models={"cutout-s": model})
    assert "model cutout-s on cpu\n" in text
    assert "  not on cuda: The provider 'cuda' does not start" in text
    assert "rocm" not in text
    assert "coreml" not in text


def test_photos_of_an_inbox_that_left_the_configuration_are_said_to_wait(state: Path) -> None:
    """A redo of yesterday's photos is owed, and nobody carries it out: "idle, 5 owed" explained nothing."""
    lock = StateLock(state)
    ledger = Ledger(state / "ledger.sqlite")
    for inbox in (b"/watched", b"/gone \x1b"):
        Intake(ledger).observe(inbox, b"a.jpg", Facts(1, 2, 3), settled=Settled.KNOWN)
    live = LiveStatus(state=DaemonState.IDLE, inboxes=(InboxStatus(path="/watched", outbox="/out"),))
    ledger.set_meta(LIVE_STATUS, live.to_json())
    ledger.close()
    try:
        facts = json.loads(CliRunner().invoke(status, ["--json"]).output)
        said = CliRunner().invoke(status, []).output
    finally:
        lock.release()
    assert facts["left"] == [{"path": "/gone \x1b", "owed": 1}]
    assert "! 1 photo waiting in /gone \\x1b, which is not in the configuration" in said


def test_what_is_done_is_not_shown_as_in_hand_beside_it(state: Path) -> None:
    """The daemon says once a second what it has in hand, and the ledger knows at once what is done."""
    lock = StateLock(state)
    ledger = Ledger(state / "ledger.sqlite")
    ids = [
        Intake(ledger).observe(b"/in", name, Facts(1, 2, 3), settled=Settled.KNOWN)[1] or 0
        for name in (b"a", b"b")
    ]
    ledger.write("UPDATE photos SET state = 'done', finished = 1 WHERE id = ?", (ids[0],))
    hands = tuple(HandStatus(photo=one, name=str(one)) for one in ids)
    ledger.set_meta(LIVE_STATUS, LiveStatus(state=DaemonState.WORKING, in_hand=hands).to_json())
    ledger.close()
    try:
        facts = json.loads(CliRunner().invoke(status, ["--json"]).output)
    finally:
        lock.release()
    assert [hand["photo"] for hand in facts["in_hand"]] == [ids[1]]
    assert [row["name"] for row in facts["recent"]] == ["a"]


def test_what_waits_and_why_is_said() -> None:
    inbox = {
        "path": "/in", "outbox": "/out", "watching": False, "polled": False, "no_events": "",
        "trouble": "/in is not mounted.",
    }  # fmt: skip
    text = shown(state="paused", why="paused by command; `cutoutd resume` goes on", inboxes=[inbox])
    assert "paused by command" in text
    assert "/in is not mounted." in text


@pytest.mark.parametrize(
    ("count", "said"), [(0, ""), (1, "waiting for 1 photo:"), (3, "waiting for 3 photos:")]
)
def test_photos_that_somebody_still_writes_are_told_of(count: int, said: str) -> None:
    inbox = {
        "path": "/in", "outbox": "/out", "watching": True, "polled": False, "being_written": count, "no_events": "",
        "trouble": "",
    }  # fmt: skip
    seen = shown(inboxes=[inbox])
    assert said in seen
    assert ("unfinished download" in seen) == bool(count)
