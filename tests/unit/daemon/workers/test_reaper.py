"""Workers on their way out: asked, awaited, and killed when they do not go."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from cutoutd.daemon.workers.ipc import SlotContext
from cutoutd.daemon.workers.reaper import GOODBYE_S, Reaper
from cutoutd.daemon.workers.slot import Call, Worker, WorkerSetup

PATIENCE_S = 60.0


def _worker(tmp_path: Path, busy_s: float = 0.0) -> Worker:
    """A real process in a pool of its own, which does as a worker does."""
    context = SlotContext()
    executor = ProcessPoolExecutor(1, mp_context=context)
    setup = WorkerSetup(tmp_path / "lock", (), (), 10**9, "none:none")
    worker = Worker(0, setup, context, executor, Call(1, 0.0, None))
    future = executor.submit(time.sleep, busy_s)
    worker.manager = getattr(executor, "_executor_manager_thread", None)
    if not busy_s:
        future.result(PATIENCE_S)
    return worker


def _seen_off(reaper: Reaper, now: float) -> bool:
    until = time.monotonic() + PATIENCE_S
    while reaper.deadlines() and time.monotonic() < until:
        reaper.see_off(now)
        time.sleep(0.01)
    return not reaper.deadlines()


def test_an_idle_worker_that_is_asked_goes_by_itself(tmp_path: Path) -> None:
    reaper, worker = Reaper(lambda: 100.0), _worker(tmp_path)
    reaper.ask(worker)
    assert reaper.deadlines() == [100.0 + GOODBYE_S]
    assert _seen_off(reaper, 100.0)  # before anybody would kill it
    assert worker.gone()


@pytest.mark.parametrize("late", [False, True], ids=["killed at once", "killed when it did not go"])
def test_a_busy_one_is_killed(tmp_path: Path, late: bool) -> None:
    reaper, worker = Reaper(lambda: 100.0), _worker(tmp_path, 600.0)
    if late:
        reaper.ask(worker)
        reaper.see_off(100.0 + GOODBYE_S / 2)
        assert worker.alive()
    else:
        reaper.kill(worker)
    assert _seen_off(reaper, 100.0 + GOODBYE_S if late else 100.0)
    assert worker.gone()


def test_the_end_leaves_nothing_behind(tmp_path: Path) -> None:
    reaper = Reaper(time.monotonic)
    for busy_s in (0.0, 600.0):
        reaper.ask(_worker(tmp_path, busy_s))
    reaper.end()
    assert reaper.deadlines() == []
    assert multiprocessing.active_children() == []
