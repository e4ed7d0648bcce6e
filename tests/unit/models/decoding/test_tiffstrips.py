"""Damage in a TIFF's strips of which libtiff says nothing: wrong sums, wrong lengths, rows that were never written."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.support.damage import overwritten
from tests.support.format_cases import tiff

from cutoutd.config.errors import PhotoError
from cutoutd.models.decoding.tiffstrips import inflate, refuse_damaged, refuse_missing

RNG = np.random.default_rng(7)
PIXELS = RNG.integers(1, 255, (200, 90, 3), np.uint8)


def saved(compression: str | None) -> bytes:
    made = io.BytesIO()
    Image.fromarray(PIXELS).save(made, "TIFF", compression=compression)
    return made.getvalue()


def page_of(data: bytes) -> Any:
    return tifffile.TiffFile(io.BytesIO(data)).pages[0]


def refused(data: bytes) -> bool:
    try:
        refuse_damaged(data, page_of(data))
    except PhotoError:
        return True
    return False


@pytest.mark.parametrize("compression", [None, "tiff_adobe_deflate", "packbits", "jpeg", "tiff_lzw"])
def test_a_sound_file_is_sound(compression: str | None) -> None:
    assert not refused(saved(compression))


def test_the_sum_of_a_deflated_strip_is_compared() -> None:
    data = bytearray(saved("tiff_adobe_deflate"))
    page = page_of(bytes(data))
    data[page.dataoffsets[0] + page.databytecounts[0] - 1] ^= 1  # the last byte of its sum
    assert refused(bytes(data))


def test_packbits_of_another_length_are_damaged() -> None:
    data = bytearray(saved("packbits"))
    page = page_of(bytes(data))
    data[page.dataoffsets[0]] = (data[page.dataoffsets[0]] + 1) % 128
    assert refused(bytes(data))


def test_rows_that_were_never_written_are_seen() -> None:
    sound = tiff()
    assert not refused(sound)
    assert refused(overwritten(sound, size=20_000))


def test_a_strip_of_jpeg_that_is_cut_is_damaged() -> None:
    data = bytearray(saved("jpeg"))
    page = page_of(bytes(data))
    at, size = page.dataoffsets[0], page.databytecounts[0]
    data[at + size // 3 : at + size] = bytes(size - size // 3)
    assert refused(bytes(data))


@pytest.mark.slow
def test_no_more_is_inflated_than_was_asked_for() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    assert sum(map(len, inflate(bomb, 3_000_000))) <= 3_000_000 + (1 << 20)
    assert b"".join(inflate(zlib.compress(b"a strip"), 100)) == b"a strip"


def test_a_cut_strip_is_for_the_reader_to_judge_and_a_wrong_sum_is_not() -> None:
    packed = zlib.compress(b"a strip of a photo" * 100)
    assert b"".join(inflate(packed[:-4], 10_000)) == b"a strip of a photo" * 100
    with pytest.raises(PhotoError):
        list(inflate(packed[:-1] + bytes((packed[-1] ^ 1,)), 10_000))


@pytest.mark.parametrize(("cut", "sound"), [(0, True), (100, False)])
def test_an_uncompressed_strip_has_room_before_the_next(cut: int, sound: bool) -> None:
    """A copy that lost a part of it has all that follows too early, where the list was made for that."""
    data = bytearray(tiff(PIXELS, photometric="rgb", rowsperstrip=20))
    offsets = page_of(bytes(data)).tags["StripOffsets"]
    at = offsets.valueoffset + 4 * 5
    struct.pack_into("<I", data, at, struct.unpack_from("<I", data, at)[0] - cut)
    if sound:
        refuse_missing(page_of(bytes(data)))
    else:
        with pytest.raises(PhotoError, match="not in the file"):
            refuse_missing(page_of(bytes(data)))
