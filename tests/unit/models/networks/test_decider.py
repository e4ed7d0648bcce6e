"""The deciding network is shown the part in doubt and what was said of it, and changes nothing beyond."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from cutoutd.models.networks import decider
from cutoutd.models.networks.closer import as_alpha, as_logit
from cutoutd.models.planes import Alpha


@dataclass
class Pretended:
    """Answers every pixel with one value and remembers what it was shown."""

    value: float
    shown: list[dict[str, decider.Planes]] = field(default_factory=list[dict[str, decider.Planes]])

    def __call__(self, feeds: list[dict[str, decider.Planes]]) -> list[Alpha]:
        self.shown = feeds
        return [np.full((decider.SIDE, decider.SIDE), self.value, np.float32) for _ in feeds]


def box(value: float = 0.9) -> Alpha:
    alpha = np.full((320, 320), 0.02, np.float32)
    alpha[100:200, 40:120] = value
    return alpha


PLANES = np.zeros((3, decider.SIDE, decider.SIDE), np.float32)


def decide(first: Alpha, network: Pretended) -> Alpha:
    part = decider.part_to_decide(first)
    assert part is not None
    return decider.decided(first, part, PLANES, network)


def test_the_part_is_made_of_whole_samples_around_everything_possible() -> None:
    part = decider.part_to_decide(box(0.12))
    assert part is not None
    rows, columns = part.pixels(320, 320)
    assert (part.top * 320, part.bottom * 320) == (rows.start, rows.stop)
    assert (part.left * 320, part.right * 320) == (columns.start, columns.stop)
    assert rows.start <= 100 - 12
    assert rows.stop >= 200 + 12
    assert columns.stop < 140
    whole = decider.part_to_decide(np.full((320, 320), 0.5, np.float32))
    assert whole == (0.0, 1.0, 0.0, 1.0)


def test_nothing_is_decided_where_there_is_nothing() -> None:
    assert decider.part_to_decide(np.full((320, 320), 0.05, np.float32)) is None


def test_both_answers_are_averaged_as_logits_and_what_lies_beyond_stays() -> None:
    first = box(0.5)
    answer = decide(first, Pretended(0.98))
    part = decider.part_to_decide(first)
    assert part is not None
    inside = np.zeros(first.shape, bool)
    inside[part.pixels(320, 320)] = True
    assert np.allclose(answer[~inside], first[~inside], atol=1e-6)
    expected = as_alpha(as_logit(np.full(1, 0.98, np.float32)) * decider.SHARE)
    assert np.allclose(answer[150, 80], expected, atol=1e-4)
    assert answer.max() < 1, "never taken for a mask drawn by hand"


def test_asked_once_its_only_answer_counts() -> None:
    first, network = box(0.5), Pretended(0.98)
    part = decider.part_to_decide(first)
    assert part is not None
    answer = decider.decided(first, part, PLANES, network, mirrored=False)
    assert len(network.shown) == 1
    expected = as_alpha(as_logit(np.full(1, 0.98, np.float32)) * decider.SHARE)
    assert np.allclose(answer[150, 80], expected, atol=1e-4)


def test_it_is_shown_the_photo_and_what_was_said_and_both_mirrored() -> None:
    network = Pretended(0.5)
    decide(box(), network)
    plain, mirrored = network.shown
    assert plain["photo"].shape == (1, 3, decider.SIDE, decider.SIDE)
    said = plain["hints"]
    assert said.shape == (1, 1, decider.SIDE, decider.SIDE)
    middle = decider.SIDE // 2
    assert said[0, 0, middle, middle] == pytest.approx(np.log(9) / 4, abs=1e-4)
    assert said.min() == pytest.approx(np.log(0.02 / 0.98) / 4, abs=1e-4)
    assert np.array_equal(mirrored["hints"], said[..., ::-1])
    assert np.array_equal(mirrored["photo"], plain["photo"][..., ::-1])


def test_both_looks_count_as_logits_and_the_mirrored_one_is_turned_back() -> None:
    def one_side(feeds: list[dict[str, decider.Planes]]) -> list[Alpha]:
        sure = np.full((decider.SIDE, decider.SIDE), 0.5, np.float32)
        sure[:, : decider.SIDE // 2] = 0.9
        return [sure, np.ascontiguousarray(sure[:, ::-1])]

    first = box(0.5)
    part = decider.part_to_decide(first)
    assert part is not None
    answer = decider.decided(first, part, PLANES, one_side, share=1.0)
    assert answer[150, 50] == pytest.approx(0.9, abs=1e-3)
    assert answer[150, 110] == pytest.approx(0.5, abs=1e-3)
