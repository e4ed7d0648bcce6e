"""Resampling, against Pillow's own filter on planes of floats and against what must stay exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.rendering.rescale import rescaled

Box = tuple[float, float, float, float]


def picture(height: int, width: int, kind: Any = np.uint8) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Coloured noise and a soft disc that lies left of the middle."""
    rng = np.random.default_rng(7)
    colour = rng.integers(0, np.iinfo(kind).max, (height, width, 3), kind, endpoint=True)
    y, x = np.ogrid[:height, :width]
    away = 0.3 * height - np.hypot(y - height / 2, x - width / 3)
    return colour, (np.clip(away / 5, 0, 1) * 255).astype(np.uint8)


def by_pillow(
    colour: NDArray[Any], alpha: NDArray[np.uint8], size: tuple[int, int], box: Box
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colour and alpha in 0..255, each plane through Pillow's bicubic filter as a whole."""

    def resized(plane: NDArray[Any]) -> NDArray[np.float64]:
        image = Image.fromarray(plane.astype(np.float32))
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=box), np.float64)

    seen = resized(alpha)
    shades = [resized(colour[..., k] * alpha.astype(np.float32)) for k in range(3)]
    return np.stack(shades, axis=2) / np.maximum(seen, 0.25)[..., np.newaxis], np.clip(seen, 0, 255)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((180, 120), (0, 0, 240, 160)),
        ((33, 19), (0, 0, 240, 160)),
        ((7, 5), (0, 0, 240, 160)),
        ((500, 333), (0, 0, 240, 160)),
        ((90, 140), (30.5, 20.25, 130.75, 159.5)),
    ],
)
def test_it_is_the_bicubic_filter_of_colour_times_alpha(size: tuple[int, int], box: Box, kind: Any) -> None:
    colour, alpha = picture(160, 240, kind)
    got_colour, got_alpha = rescaled(colour, alpha, size, box)
    wanted_colour, wanted_alpha = by_pillow(colour, alpha, size, box)
    assert got_colour.dtype == kind
    assert np.abs(got_alpha - wanted_alpha).max() <= 0.51
    full = np.iinfo(kind).max
    seen = got_alpha > 8
    off = np.abs(got_colour.astype(float) - np.clip(wanted_colour, 0, full))[seen]
    assert off.max() <= 0.51 + full * 1e-5


def test_an_opaque_colour_stays_what_it_is() -> None:
    colour = np.full((400, 300, 3), (255, 1, 128), np.uint8)
    opaque = np.broadcast_to(np.uint8(255), (400, 300))
    for size in ((299, 399), (77, 100), (900, 1200)):
        got_colour, got_alpha = rescaled(colour, opaque, size, (0, 0, 300, 400))
        assert (got_alpha == 255).all()
        assert (got_colour == (255, 1, 128)).all()


def test_what_is_invisible_is_never_seen() -> None:
    colour, alpha = picture(160, 240)
    loud = colour.copy()
    loud[alpha == 0] = 255
    quiet = colour.copy()
    quiet[alpha == 0] = 0
    for size in ((200, 130), (31, 20)):
        one, other = (rescaled(each, alpha, size, (0, 0, 240, 160)) for each in (loud, quiet))
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])


def test_threads_change_no_byte() -> None:
    colour, alpha = picture(320, 480)
    one = rescaled(colour, alpha, (301, 200), (0, 0, 480, 320))
    two = rescaled(colour, alpha, (301, 200), (0, 0, 480, 320), threads=2)
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])


def test_nothing_gives_nothing() -> None:
    colour, alpha = picture(60, 80)
    got_colour, got_alpha = rescaled(colour, np.zeros_like(alpha), (40, 30), (0, 0, 80, 60))
    assert not got_colour.any()
    assert not got_alpha.any()
