from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.support.conditions import wait_until

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.daemon.fleet import node_pool
from cutoutd.daemon.fleet.node_pool import NodePool
from cutoutd.daemon.fleet.records import Broke, PhotoAnswer, Raised, Returned, Unfit
from cutoutd.daemon.workers import pool, protocol
from cutoutd.daemon.workers.engines import WARM_UP
from cutoutd.daemon.workers.process import WorkerFaultError
from cutoutd.daemon.workers.sizing import PoolSize

PATIENCE_S = 10.0
JOB = protocol.Job(1, b"/in/a.jpg", "a.jpg", "cutout-s", (), (), (), Matte(), Limits(), 10.0)
SETUP = pool.WorkerSetup(Path("/lock"), (), (), 1, WARM_UP)


class Slots:
    """Slots that say what the test wants; one call at a time is recorded for each photo."""

    made: Slots

    def __init__(self, setups: Sequence[object], *, post: Callable[[Any], None], clock: object) -> None:
        self.size, self.post = len(setups), post
        self.given: deque[tuple[int, object]] = deque()
        self.killed: list[int] = []
        self.recycled = 0
        self.starts = True
        Slots.made = self

    def start(self) -> None:
        if self.starts:
            self.post(pool.SlotReady(0, warm_up={}))

    def recycle(self, setups: Sequence[object]) -> None:
        self.recycled += 1
        self.size = len(setups)
        self.post(pool.SlotReady(0, warm_up={}))

    def tick(self, *_arguments: object) -> None: ...

    def next_deadline(self) -> None: ...

    def free(self, among: Sequence[int] | None = None) -> int:
        return self.size - len(self.given)

    def submit(self, tag: int, task: Any, job: Any, *, limit_s: float, slots: object) -> None:
        self.given.append((tag, task))

    def kill(self, tag: int) -> None:
        self.killed.append(tag)
        self.end(pool.Died(tag, "killed", "we did"))

    def stop(self, *, now: bool) -> None: ...

    def end(self, event: Any) -> None:
        self.given = deque(one for one in self.given if one[0] != event.tag)
        self.post(event)

    def tag(self) -> int:
        """Of the call that was given first, once there is one."""
        wait_until(lambda: self.given, "a call", PATIENCE_S)
        return self.given[0][0]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[NodePool, list[str]]]:
    monkeypatch.setattr(node_pool.pool, "Workers", Slots)
    news: list[str] = []
    one = NodePool(news.append, broken=lambda error: news.append(f"broken: {error}"))
    yield one, news
    one.end()


def adopted(one: NodePool, size: int = 1) -> Slots:
    one.adopt((SETUP,) * size, PoolSize(size, size)).result(PATIENCE_S)
    return Slots.made


def run(
    one: NodePool, *, alive: Callable[[], str] = lambda: "", life: str = "l", call: int = 1
) -> Future[PhotoAnswer]:
    return one.run(life, call, JOB, 60, large=False, alive=alive)


Made = tuple[NodePool, list[str]]


def test_an_answer_is_handed_on_as_it_was(made: Made) -> None:
    slots = adopted(made[0])
    future = run(made[0])
    slots.end(pool.Finished(slots.tag(), protocol.Changed()))
    assert future.result(PATIENCE_S) == Returned({"is": "Changed"})
    assert made[0].busy() == 0


def test_whoever_waits_for_a_photo_may_end_before_it_does(made: Made) -> None:
    slots = adopted(made[0])
    assert not run(made[0]).cancel()
    second = run(made[0], call=2)
    slots.end(pool.Finished(slots.tag(), protocol.Changed()))
    slots.end(pool.Finished(slots.tag(), protocol.Changed()))
    assert second.result(PATIENCE_S) == Returned({"is": "Changed"})


def test_photos_wait_for_a_free_slot(made: Made) -> None:
    slots = adopted(made[0])
    first, second = run(made[0]), run(made[0], call=2)
    slots.end(pool.Finished(slots.tag(), protocol.Changed()))
    first.result(PATIENCE_S)
    slots.end(pool.Finished(slots.tag(), protocol.Changed()))
    assert second.result(PATIENCE_S) == Returned({"is": "Changed"})


@pytest.mark.parametrize("cause", ["timeout", "out-of-memory", "crashed"])
def test_a_death_is_the_photos_fault_once_the_test_photo_went_well(made: Made, cause: Any) -> None:
    slots = adopted(made[0])
    future = run(made[0])
    slots.end(pool.Died(slots.tag(), cause, "it died"))
    assert slots.tag() == -1  # the test photo
    assert not future.done()
    slots.end(pool.Finished(-1, True))
    assert future.result(PATIENCE_S) == Broke(cause, "it died")
    assert made[1] == []


