"""Islands, holes and bodies, on shapes small enough to count by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.models.matting.controls import MatteControls, components, edit_shapes, finish_edges, grow

ndimage: Any = pytest.importorskip("scipy.ndimage", reason="scipy is the independent judge here")


def squares(*boxes: tuple[int, int, int, int], value: float = 1.0, side: int = 100) -> NDArray[np.float32]:
    alpha = np.zeros((side, side), np.float32)
    for top, left, bottom, right in boxes:
        alpha[top:bottom, left:right] = value
    return alpha


BIG, MIDDLE, SMALL = (10, 10, 50, 50), (60, 60, 80, 80), (90, 10, 95, 15)


@pytest.mark.parametrize(
    ("controls", "stays"),
    [
        (MatteControls(), [BIG, MIDDLE, SMALL]),
        (MatteControls(keep="largest"), [BIG]),
        (MatteControls(keep=2), [BIG, MIDDLE]),
        (MatteControls(keep=9), [BIG, MIDDLE, SMALL]),
        (MatteControls(min_island=1.0), [BIG, MIDDLE]),
        (MatteControls(min_island=90.0), [BIG]),
    ],
)
def test_islands_go_by_rank_or_size(controls: MatteControls, stays: list[tuple[int, int, int, int]]) -> None:
    alpha = squares(BIG, MIDDLE, SMALL)
    assert (edit_shapes(alpha, controls) == squares(*stays)).all()


def test_the_faint_rim_of_the_largest_shape_stays() -> None:
    alpha = squares(BIG, SMALL)
    alpha[10:50, 50:53] = 0.1
    kept = edit_shapes(alpha, MatteControls(keep="largest"))
    assert (kept[10:50, 50:53] == np.float32(0.1)).all()
    assert not kept[85:].any()


def test_an_empty_alpha_passes_every_control() -> None:
    controls = MatteControls(keep="largest", fill_holes=True, solidify=1.0, min_island=1.0, grow=3.0)
    assert not edit_shapes(np.zeros((20, 30), np.float32), controls).any()


@pytest.mark.parametrize(("fill", "filled"), [(False, False), (True, True), (5.0, True), (0.5, False)])
def test_holes_are_filled_up_to_a_size(fill: bool | float, filled: bool) -> None:
    alpha = squares(BIG)
    alpha[20:30, 20:30] = 0.0
    result = edit_shapes(alpha, MatteControls(fill_holes=fill))
    assert (result[20:30, 20:30] == (1.0 if filled else 0.0)).all()
    assert not result[60:].any()


def test_a_bay_that_opens_to_the_outside_is_no_hole() -> None:
    alpha = squares(BIG)
    alpha[20:30, 20:50] = 0.0
    assert (edit_shapes(alpha, MatteControls(fill_holes=True)) == alpha).all()


def test_solidify_makes_the_inside_opaque_and_leaves_the_rim() -> None:
    alpha = squares(BIG, value=0.6)
    result = edit_shapes(alpha, MatteControls(solidify=1.0))
    assert (result[20:40, 20:40] == 1.0).all()
    assert (result[10, 10:50] == np.float32(0.6)).all()
    half = edit_shapes(alpha, MatteControls(solidify=0.5))
    assert 0.6 < half[30, 30] < 1.0


@pytest.mark.parametrize("diagonal", [False, True])
def test_components_agree_with_scipy(diagonal: bool) -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        mask = ndimage.gaussian_filter(rng.normal(size=rng.integers(1, 60, 2)), rng.uniform(0.1, 2)) > 0
        ours = components(mask, diagonal=diagonal)
        theirs, count = ndimage.label(mask, np.ones((3, 3)) if diagonal else None)
        assert ours.max(initial=0) == count
        assert len(set(zip(ours[mask].tolist(), theirs[mask].tolist(), strict=True))) == count
        assert not ours[~mask].any()


@pytest.mark.parametrize("radius", [1, 2, 5, 8])
def test_growing_a_point_gives_a_disc(radius: int) -> None:
    point = np.zeros((41, 41), np.uint8)
    point[20, 20] = 255
    y, x = np.mgrid[-20:21, -20:21]
    assert (grow(point, radius) == 255 * (y * y + x * x <= radius * radius)).all()


def test_half_a_pixel_lies_between_two_discs() -> None:
    point = np.zeros((41, 41), np.uint8)
    point[20, 20] = 255
    half = grow(point, 2.5)
    assert half[20, 23] == 128
    assert half[20, 22] == 255


def test_crisp_keeps_the_middle_and_the_ends() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    crisp = finish_edges(ramp, "crisp", 1000)[0].astype(int)
    assert crisp[0] == 0
    assert crisp[255] == 255
    assert abs(crisp[127] - 127) <= 1
    assert (np.diff(crisp) >= 0).all()
