"""A real ledger with a clock that the test turns, and whole daemons in one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.simulation import Simulation, simulated

from cutoutd.config.settings import Settings
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.plan import Plan, make_plan


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    one = Ledger(tmp_path / "ledger.sqlite", clock=clock)
    yield one
    if one.db:
        one.abandon()


def full_disk() -> sqlite3.OperationalError:
    """What SQLite says of one."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """One inbox and one outbox, and a folder `state` beside them."""
    for folder in ("inbox", "outbox", "state"):
        (tmp_path / folder).mkdir()
    inbox = {"path": tmp_path / "inbox", "outbox": tmp_path / "outbox"}
    return make_plan(Settings.model_validate({"inbox": [inbox]}), tmp_path / "models", None)


@pytest.fixture
def sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Simulation]]:
    """Makes simulated daemons: the real machinery, pretended workers, a clock turned by hand."""
    made: list[Simulation] = []
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def make(**inbox_table: Any) -> Simulation:
        made.append(Simulation(tmp_path, inbox_table=inbox_table))
        return made[-1]

    with simulated(monkeypatch):
        yield make
        for one in made:
            one.die()
