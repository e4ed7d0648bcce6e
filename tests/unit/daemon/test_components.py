"""The parts of one life: made or not made as a whole, and all of them ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.simulation import Heard, Simulation
from tests.unit.daemon.conftest import full_disk

from cutoutd.config.errors import LedgerError
from cutoutd.daemon import components as components_module
from cutoutd.daemon.components import Components, Places
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.plan import Plan


def test_machinery_that_cannot_be_made_leaves_no_ledger_open(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Ledger] = []
    real = components_module.open_ledger

    def remember(path: Path) -> tuple[Ledger, Path | None]:
        opened.append(real(path)[0])
        return opened[-1], None

    def unreadable(*_arguments: object) -> str:
        raise full_disk()

    monkeypatch.setattr(components_module, "open_ledger", remember)
    monkeypatch.setattr(components_module, "instance_id", unreadable)
    with pytest.raises(LedgerError, match="cannot be read"):
        Components(plan, Places(tmp_path / "state"), Heard(), lambda _message: None)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].read("SELECT 1")


def test_a_ledger_disk_that_is_full_at_the_end_ends_everything_else(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim()
    one.put("a.jpg", b"frame")
    one.boot()
    for _ in range(200):
        if one.workers.jobs:
            break
        one.turn()
    parts = one.parts

    def full(_ledger: Ledger) -> None:
        raise full_disk()

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "commit", full)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            parts.close()
    parts.abandon()  # as the supervisor does; a second end is harmless
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        parts.ledger.read("SELECT 1")
    one.supervisor = None
    one.boot()
    one.finish()
    assert one.states() == {"a.jpg": "done"}
