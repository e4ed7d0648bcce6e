"""Photos as a gallery shows them: the newest first, their cutouts, what is to be said, marks of today's cutouts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.shoot import Shoot

from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.overrides import Corrections, Overrides
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.shots import last_shots, standing, versions
from cutoutd.models.networks.doubt import Doubt


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    return Shoot(tmp_path)


def test_the_newest_come_first_with_all_their_cutouts(shoot: Shoot) -> None:
    first = shoot.add(b"old.jpg", "coffee", ("master",))
    second = shoot.add(b"sub/new.jpg", "coffee", ("master", "white"), "hazy")
    shots = last_shots(shoot.ledger, 5)
    assert [shot.photo for shot in shots] == [second, first]
    assert [one.label for one in shots[0].made] == ["master", "white"]
    assert shots[0].before.path == os.fsencode(shoot.inbox / "sub/new.jpg")
    assert shots[0].made[1].picture.path == os.fsencode(shoot.outbox / f"{second}-white.jpg")
    assert (shots[0].name, shots[0].state, shots[0].said) == (
        b"sub/new.jpg",
        "done",
        ("Worth a look: hazy (71% sure).",),
    )
    assert len({picture.key for shot in shots for picture in shot.pictures}) == 5
    assert [shot.photo for shot in last_shots(shoot.ledger, 1)] == [second]
    assert versions(shoot.ledger) == {shot.photo: shot.version for shot in shots}


def test_what_is_in_hand_and_what_failed_are_there_and_what_waits_is_not(shoot: Shoot) -> None:
    failed = shoot.failed(b"bad.jpg", "No subject was found.")
    hand = shoot.started(b"hand.jpg")
    for name, state in ((b"waits.jpg", "pending"), (b"gone.jpg", "skipped")):
        shoot.ledger.write("UPDATE photos SET state = ? WHERE id = ?", (state, shoot.started(name)))
    draft = shoot.add(b"draft.jpg")
    shoot.ledger.write("UPDATE photos SET state = 'pending' WHERE id = ?", (draft,))
    shots = {shot.photo: shot for shot in last_shots(shoot.ledger, 9)}
    assert {photo: shot.state for photo, shot in shots.items()} == {
        failed: "failed",
        hand: "working",
        draft: "working",
    }
    assert shots[failed].said == ("No subject was found.",)
    assert len(shots[draft].made) == 1
    there = standing(shoot.ledger)
    assert (there.waiting, there.in_hand, there.failed) == (2, 1, 1)


def test_names_that_are_not_kept_are_not_shown_and_originals_are_found_where_they_went(shoot: Shoot) -> None:
    photo = shoot.add(b"a.jpg")
    key = last_shots(shoot.ledger, 1)[0].before.key
    shoot.ledger.write("UPDATE photos SET archived_to = ? WHERE id = ?", (b"/archive/a.jpg", photo))
    (shot,) = last_shots(shoot.ledger, 1)
    assert shot.before.path == b"/archive/a.jpg"
    assert shot.before.key == key  # it is the same picture, and is not made again
    shoot.ledger.write("UPDATE photos SET path = NULL WHERE id = ?", (photo,))
    assert last_shots(shoot.ledger, 1) == []
    assert versions(shoot.ledger) == {}


def test_what_a_photo_was_made_with_and_could_not_be_made_with_is_told(shoot: Shoot) -> None:
    photo = shoot.add(b"a.jpg", "coffee", ("master",), Doubt.NOT_REDONE)
    fixes = Fixes(("31%,45%",), ("120,80",))
    shoot.ledger.write(
        "UPDATE photos SET overrides = ?, detail = ? WHERE id = ?",
        (Overrides(fixes=fixes).to_json(), "The network sees nothing at 31%,45%.", photo),
    )
    (shot,) = last_shots(shoot.ledger, 1)
    assert shot.fixes == fixes
    Remarks(shoot.ledger).made_with(photo, Corrections(Fixes(("1%,1%",))))
    assert last_shots(shoot.ledger, 1)[0].fixes == fixes  # what it is to be made with
    for wish, then in ((Overrides(), Fixes(("1%,1%",))), (Overrides(forget_points=True), NOTHING_FIXED)):
        shoot.ledger.write("UPDATE photos SET overrides = ? WHERE id = ?", (wish.to_json(), photo))
        assert last_shots(shoot.ledger, 1)[0].fixes == then
    assert shot.said == (
        "Worth a look: could not be done again as asked (71% sure).",
        "The network sees nothing at 31%,45%.",
    )


def test_a_mark_says_nothing_about_a_later_cutout(shoot: Shoot) -> None:
    photo = shoot.add(b"a.jpg")
    Remarks(shoot.ledger).mark(photo, EventKind.ACCEPTED, versions(shoot.ledger)[photo])
    (shot,) = last_shots(shoot.ledger, 1)
    assert shot.mark is not None
    assert shot.mark.verdict is EventKind.ACCEPTED
    shoot.ledger.write("UPDATE deliverables SET out_digest = 'another' WHERE photo = ?", (photo,))
    (again,) = last_shots(shoot.ledger, 1)
    assert again.mark is None
    assert again.made[0].picture.key != shot.made[0].picture.key
