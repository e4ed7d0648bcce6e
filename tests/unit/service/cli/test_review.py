"""What `cutoutd review` and `status` say of cutouts delivered with doubt, and what was decided on the gallery."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.shoot import Shoot

from cutoutd.config.errors import UsageError
from cutoutd.config.fixes import Fixes
from cutoutd.daemon.ledger.control import CommandAnswer, CommandArguments, Verb
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import doubts_text
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.shots import versions
from cutoutd.daemon.ledger.states import State
from cutoutd.models.networks.doubt import Doubt
from cutoutd.service.cli.events import events
from cutoutd.service.cli.review import review
from cutoutd.service.cli.status import status
from cutoutd.service.gallery.choices import LARGEST_FILE
from cutoutd.service.gallery.feed import gallery_id

VERSION = "0123456789ab"  # of no cutouts that there are


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def doubtful(state: Path, tmp_path: Path) -> None:
    """A ledger with one photo that is sure and one that is not."""
    state.mkdir()
    ledger = Ledger(state / "ledger.sqlite")
    for name, sure, doubts in (
        (b"sure", 0.97, ()),
        (b"vase", 0.61, ("half-transparent inside", "touches the frame")),
    ):
        cursor = ledger.write(
            "INSERT INTO photos (inbox, path, key, state, arrived, finished, confidence, doubts)"
            " VALUES (?, ?, ?, 'done', 1, 1, ?, ?)",
            (os.fsencode(tmp_path / "in"), name + b".jpg", ledger.key(name), sure, doubts_text(doubts)),
        )
        ledger.write(
            "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, state)"
            " VALUES (?, 'cutout', ?, ?, ?, '', 'done')",
            (cursor.lastrowid, os.fsencode(tmp_path / "out"), name + b".png", name.decode()),
        )
    ledger.close()


def asked(*arguments: str) -> Any:
    return json.loads(CliRunner().invoke(review, list(arguments)).output)


def test_nothing_needs_a_look_before_the_first_start() -> None:
    assert CliRunner().invoke(review).output == "No cutout needs a look.\n"
    assert asked("--json") == []


@pytest.mark.usefixtures("doubtful")
def test_it_names_the_doubtful_one_why_and_how_sure(tmp_path: Path) -> None:
    said = CliRunner().invoke(review).output
    assert "sure.png" not in said
    assert str(tmp_path / "out" / "vase.png") in said
    assert "half-transparent inside, touches the frame (61% sure)" in said
    assert str(tmp_path / "in" / "vase.jpg") in said
    (row,) = asked("--json")
    assert (row["confidence"], row["needs_review"]) == (
        0.61,
        ["half-transparent inside", "touches the frame"],
    )


@pytest.mark.usefixtures("doubtful")
def test_it_says_what_could_not_be_done_again(state: Path) -> None:
    ledger = Ledger(state / "ledger.sqlite")
    ledger.write(
        "UPDATE photos SET doubts = ?, detail = 'The mask is of another shape.' WHERE doubts <> ''",
        (doubts_text([Doubt.NOT_REDONE]),),
    )
    ledger.close()
    said = CliRunner().invoke(review).output
    assert "could not be done again as asked (61% sure)" in said
    assert "The mask is of another shape." in said


@pytest.mark.usefixtures("doubtful")
def test_the_status_counts_them() -> None:
    facts = json.loads(CliRunner().invoke(status, ["--json"]).output)
    assert facts["needs_review"] == 1
    assert {row["name"]: row["needs_review"] for row in facts["recent"]}["sure.jpg"] == []
    said = CliRunner().invoke(status).output
    assert "1 cutout to look at" in said
    assert "needs a look: half-transparent inside, touches the frame" in said


# --- what was decided on the gallery ---------------------------------------------------------------------------------


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    """Three photos that are done, the last with doubt; their state folder is the one that is asked."""
    shoot = Shoot(tmp_path)
    for name, doubts in ((b"good.jpg", ()), (b"bad.jpg", ()), (b"odd.jpg", ("touches the frame",))):
        shoot.add(name, "coffee", ("master",), *doubts)
    return shoot


def saved(shoot: Shoot, verdicts: dict[int, str]) -> str:
    now = versions(shoot.ledger)
    marks = {str(photo): {"verdict": said, "version": now[photo]} for photo, said in verdicts.items()}
    return json.dumps({"cutoutd_review": 1, "gallery": gallery_id(shoot.ledger.key), "marks": marks})


def pointed(shoot: Shoot, fixes: dict[int, dict[str, list[str]]]) -> str:
    now = versions(shoot.ledger)
    told = {str(photo): {**points, "version": now.get(photo, VERSION)} for photo, points in fixes.items()}
    return json.dumps(
        {"cutoutd_review": 1, "gallery": gallery_id(shoot.ledger.key), "marks": {}, "fixes": told}
    )


def run(*arguments: str, typed: str | bytes = "") -> str:
    return CliRunner().invoke(review, arguments, input=typed, catch_exceptions=False).output


def test_choices_are_read_listed_and_told_of(shoot: Shoot, tmp_path: Path) -> None:
    file = tmp_path / "cutoutd-review.json"
    file.write_text(saved(shoot, {1: "accepted", 2: "rejected", 3: "accepted"}))
    assert run(str(file)) == "2 photos accepted, 1 rejected.\n"
    assert run("--only", "accepted").splitlines() == [
        f"✓ {shoot.outbox}/1-master.png",
        f"  of {shoot.inbox}/good.jpg",
        f"✓ {shoot.outbox}/3-master.png",
        f"  touches the frame (71% sure); of {shoot.inbox}/odd.jpg",
    ]
    (only,) = json.loads(run("--only", "rejected", "--json"))
    assert (only["photo"], only["verdict"], only["outputs"]) == (
        2,
        "rejected",
        [f"{shoot.outbox}/2-master.png"],
    )
    (odd,) = json.loads(run("--json"))
    assert (odd["photo"], odd["verdict"]) == (3, "accepted")
    told = CliRunner().invoke(events, ["--json"], catch_exceptions=False).output.splitlines()
    assert [json.loads(line)["event"] for line in told][-3:] == ["accepted", "rejected", "accepted"]


def test_who_looks_for_the_file_in_the_wrong_place_is_told_where_browsers_put_it(shoot: Shoot) -> None:
    error = CliRunner().invoke(review, ["cutoutd-review.json"]).exception
    assert isinstance(error, UsageError)
    assert "downloads" in error.fix


def test_what_was_rejected_is_not_passed_over_in_silence(shoot: Shoot) -> None:
    run("-", typed=saved(shoot, {2: "rejected", 3: "accepted"}))
    assert "1 other photo rejected on the gallery: `cutoutd review --only rejected` lists it." in run()
    assert "`cutoutd redo PATH`" in run("--only", "rejected")
    assert "`cutoutd redo PATH`" not in run("--only", "accepted")
    run("-", typed=saved(shoot, {2: "none"}))
    assert "rejected on the gallery" not in run()


def test_what_was_decided_needs_no_look_any_more_until_it_is_made_anew(shoot: Shoot) -> None:
    def to_look_at() -> int:
        return json.loads(CliRunner().invoke(status, ["--json"], catch_exceptions=False).output)[
            "needs_review"
        ]

    assert to_look_at() == 1
    run("-", typed=saved(shoot, {3: "rejected"}))
    assert to_look_at() == 0
    shoot.ledger.write("UPDATE deliverables SET out_digest = 'anew' WHERE photo = 3")
    shoot.ledger.commit()
    assert to_look_at() == 1


def test_standard_input_takes_choices_back(shoot: Shoot) -> None:
    assert json.loads(run("-", "--json", typed=saved(shoot, {1: "accepted"})))["accepted"] == 1
    assert "1 taken back" in run("-", typed=saved(shoot, {1: "none"}))
    assert run("--only", "accepted") == "Nothing is accepted.\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_what_an_editor_puts_before_copied_choices_does_not_count(shoot: Shoot, encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("e") else ""
    typed = (mark + saved(shoot, {1: "accepted"})).encode(encoding)
    assert run("-", typed=typed) == "1 photo accepted, 0 rejected.\n"


def test_choices_about_earlier_cutouts_are_left_out(shoot: Shoot) -> None:
    before = saved(shoot, {1: "accepted", 2: "accepted"})
    shoot.ledger.write("UPDATE deliverables SET out_digest = 'anew' WHERE photo = 2")
    shoot.ledger.commit()
    assert "1 photo accepted, 0 rejected; 1 left out" in run("-", typed=before)


def test_photos_are_made_again_with_their_points(shoot: Shoot) -> None:
    points = pointed(shoot, {1: {"keep": ["31%,45%"]}, 3: {"keep": ["5%,5%"], "remove": ["90%,90%"]}})
    assert run("-", typed=points) == "2 photos made again with your points when cutoutd runs.\n"
    rows = {row["id"]: (row["state"], row["overrides"]) for row in shoot.ledger.read("SELECT * FROM photos")}
    assert rows[2] == ("done", "")
    assert rows[1][0] == rows[3][0] == State.PENDING
    assert Overrides.from_json(rows[3][1]) == Overrides(fixes=Fixes(("5%,5%",), ("90%,90%",)))
    shoot.ledger.write("UPDATE photos SET state = 'done', overrides = '' WHERE id = 3")
    shoot.ledger.commit()
    assert (
        run("-", typed=pointed(shoot, {3: {}})) == "1 photo made again with your points when cutoutd runs.\n"
    )
    (row,) = shoot.ledger.read("SELECT overrides FROM photos WHERE id = 3")
    assert Overrides.from_json(row["overrides"]) == Overrides(forget_points=True)
    # What is owed already, or gone, is no longer what was pointed at.
    told = json.loads(run("-", "--json", typed=pointed(shoot, {1: {"keep": ["1%,1%"]}, 99: {}})))
    assert (told["redone"], told["outdated"]) == (0, 2)


def test_verdicts_and_points_of_one_file_are_both_taken(shoot: Shoot) -> None:
    both = json.loads(saved(shoot, {2: "accepted"})) | {
        "fixes": json.loads(pointed(shoot, {1: {"remove": ["1%,1%"]}}))["fixes"]
    }
    assert run("-", typed=json.dumps(both)) == (
        "1 photo accepted, 0 rejected; 1 photo made again with your points when cutoutd runs.\n"
    )


def test_a_refused_photo_is_named_and_the_others_are_made_again(
    shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(_verb: Verb, arguments: CommandArguments, _wait_s: float) -> CommandAnswer:
        return CommandAnswer(1) if 2 in (arguments.photos or ()) else CommandAnswer(refused="It cannot")

    monkeypatch.setattr("cutoutd.service.cli.review.command", command)
    answer = CliRunner().invoke(review, ["-"], input=pointed(shoot, {1: {}, 2: {}}))
    assert answer.output == "1 photo made again with your points when cutoutd runs.\n"
    assert isinstance(answer.exception, UsageError)
    assert "No. 1: It cannot" in str(answer.exception)


def test_what_cannot_be_read_changes_nothing(shoot: Shoot, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        run(str(tmp_path / "none.json"))
    with pytest.raises(UsageError, match="no choices"):
        run("-", typed=b"\xff\xfe")
    with pytest.raises(UsageError, match="too large"):
        run("-", typed=b" " * (LARGEST_FILE + 1))
    broken = json.loads(saved(shoot, {1: "accepted"}))
    broken["marks"]["2"] = "yes"
    with pytest.raises(UsageError, match="cannot be read"):
        run("-", typed=json.dumps(broken))
    assert Remarks(shoot.ledger).marks() == {}
