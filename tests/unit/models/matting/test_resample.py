"""Windows and their means, against the slow way of writing them down."""

from __future__ import annotations

import numpy as np
import pytest

from cutoutd.models.matting.resample import NARROW_SUMS, box_mean, dilate, onto_grid, reduced, window_sums

SHAPES = [(1, 1), (3, 50), (40, 7), (61, 83)]
RADII = [0, 1, 2, 5, 16, 60]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", RADII)
def test_means_are_those_of_the_pixels_within_the_window(shape: tuple[int, int], radius: int) -> None:
    planes = np.random.default_rng(3).normal(0, 1, (2, *shape)).astype(np.float32)
    means = box_mean(planes, radius)
    for y, x in [(0, 0), (shape[0] // 2, shape[1] // 3), (shape[0] - 1, shape[1] - 1)]:
        window = planes[:, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        assert means[:, y, x] == pytest.approx(window.mean((1, 2)), abs=1e-5)


def test_a_far_bright_area_does_not_disturb_small_differences() -> None:
    """Running sums carry the rounding of everything before them along."""
    row = np.full((1, 4000), 1e-3, np.float32)
    row[:, :3000] = 1000.0
    sums = window_sums(row, 8, 1)
    assert sums[0, 3500] == pytest.approx(17e-3, rel=1e-6)


@pytest.mark.parametrize("radius", RADII)
def test_the_greatest_value_around(radius: int) -> None:
    levels = np.random.default_rng(5).integers(0, 256, (23, 31), np.uint8)
    greatest = dilate(levels, radius)
    for y, x in [(0, 0), (11, 20), (22, 30)]:
        around = levels[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        assert greatest[y, x] == around.max()
    assert np.array_equal(dilate(levels > 200, radius), dilate((levels > 200).astype(np.uint8), radius) > 0)


def test_a_part_of_the_grid_is_cut_from_the_whole() -> None:
    alpha = np.random.default_rng(4).random((30, 40), np.float32)
    whole = onto_grid(alpha, (301, 399), (76, 100), 4)
    part = onto_grid(alpha, (301, 399), (76, 100), 4, np.s_[20:50, 60:100])
    assert part == pytest.approx(whole[20:50, 60:100], abs=1e-6)


@pytest.mark.parametrize("step", [1, 2, 6, 7, NARROW_SUMS, NARROW_SUMS + 1, 150])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_reduced_photo_has_the_means_of_its_blocks_partial_ones_too(step: int, channels: int) -> None:
    photo = np.random.default_rng(6).integers(0, 256, (203, 131, channels), np.uint8)
    photo[100:, :60] = 255  # the largest sums there are
    small = reduced(photo, step)
    assert small.shape == (channels, -(-203 // step), -(-131 // step))
    for y in (0, small.shape[1] // 2, small.shape[1] - 1):
        for x in (0, small.shape[2] // 3, small.shape[2] - 1):
            block = photo[y * step : (y + 1) * step, x * step : (x + 1) * step]
            assert small[:, y, x] == pytest.approx(block.mean((0, 1)) / 255, abs=1e-6)


def test_a_part_of_a_photo_is_reduced_like_the_whole_by_any_number_of_threads() -> None:
    photo = np.random.default_rng(8).integers(0, 256, (400, 300, 3), np.uint8)
    whole = reduced(photo, 5, threads=3)
    assert np.array_equal(whole, reduced(photo, 5))
    assert np.array_equal(whole[:, 10:60, 20:50], reduced(photo[50:300, 100:250], 5))
