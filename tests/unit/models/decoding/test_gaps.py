"""Holes of zeros are seen in every format that shows them, and flat pictures are not taken for them."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tests.support.damage import never_written, overwritten
from tests.support.format_cases import bitmap, coffee, jpeg, picture, saved, tiff, with_hole
from tests.support.shared import shared_folder

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header

pytestmark = pytest.mark.slow

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)
CASES = shared_folder("cases", "CUTOUTD_TEST_CASES")


def opened(data: bytes, name: str = "photo") -> Photo:
    return decode(data, read_header(data, name, LIMITS))


def refused(data: bytes, name: str = "photo") -> bool:
    error = None
    try:
        opened(data, name)
    except PhotoError as caught:
        error = caught
    assert error is None or (error.reason, "Copy it again" in error.fix) == (Reason.UNREADABLE, True), error
    return error is not None


# --- JPEG


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}], ids=str)
def test_every_hole_of_zeros_in_a_usual_jpeg_is_seen(options: dict[str, Any]) -> None:
    where = random.Random(5)
    data = jpeg(**options)
    holes = [with_hole(data, bytes, where.random() * 0.9, 4096) for _ in range(25)]
    assert all(refused(hole) for hole in holes)


def test_a_small_hole_of_zeros_is_seen_where_zeros_are_no_data() -> None:
    where = random.Random(6)
    assert all(refused(with_hole(jpeg(), bytes, where.random() * 0.9, 128)) for _ in range(25))


def test_lost_clusters_are_seen_where_zeros_may_be_data() -> None:
    data = jpeg(optimize=True)
    for at in range(8192, len(data) - 8192, 4096):
        assert refused(data[:at] + bytes(4096) + data[at + 4096 :]), at


# --- pictures that are full of zeros, and sound


def studio(ground: str) -> Image.Image:
    whole = Image.new("RGB", (1200, 1000), ground)
    whole.paste(picture(), (300, 500))
    return whole


def letterbox() -> Image.Image:
    whole = Image.new("RGB", (600, 560))
    whole.paste(picture(), (0, 80))
    return whole


def with_black(box: tuple[int, int, int, int]) -> Image.Image:
    image = picture()
    ImageDraw.Draw(image).rectangle(box, fill="black")
    return image


FLAT: dict[str, Image.Image] = {
    "white": Image.new("RGB", (1200, 800), "white"),
    "black": Image.new("RGB", (1200, 800)),
    "a photo on white": studio("white"),
    "a photo on black": studio("black"),
    "black above and below": letterbox(),
    "turned on black": picture().rotate(0.6, expand=True),
    "a black bar": with_black((0, 100, 599, 180)),
    "a black box to the edge": with_black((200, 100, 599, 380)),
}
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"optimize": True}),
    ("JPEG", {"progressive": True}),
    ("WEBP", {}),
    ("WEBP", {"method": 0}),
    ("WEBP", {"lossless": True, "method": 0}),
    ("AVIF", {"speed": 10}),
    ("JPEG2000", {}),
    ("JPEG2000", {"quality_layers": [100, 50, 20], "irreversible": True, "precinct_size": (128, 128)}),
    ("TIFF", {}),
    ("TIFF", {"compression": "packbits"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("BMP", {}),
]


# Of one decoder's further ways two pictures with every change, and all of them weekly.
FURTHER = [WAYS[4], WAYS[5], WAYS[8]]


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        pytest.param(
            *way,
            name,
            marks=pytest.mark.thorough if way in FURTHER and name not in ("black", "turned on black") else (),
        )
        for way in WAYS
        for name in FLAT
    ],
    ids=str,
)
def test_flat_pictures_are_sound(kind: str, options: dict[str, Any], name: str) -> None:
    wanted = np.asarray(FLAT[name]).astype(int)
    assert np.abs(opened(saved(kind, FLAT[name], **options)).rgb - wanted).mean() < 12


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP"])
def test_a_flat_picture_with_a_hole_is_seen_where_the_photo_is(kind: str) -> None:
    assert refused(never_written(saved(kind, studio("white")), 0.63)) == (kind != "WEBP")
    assert refused(never_written(saved(kind, picture().resize((900, 600))), 0.501))


# --- uncompressed rows


def test_a_hole_between_rows_of_a_photo_is_seen() -> None:
    assert refused(overwritten(tiff(), size=20_000))
    assert refused(overwritten(bitmap(40), size=20_000))


def test_a_photo_with_a_black_row_is_sound() -> None:
    pixels = coffee().copy()
    pixels[200:230] = 0
    assert not refused(tiff(pixels))
    pixels[230, :300] = 0  # the black ends inside a row, as it does at a slope
    pixels[199, 300:] = 0
    pixels[198, 400:] = 0
    pixels[231, :150] = 0
    assert not refused(tiff(pixels))


# --- RAW


@pytest.mark.skipif(not CASES.is_dir(), reason="the handed-in files are not on this machine")
def test_a_raw_file_whose_end_was_never_written_is_seen() -> None:
    pytest.importorskip("rawpy", reason="the extra raw is not installed")
    name = "series_1_no_lamp.dng"
    data = Path(CASES / name).read_bytes()
    assert not refused(data, name)
    assert not refused(data + bytes(4096), name)
    assert refused(never_written(data), name)
