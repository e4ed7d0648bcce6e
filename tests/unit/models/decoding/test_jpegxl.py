"""JPEG XL: the size from the codestream's head, in a container or bare, and pixels that come back."""

from __future__ import annotations

import io
import itertools
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cutoutd.config.errors import PhotoError
from cutoutd.models.decoding import jpegxl

plugin: Any = pytest.importorskip("pillow_jxl", reason="the decoder for JPEG XL is not installed")


def bare(width: int, height: int) -> bytes:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (200, 60, 40)
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "JXL", lossless=True, use_container=False)
    return made.getvalue()


def contained(stream: bytes, *, parts: int = 1) -> bytes:
    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", len(content) + 8, kind) + content

    head = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    if parts == 1:
        return head + box(b"jxlc", stream)
    cuts = [len(stream) * part // parts for part in range(parts + 1)]
    return head + b"".join(
        box(b"jxlp", struct.pack(">I", number | (1 << 31 if number == parts - 1 else 0)) + stream[start:end])
        for number, (start, end) in enumerate(itertools.pairwise(cuts))
    )


@pytest.mark.parametrize(("width", "height"), [(8, 8), (256, 64), (300, 200), (97, 1031)])
def test_the_size_is_read_from_the_head(width: int, height: int) -> None:
    stream = bare(width, height)
    assert stream.startswith(jpegxl.BARE)
    assert jpegxl.size(stream) == (width, height)
    assert jpegxl.size(contained(stream)) == (width, height)
    assert jpegxl.size(contained(stream, parts=3)) == (width, height)
    facts = jpegxl.header(stream)
    assert (facts.width, facts.height, facts.orientation) == (width, height, 1)


@pytest.mark.parametrize(
    "stream", [b"", b"\xff\x0a", contained(b""), contained(b"no codestream at all"), b"\0" * 40]
)
def test_what_has_no_codestream_is_incomplete(stream: bytes) -> None:
    with pytest.raises(PhotoError):
        jpegxl.size(stream)


def test_pixels_come_back_bit_for_bit_and_a_cut_file_is_damaged() -> None:
    stream = bare(40, 30)
    opened = jpegxl.load(stream)
    pixels = np.asarray(opened.image)
    assert pixels.shape == (30, 40, 3)
    assert pixels[0, 0].tolist() == [200, 60, 40]
    assert opened.alpha is None
    with pytest.raises(PhotoError):
        jpegxl.load(stream[: len(stream) // 2])


# 16 × 8 pixels of RGBA: four rows of (200, 100, 40, 255), four of (50, 25, 10, 128). Their heads say that the colours
# are multiplied by the alpha, and that the fourth channel is black ink.
MULTIPLIED = bytes.fromhex(
    "ff0ac1c10028010810100080004b188b1500d48a8c0cd205440088240982805cd11838464c2976e5b06c03e800"
)
INKS = bytes.fromhex(
    "ff0ac1c12800090810100080004b188b1500d48a8c0cd205440088240982805cd11838464c2976e5b06c03e800"
)


@pytest.mark.parametrize("data", [MULTIPLIED, contained(MULTIPLIED), contained(MULTIPLIED, parts=3)])
def test_colours_that_were_multiplied_by_their_alpha_are_divided(data: bytes) -> None:
    opened = jpegxl.load(data)
    assert isinstance(opened.image, Image.Image)
    assert opened.alpha is not None
    assert opened.image.getpixel((0, 0)) == (200, 100, 40)
    assert opened.alpha.getpixel((0, 7)) == 128
    seen: Any = opened.image.getpixel((0, 7))
    assert all(abs(is_now - was) <= 1 for is_now, was in zip(seen, (100, 50, 20), strict=True))


def test_four_inks_are_not_taken_for_three_colours() -> None:
    with pytest.raises(PhotoError, match="four inks"):
        jpegxl.load(INKS)
