"""What points say is carried as far as like colours reach, and no farther than the answer is sure."""

from __future__ import annotations

import numpy as np
import pytest

from cutoutd.models.networks.random_walk import RADIUS, SIDE, carried
from cutoutd.models.planes import Plane


def scene(side: int = 120) -> tuple[Plane, Plane]:
    """The left half is subject; a box of another colour stands in each half, as the rest of its half is answered."""
    alpha = np.zeros((side, side), np.float32)
    alpha[:, : side // 2] = 1.0
    colours = np.full((side, side, 3), 0.3, np.float32)
    colours[:, : side // 2] = 0.6
    for left in (side // 6, side * 2 // 3):
        colours[side // 3 : side * 2 // 3, left : left + side // 6] = (0.9, 0.1, 0.1)
    return alpha, colours


def box(side: int, left: int) -> tuple[slice, slice]:
    """The middle of a box, as far as a point reaches in a large one too."""
    near, middle = side // 32, left + side // 12
    return slice(side // 2 - near, side // 2 + near), slice(middle - near, middle + near)


@pytest.mark.parametrize("side", [120, 2 * SIDE])
def test_each_point_changes_its_own_box_and_nothing_else(side: int) -> None:
    alpha, colours = scene(side)
    removed, kept = side // 6 + side // 12, side * 2 // 3 + side // 12
    left = carried(alpha, colours, [(side // 2, kept)], [(side // 2, removed)])
    assert left.dtype == np.float32
    assert left.shape == alpha.shape
    assert left[box(side, side // 6)].max() < 0.5
    assert left[box(side, side * 2 // 3)].min() > 0.5
    rest = np.ones(alpha.shape, np.bool_)
    grown = side // 30
    for at in (side // 6, side * 2 // 3):
        rest[side // 3 - grown : side * 2 // 3 + grown, at - grown : at + side // 6 + grown] = False
    assert np.abs(left - alpha)[rest].max() < 0.1


def test_without_points_the_answer_is_left_alone() -> None:
    alpha, colours = scene()
    assert carried(alpha, colours, [], []) is alpha


def test_a_point_counts_exactly_where_it_is_whatever_surrounds_it() -> None:
    noise = np.random.default_rng(3).random((60, 80, 3)).astype(np.float32)
    left = carried(np.zeros((60, 80), np.float32), noise, [(0, 79)], [])
    rows, columns = np.ogrid[:60, :80]
    disc = rows**2 + (columns - 79) ** 2 <= RADIUS**2
    assert (left[disc] == 1.0).all()
    assert left[:, :60].max() == 0.0  # nothing else looks like it


def test_points_that_disagree_share_what_lies_between_them() -> None:
    alpha, colours = np.full((40, 100), 0.4, np.float32), np.full((40, 100, 3), 0.5, np.float32)
    alpha[:, 50:] = 0.6
    left = carried(alpha, colours, [(20, 20)], [(20, 80)])
    assert left[20, :35].min() > 0.5
    assert left[20, 65:].max() < 0.5


def test_a_point_on_what_is_so_already_only_holds_on_to_it() -> None:
    """A point on a subject of the background's own colour let the background in."""
    alpha, colours = np.zeros((60, 60), np.float32), np.full((60, 60, 3), 0.5, np.float32)
    alpha[20:40, 20:40] = 1.0
    assert np.array_equal(carried(alpha, colours, [(30, 30)], [(5, 5)]), alpha)
