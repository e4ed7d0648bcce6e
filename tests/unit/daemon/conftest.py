"""A real ledger with a clock that the test turns, and whole daemons in one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.simulation import Simulation, simulated

from cutoutd.daemon.ledger.database import Ledger


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
