"""Bitmaps whose pixels are numbers: every layout of masks shows the same picture."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.bitmaps_by_hand import LAYOUTS, by_masks, held

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import bitmap
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)
FEW = "4 bits each, with alpha"
HEIGHT, WIDTH = 9, 7
PICTURE: NDArray[np.uint8] = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)


def seen(data: bytes) -> Photo:
    return decode(data, read_header(data, "x.bmp", LIMITS))


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("header", [40, 56, 108, 124])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_masks_show_the_picture(layout: str, header: int, down: bool) -> None:
    masks = LAYOUTS[layout][1]
    wanted = held(PICTURE, masks)
    photo = seen(by_masks(PICTURE, layout, header=header, packing=6 if header == 40 else 3, down=down))
    assert np.abs(photo.rgb.astype(int) - wanted[..., :3]).max() <= 1
    if masks[3]:
        assert photo.alpha is not None
        assert np.abs(photo.alpha.astype(int) - wanted[..., 3]).max() <= 1
    else:
        assert photo.alpha is None


def test_three_masks_behind_a_plain_header_say_nothing_of_alpha() -> None:
    photo = seen(by_masks(PICTURE, "4 bits each", header=40))
    assert photo.alpha is None
    assert np.abs(photo.rgb.astype(int) - held(PICTURE, LAYOUTS["4 bits each"][1])[..., :3]).max() <= 1


def test_what_the_file_says_besides_stays() -> None:
    profile = b"profile of " + bytes(117)
    assert bitmap.profile(bitmap.readable(by_masks(PICTURE, FEW, header=124, profile=profile))) == profile
    assert read_header(by_masks(PICTURE, FEW), "x.bmp", LIMITS).width == WIDTH
    assert seen(by_masks(PICTURE, FEW)).dpi == pytest.approx((76.2, 76.2), abs=0.1)


def test_without_its_pixels_none_are_made() -> None:
    assert len(bitmap.readable(by_masks(PICTURE, FEW), whole=False)) == 14 + 124


def test_what_is_usual_or_beyond_reading_stays_as_it_is() -> None:
    usual = by_masks(PICTURE, "8 bits, as usual")
    assert bitmap.readable(usual) is usual
    scattered = by_masks(PICTURE, FEW).replace(struct.pack("<I", 0xF00), struct.pack("<I", 0xA00))
    assert bitmap.readable(scattered) is scattered


def test_one_that_ends_early_is_incomplete() -> None:
    with pytest.raises(PhotoError, match="incomplete") as refused:
        seen(by_masks(PICTURE, FEW)[:-1])
    assert refused.value.reason is Reason.UNREADABLE
