"""Order, fairness and bounds of what is started next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.daemon.conftest import Clock

from cutoutd.daemon.dispatch.scheduler import Budget, Scheduler
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.queue import LONGEST_PAUSE_S
from cutoutd.daemon.ledger.records import Facts, Settled
from cutoutd.daemon.ledger.transitions import INTERRUPTIONS_ALONE

FACTS = Facts(1, 2, 3)


@pytest.fixture
def scheduler(ledger: Ledger) -> Scheduler:
    one = Scheduler(ledger)
    one.configure({b"/a": (1, False), b"/b": (1, False)})
    return one


def _add(scheduler: Scheduler, name: str, inbox: bytes = b"/a", **values: object) -> int:
    _, photo = Intake(scheduler.queue.ledger).observe(inbox, name.encode(), FACTS, settled=Settled.KNOWN)
    for column, value in values.items():
        scheduler.queue.ledger.write(f"UPDATE photos SET {column} = ? WHERE id = ?", (value, photo))
    return photo or 0


def _take(scheduler: Scheduler, budget: Budget | None = None, **more: object) -> str | None:
    """Starts the next one, as the dispatcher does."""
    budget = budget or Budget(100, 1000)
    pick = scheduler.next(budget, now=scheduler.queue.ledger.clock(), **more)  # type: ignore[arg-type]
    if pick is None:
        return None
    row, allowance = pick
    scheduler.queue.ledger.write("UPDATE photos SET state = 'running' WHERE id = ?", (row.id,))
    budget.take(row.id, row.megapixels or allowance)
    return (row.path or b"").decode()


def test_oldest_first_or_newest_first_by_arrival(scheduler: Scheduler, clock: Clock) -> None:
    for number in (1, 2, 3):
        clock.now += 1
        _add(scheduler, f"{number}", mtime_ns=-number)
    assert _take(scheduler) == "1"
    scheduler.configure({b"/a": (1, True)})
    assert [_take(scheduler), _take(scheduler), _take(scheduler)] == ["3", "2", None]


def test_inboxes_take_turns_by_weight(scheduler: Scheduler) -> None:
    scheduler.configure({b"/a": (3, False), b"/b": (1, False)})
    for number in range(40):
        _add(scheduler, f"a{number}", b"/a")
        _add(scheduler, f"b{number}", b"/b")
    taken = Counter((_take(scheduler) or "")[0] for _ in range(20))
    assert taken == {"a": 15, "b": 5}


def test_paused_and_unknown_inboxes_wait(scheduler: Scheduler) -> None:
    _add(scheduler, "a")
    _add(scheduler, "c", b"/c")
    assert _take(scheduler, paused=frozenset({b"/a"})) is None
    assert _take(scheduler) == "a"
    assert _take(scheduler) is None


def test_a_pause_is_kept_but_not_one_from_a_clock_that_jumped(scheduler: Scheduler, clock: Clock) -> None:
    _add(scheduler, "later", not_before=clock.now + 60)
    _add(scheduler, "absurd", not_before=clock.now + LONGEST_PAUSE_S + 1)
    assert scheduler.next_due(clock.now) == clock.now + 60
    assert _take(scheduler) == "absurd"
    assert _take(scheduler) is None
    clock.now += 60
    assert _take(scheduler) == "later"


def test_a_successor_waits_for_its_predecessors_delivery(scheduler: Scheduler) -> None:
    first = _add(scheduler, "a", state="delivering")
    second = Intake(scheduler.queue.ledger).observe(b"/a", b"a", Facts(9, 9, 9), settled=Settled.KNOWN)[1]
    assert second != first
    assert _take(scheduler) is None
    scheduler.queue.ledger.write("UPDATE photos SET state = 'done' WHERE id = ?", (first,))
    assert _take(scheduler) == "a"


def test_what_took_the_daemon_down_runs_last_and_alone(scheduler: Scheduler) -> None:
    _add(scheduler, "suspect", interruptions=INTERRUPTIONS_ALONE)
    _add(scheduler, "b", b"/b")
    budget = Budget(10, 100)
    assert _take(scheduler, budget) == "b"
    assert _take(scheduler, budget) is None
    budget.release(2)
    assert _take(scheduler, budget) == "suspect"


def test_what_no_free_worker_can_take_is_passed_over_in_its_inbox_alone(scheduler: Scheduler) -> None:
    _add(scheduler, "final", arrived=1)
    _add(scheduler, "draft", stage="draft", arrived=2)
    _add(scheduler, "b", b"/b", arrived=3)
    held = {b"/a": frozenset({"final"}), b"/b": frozenset[str]()}
    assert {_take(scheduler, held=held), _take(scheduler, held=held)} == {"draft", "b"}
    assert _take(scheduler, held=held) is None
    assert _take(scheduler, held={b"/a": {"draft", "final"}}) is None
    assert _take(scheduler, held={b"/a": {"draft"}}) == "final"


def test_a_draft_goes_before_every_final_that_arrived_earlier(scheduler: Scheduler) -> None:
    _add(scheduler, "final", arrived=1)
    _add(scheduler, "newest", stage="draft", arrived=3)
    _add(scheduler, "new", stage="draft", arrived=2)
    assert [_take(scheduler) for _ in range(3)] == ["new", "newest", "final"]


def test_what_took_the_daemon_down_waits_for_what_is_held_too(scheduler: Scheduler) -> None:
    _add(scheduler, "suspect", stage="draft", interruptions=INTERRUPTIONS_ALONE)
    assert _take(scheduler, held={b"/a": {"final"}}) is None
    assert _take(scheduler) == "suspect"


def test_settled_photos_go_before_those_that_may_still_change(scheduler: Scheduler) -> None:
    _add(scheduler, "early", settled=0)
    _add(scheduler, "settled")
    assert _take(scheduler) == "settled"
    assert _take(scheduler, early=False) is None
    assert _take(scheduler) == "early"


def test_a_large_photo_fits_when_it_is_alone_and_holds_up_nobody(scheduler: Scheduler) -> None:
    budget = Budget(10, 100)
    _add(scheduler, "small", megapixels=60.0)
    _add(scheduler, "huge", megapixels=500.0, arrived=0)
    assert _take(scheduler, budget) == "huge"
    assert _take(scheduler, budget) is None
    budget.release(2)
    assert _take(scheduler, budget) == "small"


@pytest.mark.slow
@given(st.lists(st.floats(0, 200), max_size=12), st.integers(1, 6))
def test_megapixels_and_photos_in_hand_stay_within_bounds(sizes: list[float], photos: int) -> None:
    """Photos of unknown size (0) count by their allowance, which is the most they can turn out to be."""
    budget = Budget(photos, 100.0)
    held: dict[int, float] = {}
    for number, size in enumerate(sizes):
        allowance = budget.allowance(size)
        if allowance is None:
            continue
        assert size <= allowance
        held[number] = size or allowance
        budget.take(number, held[number])
        assert len(held) <= photos
        assert sum(held.values()) <= 100.0 or len(held) == 1


def test_what_waits_in_an_inbox_that_left_the_config_counts_for_nothing(scheduler: Scheduler) -> None:
    """Workers were never unloaded for it, and no photo was ever alone, with all threads to itself."""
    waits, one = _add(scheduler, "waits", b"/gone"), _add(scheduler, "one")
    _add(scheduler, "on its way", b"/gone", state="delivering")
    assert not scheduler.others_wait(one)
    assert scheduler.any_owed()
    assert _take(scheduler) == "one"
    assert scheduler.any_owed()
    scheduler.queue.ledger.write("DELETE FROM photos WHERE id = ?", (one,))
    assert not scheduler.any_owed()
    scheduler.configure({b"/gone": (1, False)})
    assert scheduler.any_owed()
    assert scheduler.others_wait(one)
    assert not scheduler.others_wait(waits)
