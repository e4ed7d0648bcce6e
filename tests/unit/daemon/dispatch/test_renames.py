"""Renamed, copied, swapped: which cutout belongs to which file."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.support.simulation import Simulation, cutout_of

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def test_a_copy_owes_its_own_cutout_and_a_rename_none(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    (one.inbox / "b.jpg").hardlink_to(one.inbox / "a.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "b.png"]
    (one.inbox / "a.jpg").rename(one.inbox / "c.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "b.png"]
    assert one.states()["c.jpg"] == "done"


def test_a_photo_renamed_while_it_is_in_hand_gets_one_cutout(sim: Make) -> None:
    for turns in range(1, 12):
        one = sim()
        name, moved = f"{turns}.jpg", f"{turns}-renamed.jpg"
        one.put(name, ONE + b"%d" % turns)
        one.boot()
        one.until_in_a_worker()
        one.run(turns)
        (one.inbox / name).rename(one.inbox / moved)
        one.finish()
        one.die()
        assert list(one.outputs().values()).count(cutout_of(ONE + b"%d" % turns)) == 1, turns


def test_a_photo_renamed_after_it_was_ordered_anew_follows_too(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.control.redo(None, since=None, overrides={})
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert list(one.outputs().values()) == [cutout_of(ONE)]


def test_a_photo_renamed_onto_the_name_of_one_that_was_removed_follows_too(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot().finish()
    (one.inbox / "a.jpg").unlink()
    (one.inbox / "b.jpg").rename(one.inbox / "a.jpg")
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE), "b.png": cutout_of(TWO)}


@pytest.mark.parametrize("moment", ["pending", "running", "done"])
def test_a_photo_that_was_renamed_and_touched_while_the_daemon_was_down_has_one_cutout(
    sim: Make, moment: str
) -> None:
    """Its time no longer tells that it is the same; its content does."""
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    for _ in range(200):
        if [row["state"] for row in one.rows()] == [moment]:
            break
        one.turn()
    one.die()
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    os.utime(one.inbox / "b.jpg", (5, 5))
    one.boot().finish()
    assert list(one.outputs().values()) == [cutout_of(ONE)]
    assert {name: state for name, state in one.states().items() if state != "skipped"} == {"b.jpg": "done"}


def test_photos_that_change_names_among_each_other_keep_one_cutout_each(sim: Make) -> None:
    """The name that one gave up is another's by the time anybody looks."""
    one = sim()
    one.put("a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot().finish()
    (one.inbox / "a.jpg").rename(one.inbox / "c.jpg")
    (one.inbox / "b.jpg").rename(one.inbox / "a.jpg")
    one.finish()
    assert sorted(one.outputs().values()) == sorted([cutout_of(ONE), cutout_of(TWO)])
    (one.inbox / "a.jpg").rename(one.inbox / "between.jpg")
    (one.inbox / "c.jpg").rename(one.inbox / "a.jpg")
    (one.inbox / "between.jpg").rename(one.inbox / "c.jpg")
    one.finish()
    assert sorted(one.outputs().values()) == sorted([cutout_of(ONE), cutout_of(TWO)])
    one.put("b.jpg", b"frame 3")
    one.finish()
    assert sorted(one.outputs().values()) == sorted([cutout_of(ONE), cutout_of(TWO), cutout_of(b"frame 3")])


def test_a_copy_whose_original_was_touched_owes_its_own_cutout(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot().finish()
    os.utime(one.inbox / "a.jpg", (7, 7))
    one.put("b.jpg", ONE)
    one.finish()
    assert list(one.outputs().values()) == [cutout_of(ONE)] * 2
