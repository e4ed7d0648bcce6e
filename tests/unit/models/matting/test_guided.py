"""When the guided filter follows the photo, and on which scale it is fitted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cutoutd.models.matting import guided
from cutoutd.models.matting.resample import blocks

FINE, SIDE = 960, 320


def _disc(softness: float = 0.5) -> NDArray[np.float32]:
    """A disc at three times the network's scale; `softness` is the width of its edge in pixels."""
    y, x = np.mgrid[:FINE, :FINE]
    away = np.hypot(y - FINE / 2, x - FINE / 2) - FINE / 4
    return np.clip(0.5 - away / softness, 0, 1).astype(np.float32)


def _averaged(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    return blocks(fine[None], FINE // SIDE)[0]


def _by_threshold(fine: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    hard = Image.fromarray((_averaged((fine > 0.5).astype(np.float32)) * 255).astype(np.uint8))
    return np.asarray(hard.filter(ImageFilter.GaussianBlur(sigma)), np.float32) / np.float32(255)


def _trusted(alpha: NDArray[np.float32], enlargement: float = 2.5) -> float:
    edge = (alpha > 0.02) & (alpha < 0.98)
    return float(guided.trust(guided.steepness(alpha), enlargement)[edge].mean())


@pytest.mark.parametrize("sigma", [0.5, 0.7, 1.0, 1.5, 3.0])
def test_the_photo_is_followed_for_whatever_a_threshold_made(sigma: float) -> None:
    assert _trusted(_by_threshold(_disc(), sigma)) > 0.85


def test_a_precise_alpha_is_kept() -> None:
    assert _trusted(_averaged(_disc())) < 0.05


def test_a_precise_alpha_may_be_soft_somewhere() -> None:
    """An object that is in focus on one side only."""
    x = np.linspace(0, 1, FINE, dtype=np.float32)
    fine = (_disc(2.0) * x + _disc(60.0) * (1 - x)).astype(np.float32)
    assert _trusted(_averaged(fine)) < 0.1


def test_haze_of_a_network_is_no_softness_on_purpose() -> None:
    x = np.linspace(0, 1, FINE, dtype=np.float32)
    fine = (_disc(2.0) * x + _disc(60.0) * (1 - x)).astype(np.float32)
    never_sure = _averaged(fine) * np.float32(0.998) + np.float32(0.001)
    assert _trusted(never_sure) > 0.95


def test_nothing_is_followed_at_the_same_size() -> None:
    assert _trusted(_by_threshold(_disc(), 1.0), enlargement=1.0) == 0.0


@pytest.mark.parametrize("alpha", [np.zeros((8, 9), np.float32), np.ones((8, 9), np.float32)])
def test_an_alpha_without_an_edge_is_measured_too(alpha: NDArray[np.float32]) -> None:
    measured = guided.steepness(alpha)
    assert (measured.sharpest, measured.typical) == (0.0, 0.0)
    assert np.isfinite(guided.trust(measured, 3.0)).all()
    assert guided.block(measured, 1.25) >= 1


def test_blocks_grow_with_the_blur_but_leave_a_window() -> None:
    sides = [guided.block(guided.steepness(_by_threshold(_disc(), s)), 2.0) for s in (0.5, 1.0, 2.0, 8.0)]
    assert sides == sorted(sides)
    assert sides[0] < sides[1] < sides[2]
    assert sides[-1] * guided.WINDOW_LEAST <= guided.RADIUS * 2.0


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_a_fit_on_blocks_finds_the_same_mixture(side: int) -> None:
    """Alpha is linear in a mixture of two colours, so it is in its means; 61 and 83 leave partial blocks."""
    rng = np.random.default_rng(1)
    small = rng.random((9, 12), np.float32)
    alpha = np.asarray(Image.fromarray(small).resize((83, 61), Image.Resampling.BILINEAR), np.float32)
    subject, behind = np.array([0.8, 0.3, 0.2], np.float32), np.array([0.1, 0.5, 0.6], np.float32)
    photo = (subject[:, None, None] * alpha + behind[:, None, None] * (1 - alpha)).astype(np.float32)
    planes, fit = guided.fitted(photo, alpha, 1.0, side)
    assert planes.shape == (4, 61, 83)
    assert fit.min() > 0.9
    assert np.abs(guided.apply(planes, photo) - alpha).max() < 0.02


def test_slopes_stay_true_where_all_channels_go_together() -> None:
    """A white helmet before black: what cofactors leave of such windows in single precision is noise."""
    rng = np.random.default_rng(3)
    grey = np.where(np.arange(64)[None, :] < 32, 0.02, 0.95) * np.ones((64, 1))
    guide = np.clip(grey[None] + rng.normal(0, 0.002, (3, 64, 64)), 0, 1).astype(np.float32)
    alpha = np.clip((np.arange(64)[None, :] - 20) / 8.0, 0, 1).astype(np.float32) * np.ones(
        (64, 1), np.float32
    )
    radius = 6
    planes, _ = guided.coefficients(guide, alpha, radius)
    # |slope|² · ε ≤ variance of alpha ≤ 1/4, for each window and so for their mean.
    assert np.sqrt((planes[:3] ** 2).sum(0)).max() <= 0.5 / np.sqrt(guided.EPSILON)
    exact = _window_slopes(guide, alpha, 32, 32, radius)
    assert np.abs(_mean_of_slopes(guide, alpha, 32, 32, radius) - planes[:3, 32, 32]).max() < 0.02 * max(
        1.0, float(np.abs(exact).max())
    )


def _window_slopes(
    guide: NDArray[np.float32], alpha: NDArray[np.float32], y: int, x: int, radius: int
) -> NDArray[np.float64]:
    """One window's regression in double precision: slopes."""
    part = (slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1))
    colours = guide[(slice(None), *part)].reshape(3, -1).astype(np.float64)
    values = alpha[part].ravel().astype(np.float64)
    centred = colours - colours.mean(1, keepdims=True)
    covariance = centred @ centred.T / values.size + guided.EPSILON * np.eye(3)
    return np.asarray(
        np.linalg.solve(covariance, centred @ (values - values.mean()) / values.size), np.float64
    )


def _mean_of_slopes(
    guide: NDArray[np.float32], alpha: NDArray[np.float32], y: int, x: int, radius: int
) -> NDArray[np.float64]:
    """The windows around a sample, averaged with their votes, in double precision."""
    total, votes = np.zeros(3), 0.0
    for row in range(y - radius, y + radius + 1):
        for column in range(x - radius, x + radius + 1):
            slopes = _window_slopes(guide, alpha, row, column, radius)
            part = (slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1))
            values = alpha[part].ravel().astype(np.float64)
            colours = guide[(slice(None), *part)].reshape(3, -1).astype(np.float64)
            covariance = (colours - colours.mean(1, keepdims=True)) @ (values - values.mean()) / values.size
            vote = 1.0 / (max(values.var() - slopes @ covariance, 0.0) + guided.VOTE_FLOOR)
            total, votes = total + slopes * vote, votes + vote
    return total / votes
