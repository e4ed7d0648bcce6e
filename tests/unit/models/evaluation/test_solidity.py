from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import astuple
from numpy.typing import NDArray

from cutoutd.models.evaluation.solidity import mean_solidity, solidity, thinned

Mask = NDArray[np.uint8]


def body() -> Mask:
    """A disc of 240 pixels on 300 x 400: 2 % of the diagonal are 10 pixels."""
    mask = np.zeros((300, 400), np.uint8)
    down, right = np.ogrid[:300, :400]
    mask[(down - 150) ** 2 + (right - 200) ** 2 < 120**2] = 255
    return mask


def perfect(mask: Mask) -> NDArray[np.float32]:
    return (mask / 255).astype(np.float32)


def test_the_truth_itself_has_no_fault() -> None:
    assert astuple(solidity(perfect(body()), body())) == (0.0, 0.0, 0.0, 1.0)


def test_a_veil_over_a_quarter_is_counted_inside() -> None:
    alpha = perfect(body())
    alpha[:150, :200] *= 0.6
    found = solidity(alpha, body())
    assert found.not_solid == pytest.approx(0.25, abs=0.01)
    assert 0.15 < found.half_tones < 0.25  # per pixel of all the subject, and the rim is not counted
    assert found.leftovers == 0


def test_haze_beside_it_is_counted_outside() -> None:
    alpha = perfect(body())
    alpha[:50, :50] = 0.3
    found = solidity(alpha, body())
    area = np.count_nonzero(body())
    assert found.half_tones == found.leftovers == pytest.approx(2500 / area)
    alpha[:50, :50] = 0.95
    found = solidity(alpha, body())
    assert found.half_tones == 0
    assert found.leftovers == pytest.approx(2500 / area)
    assert found.not_solid == 0


def test_soft_edges_are_no_haze() -> None:
    alpha = perfect(body())
    for _ in range(4):
        near = [np.roll(alpha, step, axis) for step in (1, -1) for axis in (0, 1)]
        alpha = np.asarray(np.mean([alpha, *near], 0), np.float32)
    assert solidity(alpha, body()).half_tones == 0


def test_the_frame_is_no_edge() -> None:
    mask = np.zeros((300, 400), np.uint8)
    mask[:, :200] = 255
    alpha = perfect(mask)
    alpha[:40, :150] = 0.5
    assert solidity(alpha, mask).not_solid == pytest.approx(40 * 150 / (300 * 189), rel=0.02)


def test_a_strap_weighs_as_its_length() -> None:
    mask = body()
    mask[140:160, 320:400] = 255
    mask[148:152, 0:80] = 255  # a thin strap
    alpha = perfect(mask)
    alpha[148:152, 0:80] = 0
    found = solidity(alpha, mask)
    assert found.skeleton < 0.75
    assert found.not_solid == 0


def test_grey_of_a_trimap_is_not_judged() -> None:
    mask = body()
    mask[100:200, 60:90] = 128
    alpha = perfect(body())
    alpha[100:200, 60:90] = 0.5
    assert solidity(alpha, mask).half_tones == 0


@pytest.mark.parametrize("mask", [np.zeros((40, 40), np.uint8), np.full((40, 40), 255, np.uint8)])
def test_no_subject_and_nothing_but_subject(mask: Mask) -> None:
    found = solidity(perfect(mask), mask)
    assert np.isnan(found.not_solid) if not mask.any() else found.not_solid == 0
    mean = mean_solidity([found, solidity(perfect(body()), body())])
    assert mean.not_solid == 0
    assert mean.skeleton == 1 or not np.isnan(mean.skeleton)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        solidity(np.zeros((4, 4), np.float32), np.zeros((4, 5), np.uint8))


@pytest.mark.slow
def test_thinning_keeps_lines_whole_and_thin() -> None:
    from skimage import draw, morphology  # which load SciPy

    drawn_as: Any = draw
    morph: Any = morphology
    drawn = np.zeros((120, 120), np.bool_)
    for down in range(5):
        drawn[drawn_as.line(10 + down, 10, 100 + down, 110)] = True
    thin, reference = thinned(drawn), morph.skeletonize(drawn)
    assert (thin & drawn).sum() == thin.sum()
    assert thin.sum() < 1.25 * reference.sum()
    assert thin[:, 20:100].any(0).all()
