"""Slots with real processes: started, killed, replaced and ended for real."""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.daemon.workers import pool as module
from cutoutd.daemon.workers import spawning
from cutoutd.daemon.workers.ipc import Task
from cutoutd.daemon.workers.pool import (
    Died,
    Event,
    Failed,
    Finished,
    NoFreeSlotError,
    SlotFailed,
    SlotReady,
    Workers,
    WorkerSetup,
)
from cutoutd.daemon.workers.process import WorkerFaultError
from cutoutd.daemon.workers.reaper import GOODBYE_S

sys.path.insert(0, str(Path(__file__).parent))
import jobs_for_workers as jobs

pytestmark = pytest.mark.slow

# A worker starts in half a second; these machines are shared.
PATIENCE_S = 60.0
LONG_S = 600.0


class Clock:
    """Real time, plus what a test adds."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Bench:
    """Workers and the loop around them."""

    def __init__(self, setup: WorkerSetup, size: int) -> None:
        self.clock = Clock()
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.workers = Workers([setup] * size, post=self.events.put, clock=self.clock)

    def next(self) -> Event:
        """The next event; the loop turns as the supervisor's does, woken by events and deadlines."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self.workers.tick()
            due = self.workers.next_deadline()
            wait_s = 1.0 if due is None else min(max(due - self.clock(), 0.01), 1.0)
            with contextlib.suppress(queue.Empty):
                event = self.events.get(timeout=wait_s)
                self.workers.tick()
                return event
        pytest.fail(f"no event in {PATIENCE_S} s: {self.workers.status()}")

    def until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until, self.workers.status()
            self.workers.tick()
            time.sleep(0.005)

    def ready(self, count: int = 1) -> list[SlotReady]:
        """Waits for so many warm-ups."""
        found: list[SlotReady] = []
        while len(found) < count:
            event = self.next()
            assert isinstance(event, SlotReady), event
            found.append(event)
        return found

    def do(self, task: Task[Any, Any], job: Any, limit_s: float = LONG_S) -> Event:
        self.workers.submit(1, task, job, limit_s=limit_s)
        return self.next()

    def pid(self, slot: int = 0) -> int:
        found = self.workers.status()[slot].pid
        assert found is not None
        return found


@pytest.fixture
def setup(tmp_path: Path) -> WorkerSetup:
    for name in ("inbox", "outbox"):
        (tmp_path / name).mkdir()
    return WorkerSetup(
        lock_path=tmp_path / "workers.lock",
        read_paths=(tmp_path / "inbox",),
        write_paths=(tmp_path / "outbox",),
        memory_limit_bytes=2_000_000_000,
        warm_up=jobs.WARM_UP,
        context="a model",
    )


@pytest.fixture
def bench(setup: WorkerSetup) -> Iterator[Callable[..., Bench]]:
    """Makes a bench; afterwards nothing may be left of it."""
    before = set(threading.enumerate())
    benches: list[Bench] = []

    def make(size: int = 1, **changes: Any) -> Bench:
        made = Bench(replace(setup, **changes), size)
        benches.append(made)
        made.workers.start()
        return made

    yield make
    for made in benches:
        made.workers.stop(now=True)
    assert set(threading.enumerate()) <= before
    assert children() == set()


def children() -> set[int]:
    """Processes of ours that were not reaped, but for the one that other tests fork their commands from."""
    return {
        int(child)
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
        if b"tests.support.warm" not in (Path("/proc") / child / "cmdline").read_bytes()
    }


