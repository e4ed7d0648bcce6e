"""A JPEG 2000 whose container names its colours comes in these colours."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.support.boxes import box
from tests.support.format_cases import picture, saved
from tests.support.profiles import inks_icc

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import icc, jp2
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)


def named(data: bytes, way: int, content: bytes) -> bytes:
    """The same file with another box about its colours."""
    head, colr = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    length, old = (int.from_bytes(data[at : at + 4], "big") for at in (head, colr))
    new = box(b"colr", bytes((way, 0, 0)) + content)
    header = data[head + 8 : colr] + new + data[colr + old : head + length]
    return data[:head] + box(b"jp2h", header) + data[head + length :]


def small() -> Image.Image:
    return picture().resize((150, 100))


def opened(data: bytes) -> Photo:
    return decode(data, read_header(data, "photo.jp2", LIMITS))


def lossless(image: Image.Image) -> bytes:
    return saved("JPEG2000", image, irreversible=False, no_jp2=False)


@pytest.mark.parametrize("way", [2, 3])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_counts_as_in_every_other_format(way: int, mode: str) -> None:
    profile = icc.adobe_rgb_icc()
    seen = opened(named(lossless(small().convert(mode)), way, profile)).rgb
    assert (seen == opened(saved("PNG", small(), icc_profile=profile)).rgb).all()
    assert np.abs(seen.astype(int) - np.asarray(small())).mean() > 3


def test_four_inks_are_no_transparency() -> None:
    profile = inks_icc()
    inks = small().convert("CMYK")
    data = named(lossless(Image.frombytes("RGBA", inks.size, inks.tobytes())), 2, profile)
    assert not read_header(data, "photo.jp2", LIMITS).has_alpha
    photo = opened(data)
    assert photo.alpha is None
    assert (photo.rgb == opened(saved("TIFF", inks, icc_profile=profile)).rgb).all()


def test_wide_colours_by_number() -> None:
    romm = icc.calibrated_icc(
        icc.Chromaticities((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), 1.8
    )
    steps = ImageCms.profileToProfile(
        small(), ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(romm))
    )
    assert steps is not None
    seen = opened(named(lossless(steps), 1, struct.pack(">I", 21))).rgb
    assert np.abs(seen.astype(int) - np.asarray(small())).mean() < 2


@pytest.mark.parametrize("number", [1, 3, 14, 19, 20, 99])
def test_colours_that_are_not_read_are_refused_and_not_taken_for_others(number: int) -> None:
    with pytest.raises(PhotoError, match="stored in a way that cutoutd does not read") as raised:
        opened(named(lossless(small()), 1, struct.pack(">I", number)))
    assert raised.value.reason is Reason.UNREADABLE


@pytest.mark.parametrize("content", [icc.adobe_rgb_icc()[:40], b"x" * 400])
def test_a_damaged_box_costs_no_photo(content: bytes) -> None:
    seen = opened(named(lossless(small()), 2, content)).rgb
    assert (seen == np.asarray(small())).all()


def test_a_bare_codestream_names_nothing() -> None:
    data = saved("JPEG2000", small(), irreversible=False, no_jp2=True)
    assert jp2.colours(data) == jp2.Colours()
    assert (opened(data).rgb == np.asarray(small())).all()
