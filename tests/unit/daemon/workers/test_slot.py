"""How long a slot that cannot start waits."""

from __future__ import annotations

from cutoutd.daemon.workers.slot import Slot, SlotState, retry_delay_s


def test_the_longest_wait_is_a_minute_however_often_it_failed() -> None:
    assert [retry_delay_s(n) for n in (0, 1, 5, 6, 7)] == [1.0, 2.0, 32.0, 60.0, 60.0]
    assert retry_delay_s(100_000) == 60.0


def test_a_slot_that_waits_counts_its_failures_and_says_why() -> None:
    slot = Slot(0, SlotState.STARTING)
    for expected in (1.0, 2.0, 4.0):
        slot.wait(100.0, retry_delay_s(slot.failures), "no model")
        assert (slot.state, slot.retry_at, slot.error) == (SlotState.WAITING, 100.0 + expected, "no model")
    assert slot.worker is None