def gone(pid: int) -> bool:
    """Whether no such process runs (a zombie that somebody else must reap counts as gone)."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_every_slot_reports_when_it_is_warm_and_what_holds_there(bench: Callable[..., Bench]) -> None:
    made = bench(2)
    assert made.workers.free() == 0
    first, second = made.ready(2)
    assert {first.slot, second.slot} == {0, 1}
    assert first.pid != second.pid
    assert first.warm_up == jobs.Warm("a model", 1)
    assert first.sandbox is not None
    assert first.sandbox.core_dumps_off
    assert first.rss_bytes > 1_000_000
    assert made.workers.free() == 2


def test_a_result_comes_back_under_its_tag(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.ready()
    made.workers.submit(41, jobs.DOUBLE, 21, limit_s=LONG_S)
    assert made.workers.free() == 0
    assert made.workers.busy() == 1
    assert made.next() == Finished(41, 42)
    assert made.workers.free() == 1
    assert made.workers.status()[0].photos == 1


def test_garbage_is_looked_for_again_once_all_is_loaded(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.ready()
    made.workers.submit(1, jobs.COLLECTOR, None, limit_s=LONG_S)
    assert made.next() == Finished(1, "True True")


def test_no_photo_is_taken_before_the_warm_up_or_while_busy(bench: Callable[..., Bench]) -> None:
    made = bench()
    with pytest.raises(NoFreeSlotError):
        made.workers.submit(1, jobs.DOUBLE, 1, limit_s=LONG_S)
    made.ready()
    made.workers.submit(1, jobs.DOUBLE, 1, limit_s=LONG_S)
    with pytest.raises(NoFreeSlotError):
        made.workers.submit(2, jobs.DOUBLE, 1, limit_s=LONG_S)
    assert made.next() == Finished(1, 2)


def test_each_slot_is_made_as_it_is_told_and_only_the_slots_asked_for_take_a_photo(
    bench: Callable[..., Bench], setup: WorkerSetup
) -> None:
    made = bench(2)
    made.ready(2)
    made.workers.recycle([replace(setup, context="every model"), replace(setup, context="the small one")])
    contexts = {event.slot: event.warm_up.context for event in made.ready(2)}
    assert contexts == {0: "every model", 1: "the small one"}
    made.workers.submit(1, jobs.PID, None, limit_s=LONG_S, slots=(1, 0))
    assert (made.workers.free([1]), made.workers.free([0]), made.workers.free()) == (0, 1, 1)
    with pytest.raises(NoFreeSlotError):
        made.workers.submit(2, jobs.PID, None, limit_s=LONG_S, slots=(1,))
    assert made.next() == Finished(1, made.pid(1))
    made.workers.submit(3, jobs.PID, None, limit_s=LONG_S, slots=(0,))
    assert made.next() == Finished(3, made.pid(0))


def test_our_errors_arrive_whole_and_the_worker_lives_on(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.ready()
    pid = made.pid()
    event = made.do(Task(jobs.refuse), b"/in/a.jpg")
    assert isinstance(event, Failed)
    assert isinstance(event.error, PhotoError)
    assert event.error.reason is Reason.UNREADABLE
    odd = made.do(Task(jobs.odd), None)
    assert isinstance(odd, Failed)
    assert isinstance(odd.error, WorkerFaultError)
    assert "OddError: 1 and 2" in str(odd.error)
    assert "in odd" in odd.error.remote
    assert isinstance(made.do(Task(jobs.cannot_travel), None), Failed)
    assert made.do(jobs.PID, None) == Finished(1, pid)


DEATHS: list[tuple[Task[Any, Any], Any, str, str]] = [
    (Task(jobs.segfault), None, "crashed", "SIGSEGV"),
    (Task(jobs.abort), None, "crashed", "SIGABRT"),
    (Task(jobs.leave), 3, "crashed", "status 3"),
    (Task(jobs.allocate), 3_000_000_000, "out-of-memory", "memory"),
]


@pytest.mark.parametrize(
    ("task", "job", "cause", "word"), DEATHS, ids=["segfault", "abort", "exit", "memory limit"]
)
def test_a_death_costs_one_photo_and_the_slot_comes_back(
    bench: Callable[..., Bench], task: Task[Any, Any], job: Any, cause: str, word: str
) -> None:
    made = bench()
    made.ready()
    pid = made.pid()
    event = made.do(task, job)
    assert isinstance(event, Died)
    assert (event.tag, event.cause) == (1, cause)
    assert word in event.detail
    made.ready()
    assert made.pid() != pid
    assert made.do(jobs.DOUBLE, 4) == Finished(1, 8)


@pytest.mark.parametrize(("counts", "cause"), [([5, 5], "killed"), ([5, 6], "out-of-memory")])
def test_a_foreign_kill_is_memory_only_if_the_kernel_counted_one(
    bench: Callable[..., Bench], counts: list[int], cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench()
    made.ready()
    answers = iter(counts)
    monkeypatch.setattr(module.exit_status, "oom_kills", lambda: next(answers, counts[-1]))
    made.workers.submit(7, jobs.SLEEP, LONG_S, limit_s=LONG_S)
    os.kill(made.pid(), signal.SIGKILL)
    event = made.next()
    assert isinstance(event, Died)
    assert (event.tag, event.cause) == (7, cause)
    made.ready()


def test_a_death_breaks_only_its_own_slot(bench: Callable[..., Bench], tmp_path: Path) -> None:
    made = bench(2)
    made.ready(2)
    mark = tmp_path / "outbox" / "started"
    made.workers.submit(1, jobs.MARK_AND_SLEEP, jobs.Nap(str(mark), 1.0), limit_s=LONG_S)
    made.until(mark.exists)
    made.workers.submit(2, Task(jobs.segfault), None, limit_s=LONG_S)
    seen: list[Event] = []
    while not any(isinstance(event, Finished) for event in seen):
        seen.append(made.next())
    assert [event.tag for event in seen if isinstance(event, Died)] == [2]
    assert Finished(1, str(mark)) in seen


def test_a_photo_past_its_limit_is_killed(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.ready()
    pid = made.pid()
    started = time.monotonic()
    event = made.do(jobs.SLEEP, LONG_S, limit_s=0.2)
    assert isinstance(event, Died)
    assert event.cause == "timeout"
    assert time.monotonic() - started >= 0.2
    assert gone(pid)
    made.ready()


def test_a_photo_is_taken_from_its_worker_and_from_no_other(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    made = bench(size=2)
    made.ready(2)
    mark = tmp_path / "outbox" / "started"
    made.workers.submit(1, jobs.SLEEP, LONG_S, limit_s=LONG_S)
    made.workers.submit(2, jobs.MARK_AND_SLEEP, jobs.Nap(str(mark), 0.3), limit_s=LONG_S)
    made.until(mark.exists)
    made.workers.kill(3)  # nobody has it
    made.workers.kill(1)
    ends: dict[int, Died | Finished] = {}
    while len(ends) < 2:
        event = made.next()
        if isinstance(event, Died | Finished):
            ends[event.tag] = event
    assert isinstance(ends[1], Died)
    assert ends[1].cause == "killed"
    assert ends[2] == Finished(2, str(mark))


def test_a_stopped_worker_is_killed_too(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.ready()
    made.workers.submit(1, jobs.SLEEP, LONG_S, limit_s=0.2)
    os.kill(made.pid(), signal.SIGSTOP)
    event = made.next()
    assert isinstance(event, Died)
    assert event.cause == "timeout"


def test_deadlines_move_by_as_much_as_the_loop_was_late(bench: Callable[..., Bench], tmp_path: Path) -> None:
    made = bench()
    made.ready()
    mark = tmp_path / "outbox" / "started"
    made.workers.submit(1, jobs.MARK_AND_SLEEP, jobs.Nap(str(mark), 0.3), limit_s=100.0)
    made.until(mark.exists)
    # The machine slept for an hour: by the clock the photo is far past its limit.
    made.clock.ahead_s += 3600.0
    made.workers.tick(late_s=3600.0)
    assert made.next() == Finished(1, str(mark))


def test_a_slot_that_cannot_start_waits_longer_each_time_and_recovers(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    needed = tmp_path / "inbox" / "model"
    made = bench(context={"needs": str(needed)})
    delays: list[float] = []
    for _ in range(3):
        event = made.next()
        assert isinstance(event, SlotFailed)
        assert str(needed) in event.error
        assert made.workers.status()[0].error == event.error
        delays.append(event.retry_in_s)
        due = made.workers.next_deadline()
        assert due is not None
        made.clock.ahead_s += max(due - made.clock(), 0.0)
    assert delays == [1.0, 2.0, 4.0]
    needed.touch()
    while isinstance(made.next(), SlotFailed):
        made.clock.ahead_s += 60.0
    assert made.workers.free() == 1
    assert made.workers.status()[0].error == ""


@pytest.mark.parametrize(
    ("context", "changes", "word"),
    [
        ({"die": True}, {}, "SIGABRT"),
        ({"sleep_s": LONG_S}, {"start_limit_s": 1.5}, "time limit"),
    ],
    ids=["dies", "hangs"],
)
def test_a_start_that_dies_or_hangs_is_reported(
    bench: Callable[..., Bench], context: Any, changes: dict[str, Any], word: str
) -> None:
    event = bench(context=context, **changes).next()
    assert isinstance(event, SlotFailed)
    assert "while starting" in event.error
    assert word in event.error


def test_a_worker_lock_that_cannot_be_taken_is_reported(bench: Callable[..., Bench], tmp_path: Path) -> None:
    event = bench(lock_path=tmp_path / "absent" / "lock").next()
    assert isinstance(event, SlotFailed)
    assert "worker lock" in event.error


def test_an_idle_worker_that_was_killed_is_noticed_and_costs_no_photo(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.ready()
    os.kill(made.pid(), signal.SIGKILL)
    made.until(lambda: made.workers.free() == 0)
    event = made.next()
    assert isinstance(event, SlotFailed)
    assert event.retry_in_s == 1.0
    made.ready()


def test_a_worker_is_replaced_after_its_share_of_photos(bench: Callable[..., Bench]) -> None:
    made = bench(recycle_after=2)
    made.ready()
    first = made.do(jobs.PID, None)
    assert made.do(jobs.PID, None) == first
    made.ready()
    assert made.do(jobs.PID, None) != first


def test_a_worker_that_keeps_memory_is_replaced(bench: Callable[..., Bench]) -> None:
    made = bench(grow_limit_bytes=50_000_000)
    made.ready()
    pid = made.pid()
    assert made.do(Task(jobs.keep), 10_000_000) == Finished(1, None)
    assert made.pid() == pid
    assert made.do(Task(jobs.keep), 100_000_000) == Finished(1, None)
    made.ready()
    assert made.pid() != pid
    made.until(lambda: gone(pid))


def test_recycling_replaces_idle_workers_now_and_busy_ones_after_their_photo(
    bench: Callable[..., Bench], setup: WorkerSetup, tmp_path: Path
) -> None:
    made = bench(2)
    made.ready(2)
    mark = tmp_path / "outbox" / "started"
    made.workers.submit(1, jobs.MARK_AND_SLEEP, jobs.Nap(str(mark), 1.0), limit_s=LONG_S)
    made.until(mark.exists)
    busy, idle = made.pid(0), made.pid(1)
    made.workers.recycle([replace(setup, context="another model")] * 2)
    assert made.pid(0) == busy
    events = [made.next(), made.next(), made.next()]
    assert Finished(1, str(mark)) in events
    ready = [event for event in events if isinstance(event, SlotReady)]
    assert {event.warm_up.context for event in ready} == {"another model"}
    assert {made.pid(0), made.pid(1)}.isdisjoint({busy, idle})


def test_growing_and_shrinking(bench: Callable[..., Bench], setup: WorkerSetup, tmp_path: Path) -> None:
    made = bench(1)
    made.ready(1)
    made.workers.recycle([setup] * 3)
    made.ready(3)
    assert made.workers.free() == 3
    mark = tmp_path / "outbox" / "started"
    for tag in range(3):
        made.workers.submit(tag, jobs.MARK_AND_SLEEP, jobs.Nap(str(mark), 0.3), limit_s=LONG_S)
    made.workers.recycle([setup])
    # Photos in hand are finished, then their slots go.
    seen: list[Event] = []
    while sum(isinstance(event, Finished) for event in seen) < 3 or not isinstance(seen[-1], SlotReady):
        seen.append(made.next())
    assert {event.tag for event in seen if isinstance(event, Finished)} == {0, 1, 2}
    assert [status.slot for status in made.workers.status()] == [0]
    assert made.workers.free() == 1


def test_unloading_ends_every_process_and_loading_brings_them_back(bench: Callable[..., Bench]) -> None:
    made = bench(2)
    made.ready(2)
    pids = [made.pid(0), made.pid(1)]
    made.workers.unload()
    made.until(lambda: all(gone(pid) for pid in pids))
    assert [status.state for status in made.workers.status()] == ["unloaded", "unloaded"]
    made.until(lambda: made.workers.next_deadline() is None)
    made.workers.load()
    made.ready(2)
    assert made.do(jobs.DOUBLE, 1) == Finished(1, 2)


def test_a_graceful_stop_finishes_the_photo_and_starts_nothing(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    made = bench(2)
    made.ready(2)
    mark = tmp_path / "outbox" / "started"
    made.workers.submit(1, jobs.MARK_AND_SLEEP, jobs.Nap(str(mark), 0.5), limit_s=LONG_S)
    made.workers.stop(now=False)
    assert made.workers.free() == 0
    assert made.workers.busy() == 1
    assert made.next() == Finished(1, str(mark))
    assert made.workers.busy() == 0
    made.until(lambda: not children())
    assert made.events.empty()


def test_stopping_now_kills_and_says_so(bench: Callable[..., Bench]) -> None:
    made = bench(2)
    made.ready(2)
    made.workers.submit(1, jobs.SLEEP, LONG_S, limit_s=LONG_S)
    started = time.monotonic()
    made.workers.stop(now=True)
    assert time.monotonic() - started < GOODBYE_S
    assert children() == set()
    event = made.events.get(timeout=PATIENCE_S)
    assert isinstance(event, Died)
    assert (event.tag, event.cause) == (1, "killed")
    assert made.workers.busy() == 0


def test_stopping_while_starting_does_not_hang(bench: Callable[..., Bench]) -> None:
    made = bench(2)
    made.workers.stop(now=True)
    assert children() == set()
    assert made.events.empty()


def test_an_answer_of_another_kind_is_the_end_of_its_worker(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.ready()
    pid = made.pid()
    event = made.do(Task(jobs.says_too_much), None)
    assert isinstance(event, Died)
    assert event.cause == "crashed"
    assert "answer was refused (answer: not a whole number)" in event.detail
    made.ready()
    assert gone(pid)


def test_signals_reach_a_worker_in_vain(bench: Callable[..., Bench]) -> None:
    made = bench()
    # During the start they are blocked, afterwards ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(made.pid(), number)
    made.ready()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(made.pid(), number)
    status = made.do(Task(jobs.status_of_self), None)
    assert isinstance(status, Finished)
    ignored = int(status.result["SigIgn"], 16)
    assert ignored & (1 << (signal.SIGINT - 1))
    assert ignored & (1 << (signal.SIGTERM - 1))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_replacing_many_times_leaks_nothing(bench: Callable[..., Bench]) -> None:
    def held() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    made = bench(recycle_after=1)
    made.ready()
    made.do(jobs.DOUBLE, 1)
    made.ready()
    made.until(lambda: len(children()) == 1)
    made.until(lambda: made.workers.next_deadline() is None)
    before = held()
    for _ in range(5):
        made.do(jobs.DOUBLE, 1)
        made.ready()
    made.until(lambda: made.workers.next_deadline() is None)
    made.until(lambda: held() <= before)
    assert held() <= before


@pytest.mark.parametrize("sandbox", [True, False])
def test_only_a_worker_with_a_sandbox_of_its_own_may_be_older_than_what_we_gave_up(
    bench: Callable[..., Bench], sandbox: bool
) -> None:
    spawning.start_ahead()
    try:
        one = bench(sandbox=sandbox)
        one.ready()
        assert (one.do(jobs.LOADED, "numpy") == Finished(1, 1)) is sandbox
    finally:
        spawning.end_unused()
