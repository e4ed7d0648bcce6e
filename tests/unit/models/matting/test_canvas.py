"""What is painted as RGBA and as planes is the same picture, whatever the photo's memory looks like."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.models.matting.canvas import Canvas, Pixels, Planes, one_number_each

RNG = np.random.default_rng(7)
PHOTO = RNG.integers(1, 256, (40, 50, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (10, 20), np.uint8)
ALPHA[:, :5], ALPHA[:, 5:9] = 255, 0
OWN = np.array((77, 199, 3), np.uint8)


def paint(canvas: Canvas) -> None:
    canvas.opaque(np.s_[2:12, 0:20])
    own = ALPHA == 255
    canvas.mixed(np.s_[10:20, 25:45], ALPHA, own)
    between = (ALPHA[3:7, 8:18] > 0) & ~own[3:7, 8:18]
    canvas.colour(np.s_[13:17, 33:43], OWN[:, None, None] * between.view(np.uint8))


@pytest.mark.parametrize(("top", "bottom"), [(0, 20), (7, 27), (20, 40)])
@pytest.mark.parametrize("photo", [PHOTO, PHOTO[::-1], np.dstack([PHOTO, PHOTO])[:, :, :3]])
def test_rgba_and_planes_show_the_same(photo: NDArray[np.uint8], top: int, bottom: int) -> None:
    pixels = Pixels(photo, top, bottom)
    alpha, colour = np.zeros((bottom - top, 50), np.uint8), np.zeros((bottom - top, 50, 3), np.uint8)
    paint(pixels)
    paint(Planes(photo[top:bottom], alpha, colour))
    assert (pixels.rgba[..., 3] == alpha).all()
    shown = alpha > 0
    assert (pixels.rgba[..., :3][shown] == colour[shown]).all()
    assert not pixels.rgba[~shown].any()
    assert pixels.alpha_sum == int(alpha.sum(dtype=np.int64))
    assert (colour[2:12, 0:20] == photo[top + 2 : top + 12, 0:20]).all()
    assert (colour[13:17, 33:43] == OWN).all(2).any()


@pytest.mark.parametrize(("top", "bottom"), [(0, 39), (5, 6), (0, 40), (39, 40)])
def test_a_pixel_is_a_number_of_its_three_bytes(top: int, bottom: int) -> None:
    found = one_number_each(PHOTO, top, bottom) & 0xFFFFFF
    wide = PHOTO[top:bottom].astype(np.uint32)
    assert (found == wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16).all()
