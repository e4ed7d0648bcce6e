"""One worker process: answers in order, a death in the middle, a word that nobody asked for."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest
from tests.support.conditions import wait_until

from cutoutd.daemon.workers.executor import WorkerExecutor, WorkerGoneError

sys.path.insert(0, str(Path(__file__).parent))
import jobs_for_workers as jobs

pytestmark = pytest.mark.slow
ANSWER_S = 60


@pytest.fixture
def worker() -> Iterator[WorkerExecutor]:
    one = WorkerExecutor()
    yield one
    one.shutdown(wait=False)
    one.process.kill()
    one.process.wait()


def test_calls_are_answered_in_their_order_by_one_process(worker: WorkerExecutor) -> None:
    begun = worker.submit(jobs.DOUBLE, 4)
    assert begun.result(ANSWER_S).result == 8
    assert worker.submit(jobs.PID, None).result(ANSWER_S).result == worker.process.pid
    assert os.getpid() != worker.process.pid


def test_an_argument_that_cannot_travel_is_the_callers_fault_and_the_worker_lives(
    worker: WorkerExecutor,
) -> None:
    with pytest.raises(TypeError):
        worker.submit(jobs.DOUBLE, object()).result(ANSWER_S)
    assert worker.submit(jobs.DOUBLE, 1).result(ANSWER_S).result == 2


def test_a_death_is_told_to_whoever_waits_and_to_whoever_comes_after(worker: WorkerExecutor) -> None:
    waiting = worker.submit(jobs.SLEEP, 600)
    os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(WorkerGoneError) as caught:
        waiting.result(ANSWER_S)
    assert caught.value.refused == ""
    with pytest.raises(BrokenExecutor):
        worker.submit(jobs.DOUBLE, 1).result(ANSWER_S)


def test_told_to_end_it_finishes_its_answer_and_goes(worker: WorkerExecutor) -> None:
    last = worker.submit(jobs.DOUBLE, 21)
    worker.shutdown(wait=True)
    assert last.result(0).result == 42
    wait_until(lambda: worker.process.poll() is not None, "the worker's end")
    assert worker.process.returncode == 0
