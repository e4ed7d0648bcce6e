"""Workers on their way out: asked, awaited, and killed when they do not go."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from cutoutd.daemon.workers.executor import WorkerExecutor
from cutoutd.daemon.workers.reaper import GOODBYE_S, Reaper
from cutoutd.daemon.workers.slot import Call, Worker, WorkerSetup

sys.path.insert(0, str(Path(__file__).parent))
import jobs_for_workers as jobs

PATIENCE_S = 60.0


def _worker(tmp_path: Path, busy_s: float = 0.0) -> Worker:
    """A real process, which does as a worker does."""
    setup = WorkerSetup(tmp_path / "lock", (), (), 10**9, jobs.WARM_UP)
    worker = Worker(0, setup, WorkerExecutor(), Call(1, 0.0, None))
    future = worker.executor.submit(jobs.SLEEP, busy_s)
    if not busy_s:
        future.result(PATIENCE_S)
    return worker


def _seen_off(reaper: Reaper, now: float) -> bool:
    until = time.monotonic() + PATIENCE_S
    while reaper.deadlines() and time.monotonic() < until:
        reaper.see_off(now)
        time.sleep(0.01)
    return not reaper.deadlines()


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_end_leaves_nothing_behind(tmp_path: Path) -> None:
    reaper = Reaper(time.monotonic)
    workers = [_worker(tmp_path, busy_s) for busy_s in (0.0, 600.0)]
    for worker in workers:
        reaper.ask(worker)
    reaper.end()
    assert reaper.deadlines() == []
    assert all(worker.gone() for worker in workers)
