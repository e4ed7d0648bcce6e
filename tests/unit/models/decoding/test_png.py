"""PNG chunks: what the picture needs stays, what is broken beside it goes with a note."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from cutoutd.config.errors import PhotoError
from cutoutd.models.decoding.png import SIGNATURE, take_apart

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(kind: bytes, content: bytes, *, sound: bool = True) -> bytes:
    total = zlib.crc32(kind + content) ^ (0 if sound else 1)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", total)


def png(*extra: bytes, mode: str = "RGB") -> bytes:
    """A small picture with further chunks behind its header."""
    made = io.BytesIO()
    Image.new(mode, (5, 4), 40).save(made, "PNG")
    data = made.getvalue()
    return data[:33] + b"".join(extra) + data[33:]


def test_the_picture_alone_decodes_to_the_same_pixels() -> None:
    data = png(chunk(b"tEXt", b"Author\0somebody"), chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)))
    found = take_apart(data)
    assert b"somebody" not in found.picture
    assert b"pHYs" not in found.picture
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(found.picture))), np.asarray(Image.open(io.BytesIO(data)))
    )
    across, down = found.dpi or (0.0, 0.0)
    assert (round(across), round(down), found.notes) == (300, 300, ())


def test_without_the_pixels_the_header_is_left() -> None:
    found = take_apart(png(), whole=False)
    assert b"IDAT" not in found.picture
    assert found.picture.startswith(SIGNATURE)
    assert Image.open(io.BytesIO(found.picture)).size == (5, 4)


@pytest.mark.parametrize(
    ("kind", "content", "what"),
    [
        (b"pHYs", struct.pack(">IIB", 1, 1, 1), "side information"),
        (b"iCCP", b"p\0\0" + zlib.compress(SRGB), "colour profile"),
        (b"eXIf", b"MM\0*", "camera data"),
        (b"gAMA", struct.pack(">I", 45455), "tone curve"),
        (b"tEXt", b"a\0b", "side information"),
    ],
)
def test_a_broken_fact_is_left_out_and_said(kind: bytes, content: bytes, what: str) -> None:
    found = take_apart(png(chunk(kind, content, sound=False)))
    assert found.notes == (f"The file's {what} ({kind.decode()}) is damaged: it was ignored.",)
    assert (found.icc, found.exif, found.dpi) == (None, None, None)


def test_a_fact_of_another_length_is_broken_too() -> None:
    assert len(take_apart(png(chunk(b"gAMA", b"\0\0"))).notes) == 1


def test_colours_are_believed_in_the_order_of_browsers() -> None:
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB))
    points = chunk(b"cICP", bytes((12, 13, 0, 1)))
    assert take_apart(png(points, profile)).code_points == (12, 13)
    assert take_apart(png(profile)).icc == SRGB
    assert take_apart(png(profile, chunk(b"sRGB", b"\0"))).icc == SRGB
    assert take_apart(png(chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 100_000)))).icc is None


@pytest.mark.parametrize("points", [(2, 2), (1, 2), (2, 13), (0, 0), (12, 3)])
def test_code_points_that_leave_something_open_hide_no_profile(points: tuple[int, int]) -> None:
    told = chunk(b"cICP", bytes((*points, 0, 1)))
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB))
    linear = chunk(b"gAMA", struct.pack(">I", 100_000))
    assert take_apart(png(told, profile)).icc == SRGB
    assert take_apart(png(told, linear)).icc == take_apart(png(linear)).icc is not None
    alone = take_apart(png(told))
    assert (alone.icc is not None) == (points[0] == 12)
    assert alone.code_points == points


def test_a_tone_curve_near_that_of_srgb_is_srgb_and_another_is_a_profile() -> None:
    assert take_apart(png(chunk(b"gAMA", struct.pack(">I", 45455)))).icc is None
    linear = take_apart(png(chunk(b"gAMA", struct.pack(">I", 100_000)))).icc
    assert linear is not None
    ImageCms.getOpenProfile(io.BytesIO(linear))
    assert take_apart(png(chunk(b"gAMA", struct.pack(">I", 1)))).notes, "no screen has that"


def test_a_profile_that_does_not_unpack_is_ignored_and_said() -> None:
    found = take_apart(png(chunk(b"iCCP", b"p\0\0not deflated")))
    assert (found.icc, len(found.notes)) == (None, 1)


@pytest.mark.parametrize("kind", [b"CgBI", b"ABCD"])
def test_what_changes_the_pixels_and_is_not_known_is_refused(kind: bytes) -> None:
    with pytest.raises(PhotoError):
        take_apart(png(chunk(kind, b"\0\0\0\0")))


def test_a_damaged_palette_is_no_picture_and_damaged_transparency_is_none() -> None:
    with pytest.raises(PhotoError, match="PLTE"):
        take_apart(png(chunk(b"PLTE", bytes(6), sound=False)))
    found = take_apart(png(chunk(b"tRNS", bytes(6), sound=False)))
    assert b"tRNS" not in found.picture
    assert "transparency" in found.notes[0]


def test_without_a_header_there_is_no_picture() -> None:
    with pytest.raises(PhotoError, match="header"):
        take_apart(SIGNATURE + chunk(b"IDAT", b""))
