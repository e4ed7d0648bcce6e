"""When a changed configuration is read, and that it holds up nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from cutoutd.config.errors import ConfigError, CutoutError
from cutoutd.daemon.config_file import HANGS_S, REST_S, ConfigFile
from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.plan import Plan

NOW = 1_700_000_000


class Loop:
    """Stands for the supervisor: hears answers one by one, and notes what it was told."""

    def __init__(self, path: Path | None, load: Callable[[], Plan]) -> None:
        self.clock, self.wall = 0.0, float(NOW)
        self.answers: SimpleQueue[Done] = SimpleQueue()
        self.told: list[str] = []
        self.file = ConfigFile(
            path, load, self, self.answers.put, clock=lambda: self.clock, wall=lambda: self.wall
        )

    def looks(self) -> list[str]:
        """What is told of one look, with all that it leads to."""
        before = len(self.told)
        self.file.look()
        self.hear()
        if len(self.told) > before:
            self.hear()
        return self.told[before:]

    def hear(self) -> None:
        done = self.answers.get(timeout=10)
        done.then(done.value, done.error)

    def config_is_read(self) -> None:
        self.told.append("read")

    def config_plan(self, plan: Plan) -> None:
        self.told.append("taken")

    def config_refused(self, error: CutoutError) -> None:
        self.told.append(f"refused: {error}")

    def config_hangs(self, why: str) -> None:
        self.told.append(why)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return _write(tmp_path / "c.toml", NOW - 60)


def _write(path: Path, at: float) -> Path:
    path.write_text("")
    os.utime(path, ns=(0, int(at * 10**9)))
    return path


def test_one_that_is_being_written_is_waited_for(path: Path, plan: Plan) -> None:
    """An editor empties it first: an empty one gives up each inbox for the default one."""
    one = Loop(path, lambda: plan)
    assert one.looks() == []
    _write(path, NOW)
    assert one.looks() == []
    one.wall += REST_S
    assert one.looks() == ["read", "taken"]
    assert one.looks() == []


def test_a_clock_that_is_wrong_puts_it_off_by_no_more(path: Path, plan: Plan) -> None:
    one = Loop(path, lambda: plan)
    _write(path, NOW + 3600)
    assert one.looks() == ["read", "taken"]


def test_one_that_went_is_refused_once_and_where_there_is_none_nothing_is_asked(
    path: Path, plan: Plan
) -> None:
    def gone() -> Plan:
        raise ConfigError("there is no such config file")

    one = Loop(path, gone)
    path.unlink()
    assert one.looks() == ["read", "refused: there is no such config file."]
    assert one.file.refused == "there is no such config file."
    assert one.looks() == []
    none = Loop(None, lambda: plan)
    none.file.look()
    assert none.answers.empty()


def test_a_file_that_hangs_holds_up_nobody_is_told_of_once_and_counts_when_it_answers(
    path: Path, plan: Plan
) -> None:
    answers = threading.Event()

    def hangs() -> Plan:
        answers.wait(60)
        return plan

    one = Loop(path, hangs)
    one.file.read()
    assert one.told == ["read"]
    for _ in range(3):
        one.file.look()
        one.clock += HANGS_S
    assert len(one.told) == 2
    assert "has not answered" in one.told[1]
    one.file.read()  # a signal: what it says by the time it answers counts
    answers.set()
    one.hear()
    one.hear()
    assert one.told[2:] == ["taken", "read", "taken"]


def test_a_mistake_of_ours_in_reading_it_costs_that_one_reading(path: Path, plan: Plan) -> None:
    wrong = ["the first time"]

    def load() -> Plan:
        if wrong:
            wrong.clear()
            raise ZeroDivisionError
        return plan

    one = Loop(path, load)
    one.file.read()
    with pytest.raises(ZeroDivisionError):
        one.hear()
    one.file.read()
    one.hear()
    assert one.told == ["read", "read", "taken"]
