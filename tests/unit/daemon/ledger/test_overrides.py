"""What a `redo` asks for, as a record and as a row's text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cutoutd.config.errors import UsageError
from cutoutd.config.fixes import Fixes
from cutoutd.daemon.ledger.overrides import NO_OVERRIDES, Corrections, Overrides

ALL: dict[str, Any] = {
    "deliverable": "web",
    "output": {"format": "webp"},
    "matte": {"edge": "crisp"},
    "fixes": {"keep": ["5%,6%"], "remove": ["7,8"]},
    "mask": "0f" * 16,
    "forget_points": True,
}


@pytest.mark.parametrize("name", ALL)
def test_a_rows_text_holds_what_is_set_and_gives_it_back(name: str) -> None:
    one = Overrides.of({name: ALL[name]})
    assert json.loads(one.to_json()) == {name: ALL[name]}
    assert Overrides.from_json(one.to_json()) == one


def test_all_of_it_comes_back() -> None:
    one = Overrides(
        "web", {"format": "webp"}, {"edge": "crisp"}, Fixes(("5%,6%",), ("7,8",)), "0f" * 16, True
    )
    assert one.told() == ALL
    assert Overrides.from_json(one.to_json()) == one


def test_nothing_is_an_empty_text() -> None:
    assert NO_OVERRIDES.to_json() == ""
    assert Overrides.from_json("") == Overrides.from_json("{}") == NO_OVERRIDES


@pytest.mark.parametrize("before", [Corrections(Fixes(("1%,1%",))), Corrections(mask="0e" * 16)])
def test_what_a_photo_was_made_with_counts_until_something_takes_its_place(before: Corrections) -> None:
    others = Fixes((), ("2%,2%",))
    assert NO_OVERRIDES.with_corrections(before).corrections == before
    web = Overrides("web").with_corrections(before)
    assert (web.deliverable, web.corrections) == ("web", before)
    for one in (Overrides(fixes=others), Overrides(mask="0f" * 16), Overrides(forget_points=True)):
        assert one.with_corrections(before) is one


@pytest.mark.parametrize(
    ("told", "words"),
    [({"fixes": {"keep": ["nowhere"]}}, "is no point"), ({"mask": "../../etc/passwd"}, "no name of ours")],
)
def test_what_nobody_could_mean_is_named(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Overrides.of(told)


@pytest.mark.parametrize("text", ["not JSON", "[1]", '"text"', '{"fixes": 3}', '{"output": 7}'])
def test_a_row_that_says_something_else_is_a_mistake_and_no_nothing(text: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Overrides.from_json(text)
