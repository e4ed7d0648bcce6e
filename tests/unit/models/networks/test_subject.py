from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.models.networks.subject import (
    CERTAIN,
    OF_BUNDLED,
    OF_OTHERS,
    has_subject,
    is_certain,
    reading_of,
    surest,
)


def answer(level: float = 0.0, side: int = 320) -> NDArray[np.float32]:
    return np.full((side, side), level, np.float32)


@pytest.mark.parametrize("level", [0.0, 0.05, 0.4, 0.6, 0.75, 0.84])
def test_haze_of_any_strength_is_no_subject(level: float) -> None:
    assert not has_subject(answer(level))


def test_a_certain_disc_is_a_subject() -> None:
    alpha = answer()
    yy, xx = np.mgrid[0:320, 0:320]
    alpha[(yy - 160) ** 2 + (xx - 160) ** 2 < 60**2] = 0.999
    assert has_subject(alpha)


def test_a_subject_that_fills_the_frame_is_a_subject() -> None:
    assert has_subject(answer(0.998))


def test_a_subject_of_half_a_per_cent_of_the_photo_is_enough() -> None:
    alpha = answer()
    alpha[100:123, 100:123] = 0.995
    assert has_subject(alpha)


def test_a_few_hot_pixels_are_not() -> None:
    alpha = answer()
    alpha[5:10, 5:10] = 1.0
    assert not has_subject(alpha)


def test_a_bright_spot_in_wide_haze_is_not() -> None:
    alpha = answer(0.5)
    alpha[:20, :20] = 1.0
    assert not has_subject(alpha)


def test_the_surest_pixels_are_a_thousandth_of_all() -> None:
    alpha = answer(0.2)
    alpha.flat[:102] = np.linspace(0.8, 1, 102, dtype=np.float32)
    assert surest(alpha) == pytest.approx(0.8)  # the least of them
    assert is_certain(alpha, 0.79)
    assert not is_certain(alpha, 0.81)
    alpha.flat[0] = 0.1
    assert surest(alpha) == pytest.approx(0.2)
    assert not is_certain(alpha, 0.79)


def test_both_bundled_networks_are_read_alike_and_others_carefully() -> None:
    assert [reading_of(name) for name in ("cutout-s", "cutout-m", "u2netp")] == [
        OF_BUNDLED,
        OF_BUNDLED,
        OF_OTHERS,
    ]


def test_the_limit_belongs_to_the_subject() -> None:
    assert has_subject(answer(float(np.float32(CERTAIN)) + 1e-4))
    assert not has_subject(answer(CERTAIN - 1e-3))


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 500)])
def test_odd_shapes_are_answered(shape: tuple[int, int]) -> None:
    assert not has_subject(np.zeros(shape, np.float32))


def test_the_answer_given_is_left_alone() -> None:
    alpha = answer()
    alpha[50:200, 50:200] = 0.999
    before = alpha.copy()
    has_subject(alpha)
    assert np.array_equal(alpha, before)
