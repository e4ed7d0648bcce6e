"""When a file has stopped changing, told with a clock that is only a number."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cutoutd.daemon.files.filesystem import FileFacts
from cutoutd.daemon.files.writers import Writers
from cutoutd.daemon.watching.settle import (
    HELD_LOOK_S,
    HELD_S,
    HintKind,
    PairVerdict,
    RawPairs,
    SettleTracker,
    Verdict,
)

A = b"a.jpg"
SETTLED = (Verdict.SETTLED, Verdict.RESTED)
FACTS = FileFacts(size=1000, mtime_ns=5, inode=7, device=1, mode=0o100644)


def grown(size: int) -> FileFacts:
    return replace(FACTS, size=size)


def settled_at(tracker: SettleTracker, facts: FileFacts, start: float, until: float = 100.0) -> float:
    """Look whenever the tracker asks, at a file that no longer changes; the time at which it settles."""
    now = start
    while now < until:
        for path in tracker.due(now):
            if tracker.observe(path, facts, now) in SETTLED:
                return now
        due = tracker.next_due()
        assert due is not None
        now = max(now, due)
    pytest.fail("it never settled")


@pytest.mark.parametrize(
    ("kind", "wait_s"),
    [("closed", 0.5), ("moved", 0.5), ("created", 2.0), ("modified", 2.0), ("found", 2.0), ("walked", 5.0)],
)
def test_how_long_a_file_rests_depends_on_the_hint(kind: HintKind, wait_s: float) -> None:
    tracker = SettleTracker()
    assert tracker.hint(A, kind, 10.0)
    assert settled_at(tracker, FACTS, 10.0) == pytest.approx(10.0 + wait_s)
    assert len(tracker) == 0
    assert tracker.next_due() is None


def test_a_file_of_a_folder_without_events_settles_sooner_once_its_close_is_heard() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "walked", 10.0)
    assert tracker.hint(A, "walked", 11.0)  # the next walk meets it again: no sign of life
    tracker.hint(A, "closed", 12.0)  # the folder has its watch meanwhile
    assert settled_at(tracker, FACTS, 12.0) == pytest.approx(12.5)


def test_the_first_look_is_due_at_once_and_only_once() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 1.0)
    assert tracker.next_due() == 1.0
    assert tracker.due(0.9) == []
    assert tracker.due(1.0) == [A]
    assert tracker.due(5.0) == []  # under way
    tracker.observe(A, FACTS, 1.0)
    assert tracker.due(1.4) == []
    assert tracker.due(1.5) == [A]


def test_one_late_look_never_settles() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    assert tracker.observe(A, FACTS, 60.0) is Verdict.WAITING  # the process was stopped in between
    assert tracker.observe(A, FACTS, 60.5) in SETTLED


def test_growth_without_a_new_close_waits_as_without_a_hint() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    tracker.observe(A, FACTS, 0.0)
    assert tracker.observe(A, grown(2000), 0.5) is Verdict.WAITING
    assert tracker.observe(A, grown(2000), 1.1) is Verdict.WAITING
    assert tracker.observe(A, grown(2000), 2.5) in SETTLED


def test_a_second_close_restarts_the_short_wait() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    tracker.observe(A, FACTS, 0.0)
    tracker.observe(A, grown(2000), 0.4)
    tracker.hint(A, "closed", 0.6)
    # Written before that close: no change after it.
    assert tracker.observe(A, grown(3000), 0.6) is Verdict.WAITING
    assert tracker.observe(A, grown(3000), 1.0) is Verdict.WAITING
    assert tracker.observe(A, grown(3000), 1.1) in SETTLED


@pytest.mark.parametrize("mtime_ns", [-(10**18), 0, 4 * 10**18])
def test_utime_to_the_cameras_clock_after_the_rename_costs_one_short_wait(mtime_ns: int) -> None:
    tracker = SettleTracker()
    tracker.hint(A, "moved", 0.0)
    tracker.observe(A, FACTS, 0.0)
    tracker.hint(A, "modified", 0.1)
    late = replace(FACTS, mtime_ns=mtime_ns)
    assert tracker.observe(A, late, 0.1) is Verdict.WAITING
    assert tracker.observe(A, late, 0.5) is Verdict.WAITING
    assert tracker.observe(A, late, 0.6) in SETTLED


@pytest.mark.parametrize("change", [{"size": 1001}, {"mtime_ns": 6}, {"inode": 8}, {"device": 2}])
def test_each_fact_counts(change: dict[str, int]) -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    tracker.observe(A, FACTS, 0.0)
    assert tracker.observe(A, replace(FACTS, **change), 3.0) is Verdict.WAITING


def test_an_empty_file_waits_longer_and_then_settles_too() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    assert settled_at(tracker, grown(0), 0.0) == pytest.approx(10.0)


def test_an_empty_file_that_is_filled_settles_as_usual() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    tracker.observe(A, grown(0), 0.0)
    tracker.hint(A, "closed", 3.0)
    assert settled_at(tracker, FACTS, 3.0) == pytest.approx(3.5)


def test_a_writer_that_stalls_less_than_the_wait_never_settles_half_way() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "created", 0.0)
    for step in range(20):
        assert tracker.observe(A, grown(1000 + step), step * 1.9) is Verdict.WAITING


def test_work_may_start_early_only_while_the_writer_says_it_is_done() -> None:
    tracker = SettleTracker()
    assert not tracker.is_complete(A)
    tracker.hint(A, "created", 0.0)
    assert not tracker.is_complete(A)
    tracker.hint(A, "closed", 0.1)
    tracker.observe(A, FACTS, 0.1)
    assert tracker.is_complete(A)
    tracker.observe(A, grown(2000), 0.3)  # it was opened again
    assert not tracker.is_complete(A)


def test_gone_is_said_once_and_forgotten() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    assert tracker.observe(A, None, 0.0) is Verdict.GONE
    assert A not in tracker
    assert tracker.observe(A, None, 0.0) is Verdict.WAITING


def test_a_deletion_asks_for_a_look_only_where_one_matters() -> None:
    tracker = SettleTracker()
    assert tracker.hint(A, "deleted", 0.0)
    assert A not in tracker
    tracker.hint(A, "created", 0.0)
    tracker.due(0.0)
    tracker.observe(A, FACTS, 0.0)
    tracker.hint(A, "deleted", 0.5)
    assert tracker.due(0.5) == [A]
    assert tracker.observe(A, FACTS, 0.5) is Verdict.WAITING  # it was there all the same
    assert tracker.observe(A, FACTS, 2.0) in SETTLED


def test_a_look_taken_before_the_hint_says_nothing_about_it() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "created", 0.0)
    tracker.due(0.0)
    tracker.hint(A, "closed", 1.0)
    assert tracker.observe(A, FACTS, 0.9) is Verdict.OUTDATED
    assert tracker.due(1.0) == [A]
    assert tracker.observe(A, None, 0.5) is Verdict.OUTDATED
    assert A in tracker


def test_a_look_that_began_before_the_hint_says_nothing_about_it_either() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "created", 0.0)
    tracker.due(0.0)
    tracker.hint(A, "closed", 1.0)
    assert tracker.observe(A, grown(400), 1.01, begun=0.99) is Verdict.OUTDATED
    assert tracker.due(1.01) == [A]
    assert tracker.observe(A, FACTS, 1.02, begun=1.01) is Verdict.WAITING
    assert tracker.is_complete(A)
    assert settled_at(tracker, FACTS, 1.02) == pytest.approx(1.52)  # and not two seconds after a change


def test_a_scan_that_meets_a_waiting_file_changes_nothing() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    tracker.due(0.0)
    tracker.observe(A, FACTS, 0.0)
    assert tracker.hint(A, "found", 0.3)
    assert tracker.next_due() == pytest.approx(0.5)


def test_beyond_the_limit_a_hint_is_refused_and_known_paths_are_not() -> None:
    tracker = SettleTracker(limit=2)
    assert tracker.hint(b"1", "closed", 0.0)
    assert tracker.hint(b"2", "closed", 0.0)
    assert not tracker.hint(b"3", "closed", 0.0)
    assert tracker.hint(b"1", "modified", 0.1)
    tracker.forget(b"1")
    assert tracker.hint(b"3", "closed", 0.2)


def test_many_hints_for_few_files_stay_small() -> None:
    tracker = SettleTracker()
    for step in range(10_000):
        tracker.hint(b"%d" % (step % 3), "modified", step / 1000)
    assert len(tracker._heap) < 100
    assert sorted(tracker.due(100.0)) == [b"0", b"1", b"2"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["closed", "moved", "created", "modified", "deleted", "found", "write", "look"]),
            st.floats(0.01, 1.5),
        ),
        max_size=40,
    )
)
def test_it_never_settles_within_the_short_wait_of_a_write_and_always_settles_in_the_end(
    steps: list[tuple[str, float]],
) -> None:
    tracker, now, size, written, settled = SettleTracker(), 0.0, 1, 0.0, False
    tracker.hint(A, "created", now)
    for step, pause in steps:
        now += pause
        if step == "write":
            size, written = size + 1, now
        elif step == "look":
            for path in tracker.due(now):
                if tracker.observe(path, grown(size), now) in SETTLED:
                    assert now - written >= 0.5 - 1e-9
                    settled = True
        else:
            tracker.hint(A, step, now)  # pyright: ignore[reportArgumentType] - drawn from the same words
    if A in tracker:
        settled_at(tracker, grown(size), now, until=now + 10)
    else:
        assert settled


def test_a_raw_waits_for_its_jpeg_and_then_runs_alone() -> None:
    pairs = RawPairs(wait_s=10.0)
    assert pairs.offer_raw(b"d/1.NEF", 0.0, partner_known=False) is PairVerdict.WAITING
    assert pairs.offer_raw(b"d/2.NEF", 1.0, partner_known=False) is PairVerdict.WAITING
    assert pairs.next_due() == 10.0
    assert pairs.offer_partner(b"d/2.jpg") == [b"d/2.NEF"]
    assert pairs.offer_partner(b"other/1.jpg") == []
    assert pairs.due(9.9) == []
    assert pairs.due(10.0) == [b"d/1.NEF"]
    assert pairs.next_due() is None
    assert len(pairs) == 0


def test_a_raw_whose_jpeg_is_known_is_paired_at_once() -> None:
    pairs = RawPairs()
    assert pairs.offer_raw(b"1.NEF", 0.0, partner_known=False) is PairVerdict.WAITING
    assert pairs.offer_raw(b"1.NEF", 5.0, partner_known=True) is PairVerdict.PAIRED
    assert len(pairs) == 0


def test_offering_a_raw_again_does_not_prolong_its_wait() -> None:
    pairs = RawPairs()
    pairs.offer_raw(b"1.NEF", 0.0, partner_known=False)
    pairs.offer_raw(b"1.NEF", 9.0, partner_known=False)
    assert pairs.due(10.0) == [b"1.NEF"]
    pairs.offer_raw(b"2.NEF", 11.0, partner_known=False)
    pairs.forget(b"2.NEF")
    assert pairs.due(99.0) == []


def test_one_jpeg_answers_for_every_raw_of_its_stem() -> None:
    pairs = RawPairs()
    for raw in (b"1.NEF", b"1.dng", b"2.NEF"):
        pairs.offer_raw(raw, 0.0, partner_known=False)
    pairs.forget(b"1.NEF")
    pairs.offer_raw(b"1.NEF", 1.0, partner_known=False)
    assert pairs.offer_partner(b"1.JPG") == [b"1.dng", b"1.NEF"]
    assert pairs.offer_partner(b"1.JPG") == []
    assert pairs.due(99.0) == [b"2.NEF"]
    assert (pairs._waiting, pairs._by_stem) == ({}, {})


def test_ten_thousand_raws_wait_without_a_search_for_each_jpeg() -> None:
    pairs = RawPairs()
    for number in range(10_000):
        pairs.offer_raw(b"%d.NEF" % number, number / 1000, partner_known=False)
    begin = time.process_time()
    for number in range(10_000):
        assert pairs.next_due() is not None
        assert pairs.offer_partner(b"%d.jpg" % number) == [b"%d.NEF" % number]
    assert time.process_time() - begin < 2.0  # a search through all that wait takes half a minute


def test_a_file_that_somebody_writes_does_not_settle_however_long_it_rests() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    for now in (0.0, 0.5, 2.5, 60.0, HELD_S - 1):
        assert tracker.observe(A, FACTS, now, Writers.SOMEBODY) is Verdict.WAITING
    assert tracker.held() == 1
    assert tracker.next_due() == HELD_S - 1 + HELD_LOOK_S
    assert tracker.observe(A, FACTS, HELD_S - 0.5, Writers.NOBODY) is Verdict.SETTLED


def test_one_that_is_held_open_for_ever_is_cut_out_in_the_end_without_being_known_to_be_done() -> None:
    tracker = SettleTracker()
    tracker.hint(A, "closed", 0.0)
    tracker.observe(A, FACTS, 0.0, Writers.SOMEBODY)
    assert tracker.observe(A, FACTS, HELD_S, Writers.SOMEBODY) is Verdict.RESTED


@pytest.mark.parametrize(
    ("hints", "verdict"),
    [
        (("closed",), Verdict.SETTLED),
        (("moved",), Verdict.SETTLED),
        (("created",), Verdict.RESTED),
        (("closed", "modified"), Verdict.RESTED),
        (("modified", "closed"), Verdict.SETTLED),
    ],
)
def test_where_nobody_can_tell_who_writes_a_close_is_the_writers_word(
    hints: tuple[HintKind, ...], verdict: Verdict
) -> None:
    tracker = SettleTracker()
    for hint in hints:
        tracker.hint(A, hint, 0.0)
    tracker.observe(A, FACTS, 0.0)
    assert tracker.observe(A, FACTS, 2.0) is verdict


def test_one_that_has_rested_for_long_needs_one_look() -> None:
    tracker = SettleTracker()
    assert tracker.rested(A, FACTS, 100.0)
    assert tracker.due(100.0) == [A]
    assert tracker.observe(A, FACTS, 100.0, Writers.NOBODY) is Verdict.SETTLED
