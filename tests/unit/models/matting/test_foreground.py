"""The subject's colour at a mixed edge: found again where it is known, and never worse than the photo's own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.models.matting.foreground import spread_colours, unmix

SUBJECT = np.array([0.8, 0.3, 0.1], np.float32)
BEHIND = np.array([0.1, 0.5, 0.9], np.float32)


def scene(height: int = 61, width: int = 83) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A soft disc of one colour before another, mixed as a lens mixes them: (3, h, w) and alpha (h, w)."""
    y, x = np.mgrid[:height, :width]
    alpha = np.clip((20 - np.hypot(y - height / 2, x - width / 2)) / 8, 0, 1).astype(np.float32)
    mixed = alpha * SUBJECT[:, None, None] + (1 - alpha) * BEHIND[:, None, None]
    return mixed.astype(np.float32), alpha


def test_both_colours_are_known_everywhere() -> None:
    guide, alpha = scene()
    spread = spread_colours(guide, alpha)
    assert spread.shape == (6, 61, 83)
    edge = (alpha > 0) & (alpha < 1)
    assert np.abs(spread[:3, edge] - SUBJECT[:, None]).max() < 0.1
    assert np.abs(spread[3:, edge] - BEHIND[:, None]).max() < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 64), (17, 5)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_any_shape_and_any_flat_alpha_gives_numbers(shape: tuple[int, int], value: float) -> None:
    spread = spread_colours(np.full((3, *shape), 0.4, np.float32), np.full(shape, value, np.float32))
    assert spread.shape == (6, *shape)
    assert np.isfinite(spread).all()


def test_unmixing_takes_the_background_out() -> None:
    guide, alpha = scene()
    eight = np.round(alpha * 255).astype(np.uint8)
    spread = spread_colours(guide, alpha)
    colour = unmix(guide * 255, eight, spread * 255)
    edge = (eight > 25) & (eight < 230)
    true = SUBJECT[:, None] * 255
    ours = np.abs(colour[:, edge] - true).mean()
    photos = np.abs(guide[:, edge] * 255 - true).mean()
    assert ours < 0.2 * photos


def test_where_opaque_the_photos_colour_stays() -> None:
    rng = np.random.default_rng(1)
    shades = rng.uniform(0, 255, (3, 8, 8)).astype(np.float32)
    near = rng.uniform(0, 255, (6, 8, 8)).astype(np.float32)
    # One damped step: at full opacity it goes most of the way from the spread colour to the photo's.
    colour = unmix(shades, np.full((8, 8), 255, np.uint8), near)
    assert (np.abs(colour - shades) <= np.abs(near[:3] - shades) * 0.2 + 1).all()


def test_the_photo_is_not_written_to() -> None:
    guide, alpha = scene()
    before = guide.copy()
    near = spread_colours(guide, alpha)
    near_before = near.copy()
    unmix(guide, np.full(alpha.shape, 90, np.uint8), near)
    assert (guide == before).all()
    assert (near == near_before).all()
