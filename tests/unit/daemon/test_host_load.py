"""Battery and load, from files as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cutoutd.config.settings import Engine
from cutoutd.daemon import host_load
from cutoutd.daemon.host_load import ForeignLoad, linux_on_battery


def supply(root: Path, name: str, **words: str) -> None:
    (root / name).mkdir(parents=True)
    for key, word in words.items():
        (root / name / key).write_text(word + "\n")


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({}, False),
        ({"BAT0": {"type": "Battery", "status": "Discharging"}}, True),
        ({"BAT0": {"type": "Battery", "status": "Charging"}}, False),
        ({"BAT0": {"type": "Battery", "status": "Not charging"}}, False),
        ({"AC": {"type": "Mains", "online": "1"}, "BAT0": {"type": "Battery", "status": "Full"}}, False),
        (
            {"AC": {"type": "Mains", "online": "0"}, "BAT0": {"type": "Battery", "status": "Discharging"}},
            True,
        ),
        (
            {"AC": {"type": "Mains", "online": "1"}, "BAT0": {"type": "Battery", "status": "Discharging"}},
            False,
        ),
        (
            {
                "BAT0": {"type": "Battery", "status": "Discharging"},
                "ucsi-1": {"type": "USB", "online": "1"},
            },
            False,
        ),
        ({"AC": {"type": "Mains", "online": "1"}}, False),
        ({"hid-mouse": {"type": "Battery", "scope": "Device", "status": "Discharging"}}, False),
        ({"BAT0": {"type": "Battery"}}, False),
    ],
)
def test_battery(tmp_path: Path, supplies: dict[str, dict[str, str]], expected: bool) -> None:
    for name, words in supplies.items():
        supply(tmp_path, name, **words)
    assert linux_on_battery(tmp_path) is expected


def test_a_machine_without_the_folder_runs_on_mains(tmp_path: Path) -> None:
    assert linux_on_battery(tmp_path / "absent") is False


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ("Now drawing from 'Battery Power'\n -InternalBattery-0 (id=1)\t83%; discharging; 4:01\n", True),
        ("Now drawing from 'AC Power'\n -InternalBattery-0 (id=1)\t83%; charging\n", False),
        ("", False),
    ],
)
def test_pmset(report: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_load.sys, "platform", "darwin")
    monkeypatch.setattr(host_load, "_pmset", lambda: report)
    assert host_load.on_battery() is expected


def test_cpu_seconds_adds_user_and_system_time(tmp_path: Path) -> None:
    tick = os.sysconf("SC_CLK_TCK")
    (tmp_path / "self").mkdir()
    for pid, user, system in ((7, 3 * tick, tick), (8, tick, 0)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(
            f"{pid} (a ) b) S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0\n"
        )
    assert host_load.cpu_seconds([7, 8, 9], tmp_path) == 5.0
    assert host_load.cpu_seconds([7], tmp_path / "absent") is None


def test_cpu_seconds_of_a_real_process() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    used = host_load.cpu_seconds([os.getpid()])
    assert used is not None
    assert abs(used - sum(os.times()[:2])) < 1.0


def test_our_own_work_is_not_foreign_load() -> None:
    load = ForeignLoad(cores=2)
    assert load.per_core(0.0, 0.0, busy=0, load=0.0) == 0.0
    # Two workers at full speed for ten minutes: the average says 2, all of it ours.
    answer = 9.0
    for minute in range(1, 11):
        answer = load.per_core(minute * 60.0, minute * 120.0, busy=2, load=2.0)
    assert answer < 0.01
    # Somebody else starts two more.
    assert abs(load.per_core(660.0, 1320.0, busy=2, load=4.0) - 1.0) < 0.01


def test_without_proc_a_busy_worker_counts_as_one() -> None:
    load = ForeignLoad(cores=1)
    load.per_core(0.0, None, busy=1, load=1.0)
    assert abs(load.per_core(6000.0, None, busy=1, load=3.0) - 2.0) < 1e-6


def test_a_replaced_worker_and_a_clock_that_stands_still_do_no_harm() -> None:
    load = ForeignLoad(cores=1)
    load.per_core(0.0, 100.0, busy=1, load=1.0)
    assert abs(load.per_core(10.0, 3.0, busy=1, load=1.0) - 1.0) < 1e-6
    assert abs(load.per_core(10.0, 3.0, busy=1, load=1.0) - 1.0) < 1e-6


def test_the_real_load_is_read() -> None:
    assert ForeignLoad().per_core(0.0, 0.0, busy=0) >= 0.0


@pytest.mark.parametrize(
    ("asked", "battery", "load", "why"),
    [
        ({"pause_on_battery": True}, True, 0.0, "on battery"),
        ({"pause_on_battery": False}, True, 0.0, ""),
        ({"max_load": 0.5}, False, 3.0, "busy"),
        ({"max_load": 5}, False, 3.0, ""),
        ({}, True, 99.0, ""),
    ],
)
def test_a_daemon_yields_only_to_what_its_user_named(
    asked: dict[str, Any], battery: bool, load: float, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.model_validate({"pause_on_battery": False, "max_load": 0, **asked})
    monkeypatch.setattr(host_load, "on_battery", lambda: battery)
    monkeypatch.setattr(host_load.os, "getloadavg", lambda: (load, load, load))
    reason = ForeignLoad(cores=2).reason_to_yield(engine, 0.0, [], 0)
    assert (why in reason) if why else reason == ""
