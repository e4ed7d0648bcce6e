"""Presets in the raw table."""

from __future__ import annotations

from typing import Any

import pytest

from cutoutd.config.expansion import expand_presets
from cutoutd.config.presets import builtin, packs


@pytest.mark.parametrize("raw", [None, 3, {"inbox": 3}, {"inbox": [3]}, {"inbox": [{"deliver": [3]}]}])
def test_what_it_does_not_know_is_left_to_the_validator(raw: object) -> None:
    assert expand_presets(raw) == raw


def test_an_output_has_its_presets_options_and_what_it_says_itself() -> None:
    name = next(iter(builtin()))
    option, value = next(iter(builtin()[name].options.items()))
    raw: dict[str, Any] = {"inbox": [{"output": {"preset": name, "own": 1}}]}
    output = expand_presets(raw)["inbox"][0]["output"]
    assert (output["preset"], output[option], output["own"]) == (name, value, 1)
    # The table that was given is left alone.
    assert raw == {"inbox": [{"output": {"preset": name, "own": 1}}]}


def test_an_own_preset_is_found_and_an_explicit_option_wins() -> None:
    raw = {
        "preset": {"shop": {"format": "jpeg", "quality": 80}},
        "inbox": [{"deliver": [{"preset": "shop", "quality": 95}]}],
    }
    (one,) = expand_presets(raw)["inbox"][0]["deliver"]
    assert (one["format"], one["quality"]) == ("jpeg", 95)


def test_a_pack_becomes_a_deliverable_for_each_of_its_presets() -> None:
    name, inside = next(iter(packs().items()))
    made = expand_presets({"inbox": [{"deliver": [{"preset": name}]}]})["inbox"][0]["deliver"]
    assert [one["preset"] for one in made] == list(inside)
