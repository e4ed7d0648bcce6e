"""When workers start, what they report, and when they rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.models import add_large_stand_in
from tests.support.simulation import Simulation

from cutoutd.daemon.dispatch import worker_manager
from cutoutd.daemon.workers.engines import Loaded
from cutoutd.daemon.workers.slot import SlotReady, SlotState, SlotStatus
from cutoutd.models.networks.catalog import FAST, STANDARD

Make = Callable[..., Simulation]
IDLE, WAITING = SlotState.IDLE, SlotState.WAITING


@pytest.fixture
def two_kinds(sim: Make) -> Simulation:
    """A daemon with a large network in its first slot, whose workers say nothing by themselves."""
    add_large_stand_in(sim().root / "models")
    one = sim(model="large", draft_then_final=True).boot()
    vars(one.workers)["start"] = lambda: None
    return one


def _ready(slot: int, *names: str) -> SlotReady:
    return SlotReady(slot, warm_up={name: Loaded("cpu", ()) for name in names})


@pytest.mark.slow
def test_photos_are_taken_up_by_the_first_worker_and_ready_is_said_by_the_one_with_every_network(
    two_kinds: Simulation,
) -> None:
    parts = two_kinds.parts
    resumed: list[bool] = []
    vars(parts.aftercare)["resume"] = lambda: resumed.append(True)
    assert not parts.slot_ready(_ready(1, FAST))
    assert (parts.worker_manager.warm, parts.worker_manager.ready, len(resumed)) == (True, False, 1)
    assert parts.slot_ready(_ready(0, FAST, "large"))
    assert not parts.slot_ready(_ready(1, FAST))
    assert (parts.worker_manager.ready, len(resumed)) == (True, 1)


@pytest.mark.slow
def test_status_names_every_network_that_is_loaded_and_none_that_left_the_config(
    two_kinds: Simulation,
) -> None:
    parts = two_kinds.parts
    parts.slot_ready(_ready(0, FAST, "large"))
    parts.slot_ready(_ready(1, FAST))
    assert set(parts.worker_manager.models) == {FAST, "large"}
    two_kinds.inbox_table = {}
    two_kinds.reload()
    parts.slot_ready(_ready(0, STANDARD))
    assert set(parts.worker_manager.models) == {STANDARD}


def test_a_worker_that_was_started_ahead_and_found_no_slot_is_ended(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(worker_manager, "end_unused", lambda: ended.append(len(ended)))
    one = sim().boot()
    assert ended == []
    one.until(lambda: one.parts.worker_manager.warm)
    one.run()
    assert ended == [0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("states", "well"),
    [((IDLE, IDLE), True), ((IDLE, WAITING), True), ((WAITING, IDLE), False)],
)
def test_a_large_network_that_never_loads_is_no_healthy_daemon(
    two_kinds: Simulation, states: tuple[SlotState, SlotState], well: bool
) -> None:
    slots = [SlotStatus(n, state, None, 0, None, "") for n, state in enumerate(states)]
    vars(two_kinds.workers)["status"] = lambda: slots
    assert two_kinds.parts.worker_manager.can_start() is well


def test_workers_rest_when_nothing_is_owed_and_wake_when_a_file_stirs(sim: Make) -> None:
    one = sim().boot()
    calls: list[str] = []
    one.run(20)
    for name in ("load", "unload"):
        vars(one.workers)[name] = lambda name=name: calls.append(name)
    force = one.parts.worker_manager
    limit_s: Any = one.parts.plan.settings.engine.idle_unload
    one.pass_time(limit_s - 60)
    force.rest(owed=lambda: False, stopped=False)
    assert calls == []
    one.pass_time(120)
    force.rest(owed=lambda: True, stopped=False)
    assert calls == []
    force.rest(owed=lambda: False, stopped=False)
    assert (calls, force.unloaded) == (["unload"], True)
    force.rest(owed=lambda: True, stopped=True)
    assert calls == ["unload"]
    force.rest(owed=lambda: True, stopped=False)
    assert (calls, force.unloaded) == (["unload", "load"], False)
    force.wake()
    assert calls == ["unload", "load"]


def test_another_folder_under_a_name_needs_other_workers(sim: Make) -> None:
    one = sim().boot()
    one.run(20)
    renewed: list[object] = []
    vars(one.workers)["recycle"] = renewed.append
    force = one.parts.worker_manager
    force.folder_open(one.outbox, (7, 7))
    force.folder_open(one.outbox, (7, 7))
    assert len(renewed) == 1
    force.folder_lost(one.outbox)
    force.folder_open(one.outbox, (7, 7))
    assert len(renewed) == 2


def test_a_folder_for_failed_photos_that_is_newer_than_the_workers_needs_new_ones(
    sim: Make, tmp_path: Path
) -> None:
    """Their rules bind folders: without new workers the first `retry` of what lies there would be refused."""
    folder = tmp_path / "failed"
    one = sim(after={"failed": str(folder)}).boot()
    manager = one.parts.worker_manager
    recycled: list[bool] = []

    def note(_setups: object) -> None:
        recycled.append(True)

    vars(manager.slots)["recycle"] = note
    vars(manager)["_started"] = True
    folder.mkdir()
    inode = (folder.stat().st_dev, folder.stat().st_ino)
    manager.after_folder(folder, inode)
    manager.after_folder(folder, inode)
    assert len(recycled) == 1
    manager.after_folder(folder, (inode[0], inode[1] + 1))  # made anew
    assert len(recycled) == 2
