from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cutoutd.daemon.ledger.database import LEDGER_NAME
from cutoutd.daemon.ledger.file import open_ledger
from cutoutd.daemon.live_status import LIVE_STATUS, DaemonState, FleetStatus, LiveStatus, NodeStatus
from cutoutd.daemon.lock import StateLock
from cutoutd.service.cli.app import cutoutd

READY = NodeStatus(
    name="anna", address="tls://a:1", state="ready", slots=4, busy=2, photos_per_minute=31,
    proofs={"cutout-m": "aa"}, certificate_expires=4e9,
)  # fmt: skip
REFUSED = NodeStatus(
    name="bert", state="refused", why="It runs cutoutd 0.1 and the head 0.2: install the same on both"
)
OTHER = NodeStatus(name="carl", state="ready", slots=1, proofs={"cutout-m": "bb"}, certificate_expires=1.0)


def said(state: Path, monkeypatch: pytest.MonkeyPatch, fleet: FleetStatus | None, *more: str) -> Any:
    """What `fleet status` says of a daemon that runs and has published this."""
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(state))
    lock = StateLock(state)
    ledger, _ = open_ledger(state / LEDGER_NAME)
    ledger.set_meta(LIVE_STATUS, LiveStatus(state=DaemonState.IDLE, fleet=fleet).to_json())
    ledger.commit()
    ledger.close()
    try:
        return CliRunner().invoke(cutoutd, ["fleet", "status", *more])
    finally:
        lock.release()


def test_nodes_slots_and_pace_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = FleetStatus(scheduler="tls://h:1", proofs={"cutout-m": "aa"}, nodes=(READY, REFUSED, OTHER))
    shown = said(tmp_path, monkeypatch, fleet).output
    assert "anna  ready  2 of 4 slots busy, 31 photos/min" in shown
    assert "bert  refused" in shown
    assert "install the same" in shown
    assert "rounds differently with cutout-m" in shown.partition("carl")[2]
    assert "expires on 1970-01-01" in shown.partition("carl")[2]
    assert "expires" not in shown.partition("bert")[0]


def test_a_scheduler_that_is_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = FleetStatus(scheduler="tls://h:1", trouble="connection refused")
    shown = said(tmp_path, monkeypatch, fleet).output
    assert "connection refused" in shown
    assert "No node is connected" in shown


def test_who_is_missing_is_told_and_what_all_have_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = NodeStatus(name="dora", state="missing", missing_since=1.0)
    never = NodeStatus(name="emil", state="missing")
    fleet = FleetStatus(
        scheduler="tls://h:1",
        version="0.2.0",
        models={"cutout-m": "12345678901234567890"},
        nodes=(READY, gone, never),
    )
    shown = said(tmp_path, monkeypatch, fleet).output
    assert "run cutoutd 0.2.0 with cutout-m 123456789012" in shown
    assert "dora  missing since 1970-01-01" in shown
    assert "emil  missing: not seen since the start" in shown
    assert "No node is connected" not in shown


def test_scripts_get_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = FleetStatus(scheduler="tls://h:1", nodes=(READY,))
    found = json.loads(said(tmp_path, monkeypatch, fleet, "--json").output)
    assert found["nodes"][0] == READY.plain()


def test_a_daemon_that_works_alone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(tmp_path, monkeypatch, None, "--json").output.strip() == "null"
    error = said(tmp_path, monkeypatch, None).exception
    assert "fleet init" in str(error)


def test_a_daemon_that_is_down_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path))
    assert "not running" in str(CliRunner().invoke(cutoutd, ["fleet", "status"]).exception)


def test_a_scheduler_needs_a_fleet_in_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[[inbox]]\npath = "{tmp_path / "in"}"\noutbox = "{tmp_path / "out"}"\n')
    error = CliRunner().invoke(cutoutd, ["fleet", "scheduler", "--config", str(config)]).exception
    assert "[fleet]" in str(error)


def test_a_node_needs_its_folder(tmp_path: Path) -> None:
    error = CliRunner().invoke(cutoutd, ["fleet", "node", "--from", str(tmp_path)]).exception
    assert "fleet init" in str(error)
