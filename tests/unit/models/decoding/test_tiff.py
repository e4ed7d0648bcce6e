"""TIFF: the picture that is the photo, and the reader that can read it."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tests.support.format_cases import coffee
from tests.support.format_cases import saved as as_file
from tests.support.tiffs_by_hand import multiplied_pictures

from cutoutd.config.errors import PhotoError
from cutoutd.models.decoding import tiff

PIXELS = np.random.default_rng(3).integers(1, 255, (40, 60, 3), np.uint8)


def saved(*pages: NDArray[Any], **options: Any) -> bytes:
    made = io.BytesIO()
    with tifffile.TiffWriter(made) as writer:
        for page in pages:
            writer.write(page, photometric="rgb", metadata=None, **options)
    return made.getvalue()


def pixels_of(data: bytes) -> NDArray[Any]:
    return np.asarray(tiff.load(data).image)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_usual_file_comes_bit_for_bit(compression: str | None) -> None:
    data = saved(PIXELS, compression=compression)
    facts = tiff.header(data)
    assert (facts.width, facts.height, facts.bits) == (60, 40, 8)
    assert np.array_equal(pixels_of(data), PIXELS)


def test_a_thumbnail_that_comes_first_is_not_the_photo() -> None:
    made = io.BytesIO()
    with tifffile.TiffWriter(made) as writer:
        writer.write(PIXELS[:8, :8].copy(), photometric="rgb", metadata=None, subfiletype=1)
        writer.write(PIXELS, photometric="rgb", metadata=None)
    data = made.getvalue()
    assert (tiff.header(data).width, tiff.header(data).height) == (60, 40)
    assert np.array_equal(pixels_of(data), PIXELS)
    assert tiff.load(data).notes == ()


def test_of_several_photos_the_first_is_taken_and_that_is_said() -> None:
    data = saved(PIXELS, PIXELS[::-1].copy(), PIXELS[:, ::-1].copy())
    assert np.array_equal(pixels_of(data), PIXELS)
    assert tiff.load(data).notes == ("The file holds 3 pictures of this size: the first was taken.",)


def test_planes_that_pillow_cannot_hold_have_their_own_reader() -> None:
    deep = PIXELS.astype(np.uint16) * 257
    data = saved(np.moveaxis(deep, 2, 0).copy(), planarconfig="separate")
    facts = tiff.header(data)
    assert (facts.width, facts.height, facts.bits) == (60, 40, 16)
    assert np.array_equal(pixels_of(data), PIXELS)


def test_a_damaged_strip_is_no_photo() -> None:
    data = bytearray(saved(PIXELS, compression="zlib"))
    page: Any = tifffile.TiffFile(io.BytesIO(bytes(data))).pages[0]
    data[page.dataoffsets[0] + page.databytecounts[0] - 1] ^= 1
    with pytest.raises((PhotoError, OSError)):
        tiff.load(bytes(data))


def test_a_compression_that_nothing_here_reads_is_named() -> None:
    data = bytearray(saved(PIXELS))
    page: Any = tifffile.TiffFile(io.BytesIO(bytes(data))).pages[0]
    tag = page.tags["Compression"]
    data[tag.valueoffset : tag.valueoffset + 2] = (34712 + 1).to_bytes(2, "little")
    with pytest.raises(PhotoError):
        tiff.load(bytes(data))


@pytest.mark.parametrize(
    ("compression", "kind", "options"),
    [(50001, "WEBP", {"lossless": True, "exact": True}), (33005, "JPEG2000", {"no_jp2": True})],
)
def test_strips_that_are_pictures_are_divided_by_the_alpha_that_they_are_multiplied_by(
    compression: int, kind: str, options: dict[str, Any]
) -> None:
    data = multiplied_pictures(compression, lambda image: as_file(kind, image, **options))
    opened = tiff.load(data)
    assert opened.alpha is not None
    assert opened.alpha.getextrema() == (128, 128)
    assert np.abs(pixels_of(data).astype(int) - coffee()).max() <= 2
