"""What `refine` promises whatever the engine: shapes, types, exact colours where nothing is mixed."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from cutoutd.models.matte import refine


def disc(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    return np.clip((0.3 - distance) * 20 + 0.5, 0, 1).astype(np.float32)


@pytest.mark.parametrize("engine", ["plain", "guided"])
@pytest.mark.parametrize("size", [(96, 96), (37, 61), (320, 320), (700, 900)])
def test_opaque_pixels_are_the_photos_and_transparent_ones_are_black(engine, size):
    photo = data.astronaut()[:, :400]
    alpha, colour = refine(disc(*size), photo, engine=engine)
    assert alpha.dtype == colour.dtype == np.uint8
    assert alpha.shape == photo.shape[:2]
    assert colour.shape == photo.shape
    assert (colour[alpha == 255] == photo[alpha == 255]).all()
    assert not colour[alpha == 0].any()
    assert (alpha == 255).mean() > 0.1
    assert (alpha == 0).mean() > 0.3
