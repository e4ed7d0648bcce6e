"""What the page is told: everything to the photographer, nothing that tells to a client, and never as code."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from tests.support.shoot import Shoot

from cutoutd.config.fixes import Fixes
from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.shots import Picture, Standing, last_shots, versions
from cutoutd.service.gallery.feed import Tone, as_script, feed, pulse
from cutoutd.service.gallery.shelf import Kept

HOSTILE = b"</script><img src=x onerror=alert(1)>\xe2\x80\xa8\xff.jpg"
NOTHING = Standing(3, 1, 2)


def small(photo: int, picture: Picture) -> Kept | None:
    return Kept(f"{photo}-{picture.key}.webp", (640, 427), (6000, 4000))


def whole(photo: int, picture: Picture) -> str:
    return f"full/{photo}-{picture.key}.png"


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    shoot = Shoot(tmp_path)
    photo = shoot.add(HOSTILE, "coffee", ("master", "white"), "hazy DSC_9.jpg")
    Remarks(shoot.ledger).mark(photo, EventKind.REJECTED, versions(shoot.ledger)[photo])
    shoot.failed(b"DSC_8.jpg", "DSC_8.jpg shows no subject.")
    shoot.started(b"DSC_7.jpg")
    return shoot


def told(shoot: Shoot, *, client: bool = False) -> dict[str, Any]:
    return feed(last_shots(shoot.ledger, 9), small, whole, Tone("g", client, live=True), NOTHING)


def test_the_photographer_is_told_everything(shoot: Shoot) -> None:
    everything = told(shoot)
    hand, failed, done = everything["photos"]
    assert (hand["state"], hand["made"], hand["name"]) == ("working", [], "DSC_7.jpg")
    assert (failed["state"], failed["said"]) == ("failed", ["DSC_8.jpg shows no subject."])
    assert [one["label"] for one in done["made"]] == ["master", "white"]
    assert done["before"]["whole"] == [6000, 4000]
    assert done["before"]["full"].startswith("full/")
    assert (done["mark"], done["said"]) == ("rejected", ["Worth a look: hazy DSC_9.jpg (71% sure)."])
    assert (everything["waiting"], everything["in_hand"], everything["failed"]) == (3, 1, 2)


def test_the_photographer_alone_is_told_the_points_that_a_photo_was_made_with(shoot: Shoot) -> None:
    assert not any("fixes" in one for one in told(shoot)["photos"])
    fixes = Overrides(fixes=Fixes(("31%,45%",), ()))
    shoot.ledger.write("UPDATE photos SET overrides = ? WHERE state = 'done'", (fixes.to_json(),))
    assert told(shoot)["photos"][-1]["fixes"] == {"keep": ("31%,45%",), "remove": ()}
    assert "fixes" not in told(shoot, client=True)["photos"][0]


def test_the_client_is_told_no_name_no_time_no_network_and_no_failure(shoot: Shoot) -> None:
    script = as_script(told(shoot, client=True))
    (only,) = told(shoot, client=True)["photos"]
    assert set(only) == {"id", "state", "version", "mark", "before", "made"}
    for secret in ("jpg", "DSC", "cutout-s", "17000", "hazy", "script", "waiting", str(shoot.root)):
        assert secret not in script
    assert told(shoot, client=True).keys() == {"format", "gallery", "client", "live", "busy", "photos"}


def test_names_stay_text_within_the_script(shoot: Shoot) -> None:
    script = as_script(told(shoot))
    assert script.isascii()
    assert script.count("\n") == 1
    back = json.loads(re.fullmatch(r"cutoutd\.feed\((.*)\);\n", script)[1])  # type: ignore[index]
    assert back["photos"][2]["name"].startswith("</script><img src=x onerror=alert(1)>")
    assert "\u2028" not in back["photos"][2]["name"]


def test_what_has_no_picture_yet_is_left_out_and_what_has_none_any_more_is_counted(shoot: Shoot) -> None:
    shots = last_shots(shoot.ledger, 9)
    for making, absent in ((2, 0), (0, 1)):
        empty = feed(
            shots, lambda _p, _q: None, whole, Tone("g", client=False, live=True), NOTHING, making=making
        )
        # Its sentence is to be seen all the same.
        assert [one["state"] for one in empty["photos"]] == ["failed"]
        assert (empty["making"], empty["absent"]) == (making, absent)


def test_a_photo_that_was_made_again_is_in_hand_until_its_new_cutout_can_be_shown(shoot: Shoot) -> None:
    shots = last_shots(shoot.ledger, 9)
    befores = {shot.before for shot in shots}

    def only_before(photo: int, picture: Picture) -> Kept | None:
        return small(photo, picture) if picture in befores else None

    tone = Tone("g", client=False, live=True)
    told_of = feed(shots, only_before, whole, tone, NOTHING, making=1)["photos"]
    assert [(one["state"], one["made"]) for one in told_of] == [
        ("working", []),
        ("failed", []),
        ("working", []),
    ]
    assert len(feed(shots, only_before, whole, tone, NOTHING)["photos"]) == 2


def test_the_pulse_is_a_small_picture_and_no_two_are_alike() -> None:
    sizes = {struct.unpack("<HH", pulse(number)[6:10]) for number in (0, 1, 15_999, 16_000, 255_999_999)}
    assert len(sizes) == 5
    assert all(0 < side <= 16_000 for size in sizes for side in size)
    assert len(pulse(1)) < 50
