"""Undecided areas are decided, edges stay."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cutoutd.models.networks.haze import DOUBTFUL, SURE, Firmness, clear_haze, firmness, settled

HOW = Firmness(0.6, 3.0)


def test_a_flat_area_goes_to_the_side_it_leans_to() -> None:
    alpha = np.full((40, 60), 0.8, np.float32)
    alpha[:, 30:] = 0.2
    cleared = clear_haze(alpha, HOW)
    for column, level in ((5, 0.8), (55, 0.2)):
        odds = (level / (1 - level) * (1 - HOW.parts) / HOW.parts) ** HOW.gain
        assert cleared[20, column] == pytest.approx(odds / (1 + odds), abs=1e-4)
    assert cleared[20, 5] > 0.9
    assert cleared[20, 55] < 0.02


def test_areas_part_where_they_are_told_to() -> None:
    assert clear_haze(np.full((9, 9), 0.6, np.float32), HOW) == pytest.approx(0.5, abs=1e-6)
    assert clear_haze(np.full((9, 9), 0.5, np.float32), HOW).max() < 0.25


def test_an_edge_keeps_its_softness() -> None:
    ramp = np.clip(np.linspace(-8, 9, 60), 0, 1).astype(np.float32)  # four samples from 0 to 1
    alpha = np.tile(ramp, (30, 1))
    assert np.array_equal(clear_haze(alpha, HOW), alpha)
    assert np.array_equal(settled(alpha), alpha)


def test_the_order_of_flat_values_stays() -> None:
    levels = np.linspace(0, 1, 41, dtype=np.float32)
    cleared = [float(clear_haze(np.full((7, 7), level, np.float32), HOW)[3, 3]) for level in levels]
    assert cleared == sorted(cleared)
    assert cleared[0] == pytest.approx(0, abs=1e-4)
    assert cleared[-1] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 500), (3, 2)])
def test_any_size_passes_and_a_gain_of_one_from_the_middle_changes_nothing(shape: tuple[int, int]) -> None:
    alpha = np.random.default_rng(1).random(shape, np.float32)
    assert settled(alpha).shape == clear_haze(alpha, HOW).shape == shape
    assert clear_haze(alpha, Firmness(0.5, 1.0)) == pytest.approx(alpha, abs=1e-6)


def test_firmness_goes_from_one_end_to_the_other_without_a_step() -> None:
    assert firmness(0.0) == firmness(DOUBTFUL[0]) == DOUBTFUL[1]
    assert firmness(1.0) == firmness(SURE[0]) == pytest.approx(SURE[1])
    found = [firmness(overlap) for overlap in np.linspace(0.5, 1, 200).tolist()]
    for before, after in pairwise(found):
        assert 0 <= before.parts - after.parts < 0.01
        assert 0 <= after.gain - before.gain < 0.2


def test_the_same_haze_is_subject_in_a_sure_answer_and_background_in_a_doubtful_one() -> None:
    sure = np.zeros((120, 120), np.float32)
    sure[10:110, 10:110] = 1.0
    sure[40:60, 40:60] = 0.65
    doubtful = np.full((120, 120), 0.02, np.float32)
    doubtful[10:50, 10:110] = 0.65
    doubtful[60:110, 10:110] = 0.3
    assert settled(sure)[50, 50] > 0.9
    assert settled(doubtful)[30, 50] < 0.1
