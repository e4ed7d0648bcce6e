"""Undecided areas are decided, edges stay."""

from __future__ import annotations

import numpy as np
import pytest

from cutoutd.models.networks.haze import PIVOT, clear_haze


def test_a_flat_area_goes_to_the_side_it_leans_to() -> None:
    alpha = np.full((40, 60), 0.8, np.float32)
    alpha[:, 30:] = 0.2
    cleared = clear_haze(alpha, 3.0)
    for column, level in ((5, 0.8), (55, 0.2)):
        odds = (level / (1 - level) * (1 - PIVOT) / PIVOT) ** 3
        assert cleared[20, column] == pytest.approx(odds / (1 + odds), abs=1e-4)
    assert cleared[20, 5] > 0.9
    assert cleared[20, 55] < 0.02


def test_areas_part_where_they_are_subject_as_often_as_not() -> None:
    assert clear_haze(np.full((9, 9), PIVOT, np.float32), 4.0) == pytest.approx(0.5, abs=1e-6)
    assert clear_haze(np.full((9, 9), 0.5, np.float32), 4.0).max() < 0.25


def test_an_edge_keeps_its_softness() -> None:
    ramp = np.clip(np.linspace(-8, 9, 60), 0, 1).astype(np.float32)  # four samples from 0 to 1
    alpha = np.tile(ramp, (30, 1))
    assert np.array_equal(clear_haze(alpha, 3.0), alpha)


def test_the_order_of_flat_values_stays() -> None:
    levels = np.linspace(0, 1, 41, dtype=np.float32)
    cleared = [float(clear_haze(np.full((7, 7), level, np.float32), 3.0)[3, 3]) for level in levels]
    assert cleared == sorted(cleared)
    assert cleared[0] == pytest.approx(0, abs=1e-4)
    assert cleared[-1] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 500), (3, 2)])
def test_any_size_passes_and_a_gain_of_one_changes_nothing(shape: tuple[int, int]) -> None:
    alpha = np.random.default_rng(1).random(shape, np.float32)
    assert clear_haze(alpha, 3.0).shape == shape
    assert np.array_equal(clear_haze(alpha, 1.0), alpha)
