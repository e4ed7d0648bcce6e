"""Around the first picture of a WebP film there is nothing, whatever its header says of transparency."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from cutoutd.models.decoding import webp
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header

FILM, ALPHA = 0x02, 0x10


def _picture(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows * 5, columns * 5, rows + columns + 40], axis=-1).astype(np.uint8))


def _part(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _three(*numbers: int) -> bytes:
    return b"".join(struct.pack("<I", number)[:3] for number in numbers)


def _film(
    picture: Image.Image, canvas: tuple[int, int], at: tuple[int, int], flags: int, before: bytes = b""
) -> bytes:
    """A film of two equal frames, each at a place of its canvas."""
    out = io.BytesIO()
    picture.save(out, "WEBP", lossless=True)
    frame = (
        _three(at[0] // 2, at[1] // 2, picture.width - 1, picture.height - 1, 100)
        + b"\0"
        + out.getvalue()[12:]
    )
    parts = _part(b"VP8X", bytes([flags, 0, 0, 0]) + _three(canvas[0] - 1, canvas[1] - 1)) + before
    parts += _part(b"ANIM", b"\0\0\0\xff\0\0") + 2 * _part(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts


def _read(data: bytes) -> Photo:
    return decode(data, read_header(data, "x.webp", PhotoLimits(max_bytes=10**9, max_megapixels=150)))


@pytest.mark.parametrize("flags", [FILM, FILM | ALPHA])
@pytest.mark.parametrize("before", [b"", _part(b"ICCP", b"no profile, of odd length")])
def test_around_a_picture_that_is_smaller_than_its_canvas_there_is_nothing(flags: int, before: bytes) -> None:
    picture = _picture(40, 30)
    got = _read(_film(picture, (60, 50), (8, 10), flags, before))
    assert got.alpha is not None
    assert got.alpha[10:40, 8:48].min() == 255
    assert int(got.alpha.astype(int).sum()) == 255 * 40 * 30
    assert (got.rgb[10:40, 8:48] == np.asarray(picture)).all()


def test_a_picture_as_large_as_its_canvas_is_opaque() -> None:
    assert _read(_film(_picture(40, 30), (40, 30), (0, 0), FILM)).alpha is None


@pytest.mark.parametrize("length", [16, 20, 21, 30, 45, 60, 70])
def test_a_film_that_ends_early_stays_as_it_is(length: int) -> None:
    data = _film(_picture(40, 30), (40, 30), (0, 0), FILM)[:length]
    assert webp.with_what_it_leaves_free(data) == data