def test_a_fault_is_a_suspicion_too_and_a_named_problem_is_none(made: Made) -> None:
    slots = adopted(made[0])
    future = run(made[0])
    slots.end(pool.Failed(slots.tag(), WorkerFaultError("IndexError", "traceback")))
    assert slots.tag() == -1
    slots.end(pool.Finished(-1, True))
    answer = future.result(PATIENCE_S)
    assert isinstance(answer, Raised)
    assert (answer.fault.what, answer.fault.remote) == ("IndexError", "traceback")
    future = run(made[0])
    slots.end(pool.Failed(slots.tag(), PhotoError(Reason.UNREADABLE, "broken")))
    answer = future.result(PATIENCE_S)
    assert isinstance(answer, Raised)
    assert answer.fault.reason is Reason.UNREADABLE


def test_a_machine_that_cannot_do_the_test_photo_is_unfit_until_it_can(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_pool, "FIRST_PAUSE_S", 0.0)
    vars(made[0])["_test"].first_s = 0.05
    slots = adopted(made[0])
    future = run(made[0])
    slots.end(pool.Died(slots.tag(), "crashed", "it died"))
    assert slots.tag() == -1
    slots.end(pool.Died(-1, "crashed", "this too"))
    answer = future.result(PATIENCE_S)
    assert isinstance(answer, Unfit)
    assert "this too" in answer.why
    wait_until(lambda: made[1], "the head to be told", PATIENCE_S)
    assert isinstance(run(made[0]).result(PATIENCE_S), Unfit)
    assert slots.tag() == -1  # tried again
    slots.end(pool.Finished(-1, True))
    wait_until(lambda: made[1][-1:] == [""], "all to be well", PATIENCE_S)
    future = run(made[0])
    slots.end(pool.Finished(slots.tag(), protocol.Changed()))
    assert isinstance(future.result(PATIENCE_S), Returned)


def test_a_share_that_hangs_is_nobodys_fault(made: Made) -> None:
    slots = adopted(made[0])
    future = run(made[0], alive=lambda: "the share hangs")
    slots.end(pool.Died(slots.tag(), "timeout", "too long"))
    assert future.result(PATIENCE_S) == Unfit("the share hangs")


@pytest.mark.parametrize(
    "said", [protocol.NotTaken(0, 2, "no such file"), protocol.Refused(Reason.VANISHED, "gone")]
)
def test_what_is_said_of_an_unmounted_share_is_not_handed_on(made: Made, said: Any) -> None:
    slots = adopted(made[0])
    future = run(made[0], alive=lambda: "another folder")
    slots.end(pool.Finished(slots.tag(), said))
    assert future.result(PATIENCE_S) == Unfit("another folder")
    future = run(made[0])
    slots.end(pool.Finished(slots.tag(), said))
    assert isinstance(future.result(PATIENCE_S), Returned)


def test_what_is_in_hand_for_another_life_is_ended(made: Made) -> None:
    slots = adopted(made[0])
    old = run(made[0], life="old")
    tag = slots.tag()
    waiting = run(made[0], life="old", call=2)
    made[0].keep_only("new")
    assert old.result(PATIENCE_S) == waiting.result(PATIENCE_S) == Unfit("")
    assert slots.killed == [tag]


def test_one_call_is_ended(made: Made) -> None:
    slots = adopted(made[0], 2)
    first, second = run(made[0]), run(made[0], call=2)
    wait_until(lambda: len(slots.given) == 2, "both", PATIENCE_S)
    made[0].drop("l", 2)
    assert second.result(PATIENCE_S) == Unfit("")
    assert not first.done()
    made[0].drop_all()
    assert first.result(PATIENCE_S) == Unfit("")


def test_other_setups_mean_other_workers_and_the_same_none(made: Made) -> None:
    slots = adopted(made[0])
    adopted(made[0])
    assert slots.recycled == 0
    adopted(made[0], 2)
    assert slots.recycled == 1


def test_workers_that_cannot_start_are_told(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(slots: Slots) -> None:
        slots.post(pool.SlotFailed(0, "no model", 1.0))

    monkeypatch.setattr(Slots, "start", fails)
    with pytest.raises(WorkerFaultError, match="no model"):
        made[0].adopt((SETUP,), PoolSize(1, 1)).result(PATIENCE_S)


def test_nothing_is_taken_before_there_are_workers(made: Made) -> None:
    assert isinstance(run(made[0]).result(PATIENCE_S), Unfit)


def test_a_mistake_that_ends_the_thread_is_told(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    node, news = made
    slots = adopted(node)

    def odd(*_arguments: object) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(slots, "tick", odd)
    run(node)
    wait_until(lambda: news, "the mistake to be told", PATIENCE_S)
    assert news == ["broken: odd"]
