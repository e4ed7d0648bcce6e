"""What `cutoutd review` and `status` say of cutouts that were delivered with doubt."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import doubts_text
from cutoutd.service.cli.review import review
from cutoutd.service.cli.status import status


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
def test_the_status_counts_them() -> None:
    facts = json.loads(CliRunner().invoke(status, ["--json"]).output)
    assert facts["needs_review"] == 1
    assert {row["name"]: row["needs_review"] for row in facts["recent"]}["sure.jpg"] == []
    said = CliRunner().invoke(status).output
    assert "1 cutout to look at" in said
    assert "needs a look: half-transparent inside, touches the frame" in said
