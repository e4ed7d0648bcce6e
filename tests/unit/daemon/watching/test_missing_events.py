"""What is said of missing events, and when they are tried again."""

from __future__ import annotations

import itertools

from cutoutd.daemon.watching.limits import NoEvents
from cutoutd.daemon.watching.missing_events import SAY_EVERY_S, TRY_FIRST_S, TRY_LONGEST_S, MissingEvents

WHY = NoEvents("/in/a cannot be watched: the limit is reached.", "limit")
LATER = NoEvents("/in/b cannot be watched: the limit is reached.", "limit")
SHARE = NoEvents("/in lies on a share.", "mount")


class Kept(MissingEvents):
    """With what it said and limits that a test can raise."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.limits = {"fs.inotify.max_user_watches": 2}
        super().__init__(5.0, self.said.append, lambda: dict(self.limits))


def test_it_is_said_at_once_and_once() -> None:
    one = Kept()
    for now in range(5):
        one.missing(WHY, 1, float(now), may_pass=True)
    assert one.said == [WHY.sentence(5.0)]
    assert one.sentence == one.said[0]


def test_more_folders_are_said_but_not_each_of_thousands() -> None:
    one = Kept()
    one.missing(WHY, 1, 0.0, may_pass=True)
    for count in range(2, 1000):
        one.missing(LATER, count, count / 1000, may_pass=True)
    assert len(one.said) == 1
    assert one.sentence == LATER.sentence(5.0, 998)  # status has the present state
    one.missing(LATER, 1000, SAY_EVERY_S, may_pass=True)
    assert one.said[1:] == [LATER.sentence(5.0, 999)]


def test_pauses_between_tries_grow_to_an_hour() -> None:
    one = Kept()
    one.missing(WHY, 1, 0.0, may_pass=True)
    tries = [0.0]
    for _ in range(12):
        tries.append(one.try_at)
        one.tried(one.try_at)
        one.missing(WHY, 1, tries[-1], may_pass=True)
    pauses = [b - a for a, b in itertools.pairwise(tries)]
    assert pauses[:3] == [TRY_FIRST_S, 2 * TRY_FIRST_S, 4 * TRY_FIRST_S]
    assert max(pauses) == pauses[-1] == TRY_LONGEST_S


def test_a_raised_limit_is_tried_at_the_next_look() -> None:
    one = Kept()
    one.missing(WHY, 1, 0.0, may_pass=True)
    one.look_at_limits(5.0)
    assert one.try_at == TRY_FIRST_S
    one.limits["fs.inotify.max_user_watches"] = 3
    one.look_at_limits(10.0)
    assert one.try_at == 10.0
    one.tried(10.0)
    one.look_at_limits(15.0)
    assert one.try_at > 15.0  # tried in vain: not again and again


def test_a_share_is_said_and_never_tried() -> None:
    one = Kept()
    one.missing(SHARE, 1, 0.0, may_pass=False)
    one.limits.clear()
    one.look_at_limits(5.0)
    assert one.try_at == float("inf")
    assert one.said == ["/in lies on a share. It is looked through every 5 s."]


def test_once_all_events_come_everything_begins_anew() -> None:
    one = Kept()
    assert not one.nothing_missing()
    one.missing(WHY, 3, 0.0, may_pass=True)
    assert one.nothing_missing()
    assert (one.sentence, one.try_at) == ("", float("inf"))
    assert not one.nothing_missing()
    one.missing(WHY, 1, 100.0, may_pass=True)
    assert len(one.said) == 2
    assert one.try_at == 100.0 + TRY_FIRST_S
