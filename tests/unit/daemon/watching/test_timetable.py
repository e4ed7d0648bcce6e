"""When an inbox is walked next: after a pause, sooner where something was left out, and never twice at a time."""

from __future__ import annotations

import pytest
from tests.unit.daemon.conftest import Clock

from cutoutd.daemon.watching.timetable import AFTER_ANOTHER_S, LATER_S, Timetable

EVERY_S = 3600.0
NEVER = float("inf")


@pytest.fixture
def walks(clock: Clock) -> Timetable:
    return Timetable(clock)


def test_nothing_is_due_before_anything_was_walked(walks: Timetable) -> None:
    assert walks.next_due() == NEVER
    assert not walks.walk_due()
    assert not walks.poll_due()


def test_a_walks_end_plans_the_next(walks: Timetable, clock: Clock) -> None:
    assert walks.start()
    assert walks.walking
    assert walks.next_due() == NEVER, "its end plans the next"
    walks.ended(EVERY_S)
    assert not walks.walking
    assert walks.next_due() == clock.now + EVERY_S
    clock.now += EVERY_S
    assert walks.walk_due()


def test_one_that_is_asked_for_during_another_follows_it_once(walks: Timetable, clock: Clock) -> None:
    walks.start()
    assert not walks.start()
    assert not walks.start()
    walks.ended(EVERY_S)
    assert walks.next_due() == clock.now + AFTER_ANOTHER_S
    walks.start()
    walks.ended(EVERY_S)
    assert walks.next_due() == clock.now + EVERY_S


def test_what_was_left_out_is_walked_soon_and_not_put_off_by_more_of_it(
    walks: Timetable, clock: Clock
) -> None:
    walks.start()
    walks.ended(EVERY_S)
    walks.later()
    due = clock.now + LATER_S
    clock.now += LATER_S / 2
    walks.later()
    assert walks.next_due() == due


def test_what_a_walk_under_way_left_out_is_walked_after_it(walks: Timetable, clock: Clock) -> None:
    walks.start()
    walks.later()
    walks.ended(EVERY_S)
    assert walks.next_due() == clock.now + AFTER_ANOTHER_S


def test_a_pause_that_is_shorter_than_that_is_kept(walks: Timetable, clock: Clock) -> None:
    walks.start()
    walks.later()
    walks.ended(AFTER_ANOTHER_S / 2)
    assert walks.next_due() == clock.now + AFTER_ANOTHER_S / 2


def test_one_that_broke_off_leaves_room_for_another(walks: Timetable) -> None:
    walks.start()
    walks.broke_off()
    assert not walks.walking
    assert walks.start()


def test_what_gives_no_events_is_walked_on_a_timer_of_its_own(walks: Timetable, clock: Clock) -> None:
    walks.start()
    walks.ended(EVERY_S)
    walks.poll_next(30.0)
    assert walks.next_due() == clock.now + 30.0
    assert not walks.poll_due()
    clock.now += 30.0
    assert walks.poll_due()
    assert not walks.poll_due(), "its end plans the next"
    assert not walks.walk_due()


def test_at_most_half_the_time_goes_into_polling(walks: Timetable, clock: Clock) -> None:
    walks.poll_next(30.0, took_s=100.0)
    assert walks.next_due() == clock.now + 100.0


def test_a_folder_without_events_is_walked_at_once_and_after_a_walk_that_is_under_way(
    walks: Timetable, clock: Clock
) -> None:
    walks.poll_next(30.0)
    walks.poll_starts()
    walks.poll_now()
    assert not walks.poll_due()
    assert walks.next_due() == NEVER, "it is woken by that walk's end"
    walks.poll_ended()
    assert walks.next_due() == clock.now
    assert walks.poll_due()


def test_once_all_of_it_gives_events_nothing_is_polled(walks: Timetable, clock: Clock) -> None:
    walks.poll_next(30.0)
    walks.poll_no_more()
    clock.now += 60.0
    assert not walks.poll_due()
    assert walks.next_due() == NEVER
