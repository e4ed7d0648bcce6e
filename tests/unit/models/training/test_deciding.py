"""The deciding network is shown the part in doubt and what was said of it, and changes nothing beyond."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from cutoutd.models.networks.closer import Alpha, as_alpha, as_logit
from cutoutd.models.training import deciding


@dataclass
class Pretended:
    """Answers every pixel with one value and remembers what it was shown."""

    value: float
    shown: dict[str, deciding.Planes] = field(default_factory=dict[str, deciding.Planes])

    def run(self, outputs: list[str], feed: dict[str, deciding.Planes]) -> list[deciding.Planes]:
        assert outputs == ["alpha"]
        self.shown = feed
        return [np.full((1, 1, deciding.SIDE, deciding.SIDE), self.value, np.float32)]


def box(value: float = 0.9) -> Alpha:
    alpha = np.full((320, 320), 0.02, np.float32)
    alpha[100:200, 40:120] = value
    return alpha


PLANES = np.zeros((3, deciding.SIDE, deciding.SIDE), np.float32)


def decide(first: Alpha, looks: list[Alpha], network: Pretended) -> Alpha:
    part = deciding.part_to_decide(first)
    assert part is not None
    return deciding.decided(first, looks, part, PLANES, network)


def test_the_part_is_made_of_whole_samples_around_everything_possible() -> None:
    part = deciding.part_to_decide(box(0.12))
    assert part is not None
    rows, columns = part.pixels(320, 320)
    assert (part.top * 320, part.bottom * 320) == (rows.start, rows.stop)
    assert (part.left * 320, part.right * 320) == (columns.start, columns.stop)
    assert rows.start <= 100 - 12
    assert rows.stop >= 200 + 12
    assert columns.stop < 140
    whole = deciding.part_to_decide(np.full((320, 320), 0.5, np.float32))
    assert whole == (0.0, 1.0, 0.0, 1.0)


def test_nothing_is_decided_where_there_is_nothing() -> None:
    assert deciding.part_to_decide(np.full((320, 320), 0.05, np.float32)) is None


def test_both_answers_are_averaged_as_logits_and_what_lies_beyond_stays() -> None:
    first = box(0.5)
    answer = decide(first, [first, first], Pretended(0.98))
    part = deciding.part_to_decide(first)
    assert part is not None
    inside = np.zeros(first.shape, bool)
    inside[part.pixels(320, 320)] = True
    assert np.allclose(answer[~inside], first[~inside], atol=1e-6)
    expected = as_alpha(as_logit(np.float32([0.98])) * deciding.SHARE)
    assert np.allclose(answer[150, 80], expected, atol=1e-4)
    assert answer.max() < 1, "never taken for a mask drawn by hand"


def test_it_is_shown_what_was_said_and_where_the_looks_differ() -> None:
    network = Pretended(0.5)
    first = box()
    decide(first, [first, first], network)
    assert network.shown["photo"].shape == (1, 3, deciding.SIDE, deciding.SIDE)
    said, differing = network.shown["hints"][0]
    middle = deciding.SIDE // 2
    assert said[middle, middle] == pytest.approx(np.log(9) / 4, abs=1e-4)
    assert said.min() == pytest.approx(np.log(0.02 / 0.98) / 4, abs=1e-4)
    assert not differing.any()
    decide(first, [box(0.98), box(0.6)], network)
    expected = (np.log(49) - np.log(1.5)) / 4
    assert network.shown["hints"][0, 1, middle, middle] == pytest.approx(expected, abs=1e-3)
