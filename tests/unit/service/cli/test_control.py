"""`cutoutd status` and its kin, as people see them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from cutoutd.config.errors import UsageError
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.service.cli.control import failures, redo, retry, show_status, status


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


def test_before_the_first_start_there_is_nothing_to_retry() -> None:
    for command, arguments in ((failures, []), (retry, ["--all"])):
        error = CliRunner().invoke(command, arguments).exception
        assert isinstance(error, UsageError)
        assert "has not run here yet" in str(error)


def test_a_name_that_means_no_failed_photo_is_said(state: Path) -> None:
    state.mkdir()
    Ledger(state / "ledger.sqlite").close()
    assert CliRunner().invoke(failures).output == "No photo has failed.\n"
    for command, arguments in ((retry, ["nope.jpg"]), (redo, ["nope.jpg"])):
        result = CliRunner().invoke(command, arguments)
        assert (result.exit_code, result.output[:3]) == (0, "No "), result.output


def test_a_redo_that_cannot_be_is_refused_before_any_photo_waits(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "cutoutd.toml"
    config.write_text(
        f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n'
        '[inbox.output]\nfit = "head"\nsize = "35x45mm"\n'
    )
    monkeypatch.setenv("CUTOUTD_CONFIG", str(config))
    state.mkdir()
    ledger = Ledger(state / "ledger.sqlite")
    ledger.write(
        "INSERT INTO photos (inbox, path, key, state, arrived, live) VALUES (?, x'79', x'02', 'done', 0, 1)",
        (bytes(tmp_path / "in"),),
    )
    ledger.commit()
    ledger.close()
    error = CliRunner().invoke(redo, ["--all", "--max-size", "300"]).exception
    assert isinstance(error, UsageError)
    assert "size sets the exact size" in str(error)
    done = CliRunner().invoke(redo, ["--all", "--head-height", "60"])  # the inbox supplies fit = "head"
    assert done.output == "1 photo will be done again.\n", done.exception


def test_a_long_path_is_not_broken() -> None:
    path = "/srv/" + "photographs/" * 12
    inbox = {"path": path, "outbox": path, "watching": True, "polled": False, "trouble": ""}
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
