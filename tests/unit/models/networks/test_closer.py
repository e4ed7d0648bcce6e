from __future__ import annotations

import numpy as np
import pytest

from cutoutd.models.networks.closer import Part, joined, worth_a_look


def with_box(top: int, bottom: int, left: int, right: int, value: float = 1.0) -> np.ndarray:
    alpha = np.zeros((320, 320), np.float32)
    alpha[top:bottom, left:right] = value
    return alpha


def test_the_part_holds_the_subject_and_a_margin() -> None:
    part = worth_a_look(with_box(100, 200, 40, 120))
    assert part is not None
    rows, columns = part.pixels(320, 320)
    assert rows.start < 100 - 10
    assert rows.stop > 200 + 10
    assert columns.start < 40 - 8
    assert columns.stop > 120 + 8
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < 320 * 320 / 4


def test_what_may_be_subject_belongs_to_the_part_and_what_hardly_may_does_not() -> None:
    doubtful = np.maximum(with_box(100, 200, 40, 120), with_box(210, 240, 40, 120, 0.35))
    hardly = np.maximum(with_box(100, 200, 40, 120), with_box(210, 300, 40, 300, 0.25))
    wide, narrow = worth_a_look(doubtful), worth_a_look(hardly)
    assert wide is not None
    assert narrow == worth_a_look(with_box(100, 200, 40, 120))
    assert wide.bottom > 240 / 320


@pytest.mark.parametrize(
    "alpha", [with_box(0, 0, 0, 0), with_box(5, 9, 5, 9), with_box(10, 310, 10, 310), np.ones((320, 320))]
)
def test_nothing_and_nearly_everything_are_not_worth_a_look(alpha: np.ndarray) -> None:
    assert worth_a_look(alpha.astype(np.float32)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (37, 5), (3000, 2000)])
def test_a_part_of_any_photo_has_pixels(size: tuple[int, int]) -> None:
    rows, columns = Part(0.41, 0.43, 0.9, 1.0).pixels(*size)
    assert np.zeros(size)[rows, columns].size >= 1


def test_looks_that_agree_stay_what_they_are() -> None:
    value = np.linspace(0, 1, 320 * 320, dtype=np.float32).reshape(320, 320)
    assert np.abs(joined([value, value]) - value).max() < 0.005


def test_an_answer_is_never_taken_for_a_mask_drawn_by_hand() -> None:
    answer = joined([with_box(0, 50, 0, 50)] * 2)
    assert 0 < answer.min() < 0.002
    assert 0.998 < answer.max() < 1


def test_certainty_outweighs_doubt() -> None:
    sure, unsure = np.full((320, 320), 0.99, np.float32), np.full((320, 320), 0.4, np.float32)
    assert joined([sure, unsure]).min() > 0.85


def test_the_nearby_look_counts_in_its_part_alone() -> None:
    far = np.full((320, 320), 0.5, np.float32)
    part = Part(0.25, 0.5, 0.25, 0.75)
    window = part.pixels(320, 320)
    answer = joined([far, far], np.ones((320, 320), np.float32), part)
    assert answer[window].min() > 0.85
    answer[window] = 0.5
    assert np.abs(answer - 0.5).max() < 1e-6


def test_the_nearby_look_lies_where_it_was_taken() -> None:
    far = with_box(80, 160, 80, 240)
    part = Part(0.2, 0.6, 0.2, 0.8)
    rows, columns = part.pixels(320, 320)
    # The same picture at another size.
    shown = np.kron(far[rows, columns][::2, ::3], np.ones((4, 4), np.float32))
    answer = joined([far, far], shown, part)
    assert np.abs((answer > 0.5) ^ (far > 0.5)).mean() < 0.005
