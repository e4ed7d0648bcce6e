"""Which photo of an inbox is due next; whole queues are tried in `test_scheduler.py`."""

from __future__ import annotations

import pytest
from tests.support.ledgers import steps
from tests.unit.daemon.conftest import Clock

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.queue import Queue
from cutoutd.daemon.ledger.records import Facts, Settled
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.ledger.transitions import Transitions

INBOX = b"/in"


def _first(queue: Queue, clock: Clock, *, newest: bool = False, early: bool = True) -> bytes | None:
    row = queue.first(INBOX, stages=(Stage.FINAL,), now=clock.now, newest=newest, early=early)
    return None if row is None else row.path


def test_settled_ones_come_first_then_the_oldest(ledger: Ledger, clock: Clock) -> None:
    intake, queue = Intake(ledger), Queue(ledger)
    assert not queue.any_owed([INBOX])
    for name, settled in ((b"early", Settled.NOT), (b"old", Settled.KNOWN), (b"new", Settled.KNOWN)):
        clock.now += 1
        intake.observe(INBOX, name, Facts(1, 1, 1), settled=settled)
    assert (_first(queue, clock), _first(queue, clock, newest=True)) == (b"old", b"new")
    assert queue.any_owed([INBOX])
    ledger.write("DELETE FROM photos WHERE settled = 1")
    assert (_first(queue, clock), _first(queue, clock, early=False)) == (b"early", None)


def test_one_that_pauses_is_due_when_its_pause_is_over(ledger: Ledger, clock: Clock) -> None:
    queue = Queue(ledger)
    _, photo = Intake(ledger).observe(INBOX, b"a", Facts(1, 1, 1), settled=Settled.KNOWN)
    assert photo is not None
    assert not queue.others_wait(photo, [INBOX])
    Transitions(ledger, {}).again(photo, pause_s=5.0)
    assert _first(queue, clock) is None
    assert queue.next_due(clock.now) == clock.now + 5.0
    clock.now += 5.0
    assert _first(queue, clock) == b"a"


def test_each_return_in_a_row_waits_longer_than_the_one_before(ledger: Ledger, clock: Clock) -> None:
    queue, transitions = Queue(ledger), Transitions(ledger, {})
    _, photo = Intake(ledger).observe(INBOX, b"a", Facts(1, 1, 1), settled=Settled.KNOWN)
    assert photo is not None
    due: list[float] = []
    for _ in range(12):
        transitions.again(photo)
        due.append((queue.next_due(clock.now) or clock.now) - clock.now)
    assert due == [0.0, 0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize("newest", [False, True])
def test_the_next_is_found_without_a_look_at_all_that_wait(
    ledger: Ledger, clock: Clock, newest: bool
) -> None:
    intake, queue = Intake(ledger), Queue(ledger)

    def look() -> int:
        return steps(ledger, lambda: _first(queue, clock, newest=newest))

    intake.observe(INBOX, b"one", Facts(1, 1, 1), settled=Settled.KNOWN)
    few = look()
    for number in range(300):
        clock.now += 1
        intake.observe(INBOX, b"%d" % number, Facts(1, number, number), settled=Settled.KNOWN)
    assert look() < few + 300
