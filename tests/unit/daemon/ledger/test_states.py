"""Every pair of states and stages: the legal steps are taken, all others raise and write nothing."""

from __future__ import annotations

import ast
import re
from itertools import product
from pathlib import Path

import pytest

from cutoutd.config.errors import CutoutError
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled
from cutoutd.daemon.ledger.states import (
    ADVANCES,
    LEGAL,
    OWED,
    IllegalTransitionError,
    Stage,
    State,
    before,
)
from cutoutd.daemon.ledger.troubles import is_ledgers_own

ALL_PAIRS = list(product(State, State))
DAEMON = Path(__file__).resolve().parents[4] / "daemon"


def _photo(ledger: Ledger, state: State, stage: Stage = Stage.FINAL, path: bytes = b"a.jpg") -> int:
    _, photo = Intake(ledger).observe(b"/in", path, Facts(1, 2, 3), settled=Settled.KNOWN)
    ledger.write("UPDATE photos SET state = ?, stage = ? WHERE id = ?", (state, stage, photo))
    assert photo is not None
    return photo


def _standing(ledger: Ledger, photo: int) -> tuple[str, str, str]:
    row = ledger.one("SELECT state, stage, detail FROM photos WHERE id = ?", (photo,))
    assert row is not None
    return row["state"], row["stage"], row["detail"]


def is_legal(before: tuple[State, Stage], after: tuple[State, Stage]) -> bool:
    """Whether a photo may go from one state and stage to another."""
    (state, stage), (next_state, next_stage) = before, after
    if next_state not in LEGAL[state]:
        return False
    return stage is next_stage or (
        (state, next_state) in ADVANCES and (stage, next_stage) == (Stage.DRAFT, Stage.FINAL)
    )


def test_each_pair_of_states(ledger: Ledger) -> None:
    for state, to in ALL_PAIRS:
        photo = _photo(ledger, state, path=f"{state} {to}".encode())
        if to in LEGAL[state]:
            assert ledger.move(photo, to, {"detail": "moved"}), (state, to)
            assert _standing(ledger, photo) == (to, "final", "moved")
            continue
        with pytest.raises(IllegalTransitionError, match=f"from {state} to {to}") as caught:
            ledger.move(photo, to, {"detail": "moved"})
        assert caught.value.photo == photo
        assert _standing(ledger, photo) == (state, "final", "")


def test_a_draft_gives_way_to_the_final_only_by_being_published(ledger: Ledger) -> None:
    for state, to in ALL_PAIRS:
        photo = _photo(ledger, state, Stage.DRAFT, f"{state} {to}".encode())
        if is_legal((state, Stage.DRAFT), (to, Stage.FINAL)):
            assert state is State.DELIVERING
            assert ledger.move(photo, to, stage=Stage.FINAL), (state, to)
            assert _standing(ledger, photo)[:2] == (to, Stage.FINAL)
            continue
        with pytest.raises(IllegalTransitionError, match=f"from {state} to {to}"):
            ledger.move(photo, to, stage=Stage.FINAL)
        assert _standing(ledger, photo)[:2] == (state, Stage.DRAFT)


def test_no_cutout_goes_back_to_being_a_draft() -> None:
    steps = ALL_PAIRS
    assert not any(is_legal((one, Stage.FINAL), (to, Stage.DRAFT)) for one, to in steps)


def test_the_table_knows_each_state_and_says_what_leads_to_each() -> None:
    assert set(LEGAL) == set(State)
    reasons = [why for steps in LEGAL.values() for why in steps.values()]
    assert all(reasons)
    assert {to for steps in LEGAL.values() for to in steps} == set(State)


@pytest.mark.parametrize("state", OWED)
def test_the_way_out_of_a_mistake_is_open_from_wherever_something_is_owed(state: State) -> None:
    """`Dispatcher.fault` brings what is being delivered back to pending, and what waits or runs to its end."""
    assert State.PENDING in LEGAL[state]
    assert {State.PENDING, State.FAILED} <= set(LEGAL[State.PENDING])
    assert state == State.DELIVERING or State.FAILED in LEGAL[state]


def test_an_illegal_step_is_one_photos_trouble_and_not_the_ledgers() -> None:
    error = IllegalTransitionError(7, "done", "running")
    assert isinstance(error, CutoutError)
    assert not is_ledgers_own(error)


def test_a_photo_that_is_gone_cannot_be_moved_and_is_no_mistake(ledger: Ledger) -> None:
    assert not ledger.move(99, State.RUNNING)


def test_a_step_from_some_states_only_leaves_the_others_alone(ledger: Ledger) -> None:
    photo = _photo(ledger, State.RUNNING)
    assert not ledger.move(photo, State.PENDING, only_from=(State.FAILED,))
    assert _standing(ledger, photo)[0] == State.RUNNING
    with pytest.raises(IllegalTransitionError):
        ledger.move(photo, State.DONE, only_from=(State.FAILED,))


def test_whence_a_state_is_reached() -> None:
    assert before(State.DELIVERING) == (State.RUNNING, State.DELIVERING)
    assert before(State.PENDING, Stage.FINAL) == (State.DELIVERING,)


def test_nobody_else_writes_a_photos_state() -> None:
    """SQL that sets `state` of photos stands in `Ledger.move` alone (and in migrations, which remake the table)."""
    elsewhere: list[str] = []
    for path in sorted(DAEMON.rglob("*.py")):
        if path.name in ("database.py", "migrations.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            if re.search(r"UPDATE photos SET (?:(?!WHERE).)*\bstate = ", node.value, re.DOTALL):
                elsewhere.append(f"{path.name}:{node.lineno}")
    assert elsewhere == []
