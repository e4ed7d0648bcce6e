"""The subject on its canvas; what orders look like as a whole is in test_render.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.models.rendering.compose import flattened, placed, placed_mask
from cutoutd.models.rendering.layout import Box, Placement


def disc(side: int, radius: float) -> NDArray[np.uint8]:
    """A soft disc in the middle."""
    y, x = np.ogrid[:side, :side]
    away = radius - np.hypot(y - side / 2 + 0.5, x - side / 2 + 0.5)
    return (np.clip(away / 3 + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)


PHOTO = disc(600, 40)
FRAME, PART = Box(0, 0, 600, 600), Box(250, 230, 370, 350)


@pytest.mark.parametrize(
    "placement",
    [
        pytest.param(Placement((300, 300), FRAME, Box(0, 0, 300, 300)), id="reduced"),
        pytest.param(Placement((200, 150), FRAME, Box(-1400, -1425, 1600, 1575)), id="a part, enlarged"),
        pytest.param(Placement((50, 70), FRAME, Box(-60, -50, 90, 100)), id="a part, much reduced"),
        pytest.param(Placement((400, 300), PART, Box(30, -40, 390, 320)), id="a part of a part"),
        pytest.param(Placement((100, 100), FRAME, Box(60, 60, 360, 360)), id="over the edge"),
        pytest.param(Placement((100, 100), FRAME, Box(200, 0, 400, 200)), id="beyond the edge"),
        pytest.param(Placement((100, 100), FRAME, Box(-250, -250, 350, 350)), id="not scaled"),
    ],
)
def test_the_mask_is_the_alpha_of_the_cutout(placement: Placement) -> None:
    mask = placed_mask(PHOTO, placement)
    _, alpha = placed(np.zeros((600, 600, 3), np.uint8), PHOTO, placement)
    assert mask.shape == alpha.shape == placement.canvas[::-1]
    assert mask.dtype == np.uint8
    # A mask is filtered in eight bits, which cut the filter's overshoot off between its two passes; float numbers
    # do not. That moves a hard edge by a few levels; a shift by half a pixel would move it by more than twenty.
    off = np.abs(mask.astype(int) - alpha)
    assert off.max() <= 8
    assert off.mean() < 0.1


def test_what_lies_beyond_the_canvas_costs_nothing() -> None:
    # A side that no picture can have: scaled as a whole, this photo would be refused by Pillow at once.
    half = 2**31
    placement = Placement((40, 30), FRAME, Box(20 - half, 15 - half, 20 + half, 15 + half))
    assert (placed_mask(PHOTO, placement) == 255).all()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("one_colour", [True, False])
def test_every_alpha_over_a_background_is_the_mean_that_it_says(kind: Any, one_colour: bool) -> None:
    rng, levels = np.random.default_rng(3), np.iinfo(kind).max
    alpha = np.concatenate([np.arange(256), rng.integers(0, 256, 44)]).astype(np.uint8).reshape(20, 15)
    colour = rng.integers(0, levels + 1, (20, 15, 3)).astype(kind)
    behind = rng.integers(0, 256, 3 if one_colour else (20, 15, 3)).astype(np.uint8)
    share = alpha[..., np.newaxis] / 255
    under = np.broadcast_to(behind.astype(kind) * kind(levels // 255), colour.shape)
    over = flattened(colour, alpha, behind)
    exact = colour * share + under * (1 - share)
    assert np.abs(over - exact).max() <= 0.5 + levels * 1e-6  # of single precision
    assert np.array_equal(over[alpha == 0], under[alpha == 0])
    assert np.array_equal(over[alpha == 255], colour[alpha == 255])
