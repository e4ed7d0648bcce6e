"""Full-size pixels in bands: the same whole or in parts, for any number of threads, flat tiles copied untouched."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.photos import pixels

from cutoutd.models.matting.controls import MatteControls
from cutoutd.models.matting.fullsize import TILE, FullSize
from cutoutd.models.matting.matte import prepare

pytestmark = pytest.mark.slow

# More than one tile each way, a band between two others, and sides that are no multiple of a tile.
PHOTO = np.ascontiguousarray(np.tile(pixels("astronaut"), (2, 2, 1))[: 2 * TILE + 37, : TILE + 11])


def disc(side: int = 160) -> NDArray[np.float32]:
    y, x = np.mgrid[:side, :side] / side
    return np.clip((0.3 - np.hypot(y - 0.5, x - 0.5)) * 20 + 0.5, 0, 1).astype(np.float32)


@functools.cache
def full(**controls: object) -> FullSize:
    """What is ready to be drawn; making it takes longer than drawing, and drawing leaves it as it is."""
    return prepare(disc(), PHOTO, controls=MatteControls(**controls))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "controls",
    [
        {},
        {"edge": "soft"},
        {"grow": 3.0},
        *(pytest.param(one, marks=pytest.mark.thorough) for one in ({"edge": "crisp"}, {"grow": -3.0})),
    ],
)
def test_bands_together_are_the_whole(controls: dict[str, object]) -> None:
    one = full(**controls)
    alpha, colour = one.whole()
    assert alpha.shape == one.shape == PHOTO.shape[:2]
    rows: list[int] = []
    for number, (top, bottom) in enumerate(one.bands()):
        rows += range(top, bottom)
        pixels = one.band(number)
        assert (pixels.rgba == np.dstack([colour[top:bottom], alpha[top:bottom]])).all()
        assert pixels.alpha_sum == int(alpha[top:bottom].sum(dtype=np.int64))
    assert rows == list(range(PHOTO.shape[0]))


@pytest.mark.parametrize("controls", [{}, {"edge": "soft"}, {"grow": 2.0}])
def test_between_edges_several_tiles_apart_the_photo_stays(controls: dict[str, object]) -> None:
    photo = np.ascontiguousarray(np.tile(pixels("astronaut"), (1, 4, 1))[:300, : 7 * TILE + 19])
    alpha = np.zeros((60, 400), np.float32)
    alpha[:30, 60:330], alpha[30:, 380:] = 1, 1
    found, colour = prepare(alpha, photo, engine="plain", controls=MatteControls(**controls)).whole()  # type: ignore[arg-type]
    across = photo.shape[1] / 400
    inside, beyond = slice(int(75 * across), int(315 * across)), slice(int(345 * across), int(365 * across))
    assert (found[:130, inside] == 255).all()
    assert (colour[:130, inside] == photo[:130, inside]).all()
    assert not found[:, beyond].any()
    assert not found[170:, : int(350 * across)].any()
    assert (found[170:, int(395 * across) :] == 255).all()


def test_threads_change_no_byte() -> None:
    alone, together = full().whole(1), full().whole(4)
    assert (alone[0] == together[0]).all()
    assert (alone[1] == together[1]).all()


def test_opaque_is_the_photo_and_transparent_is_nothing() -> None:
    alpha, colour = full().whole()
    assert (alpha == 255).mean() > 0.1
    assert (alpha == 0).mean() > 0.3
    assert ((alpha > 0) & (alpha < 255)).any()
    assert (colour[alpha == 255] == PHOTO[alpha == 255]).all()
    assert not colour[alpha == 0].any()


def test_it_can_be_written_into_a_part_of_something_larger() -> None:
    height, width = PHOTO.shape[:2]
    alpha = np.zeros((height + 20, width + 30), np.uint8)
    colour = np.zeros((*alpha.shape, 3), np.uint8)
    full().write(alpha[5 : 5 + height, 7 : 7 + width], colour[5 : 5 + height, 7 : 7 + width], threads=2)
    expected_alpha, expected_colour = full().whole()
    assert (alpha[5 : 5 + height, 7 : 7 + width] == expected_alpha).all()
    assert (colour[5 : 5 + height, 7 : 7 + width] == expected_colour).all()
    alpha[5 : 5 + height, 7 : 7 + width] = 0
    assert not alpha.any()


def test_growing_and_shrinking_move_the_edge_by_what_was_asked() -> None:
    areas = [(full(**one).whole()[0] > 127).sum() for one in ({"grow": -4.0}, {}, {"grow": 4.0})]
    assert areas[0] < areas[1] < areas[2]
