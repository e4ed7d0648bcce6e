from __future__ import annotations

import io
import itertools
import threading
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.support import photos
from tests.support.metadata import png_chunks, read

from cutoutd.models.rendering import png, rows

ASTRONAUT: NDArray[np.uint8] = photos.pixels("astronaut")


def alpha_disc(height: int, width: int, top: int = 255) -> NDArray[Any]:
    """A soft disc in the middle, empty corners and empty rows at both ends."""
    y, x = np.ogrid[:height, :width]
    radius = np.hypot(y - height / 2, x - width / 2) / (0.4 * min(height, width))
    return (np.clip((1.0 - radius) * 8, 0, 1) * top).astype(np.uint8 if top == 255 else np.uint16)


def unfiltered(data: bytes) -> tuple[bytes, list[int]]:
    """Raw bytes and the filter of each row, by the specification, one byte at a time."""
    chunks = png_chunks(data)
    header = chunks[0][1]
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    step = {0: 1, 2: 3, 4: 2, 6: 4}[header[9]] * header[8] // 8
    flat = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    length = width * step
    assert len(flat) == height * (length + 1)
    above, out, filters = bytes(length), bytearray(), list[int]()
    for y in range(height):
        kind, row = flat[y * (length + 1)], bytearray(flat[y * (length + 1) + 1 : (y + 1) * (length + 1)])
        for i in range(length):
            a = row[i - step] if i >= step else 0
            b, c = above[i], above[i - step] if i >= step else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, nearest)[kind]) & 255
        filters.append(kind)
        out += row
        above = bytes(row)
    return bytes(out), filters


@pytest.mark.parametrize("compression", ["fast", "small", 0, 1, 3, 6])
def test_pillow_reads_back_every_pixel(compression: str | int) -> None:
    alpha = alpha_disc(512, 512)
    got = np.asarray(Image.open(io.BytesIO(png.encode(ASTRONAUT, alpha, compression=compression))))
    assert np.array_equal(got[..., 3], alpha)
    assert np.array_equal(got[..., :3], ASTRONAUT * (alpha > 0)[..., np.newaxis])


@pytest.mark.parametrize("compression", ["fast", "small"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("layout", ["grey", "grey alpha", "rgb", "rgb alpha"])
def test_every_layout_by_the_specification(
    layout: str, bits: int, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "STRIP_BYTES", 1000)  # many strips, so that their seams are seen too
    small = ASTRONAUT[100:130, 200:241]
    dtype: Any = np.uint8 if bits == 8 else np.uint16
    colour = small.astype(dtype) * (1 if bits == 8 else 257) + (0 if bits == 8 else 13)
    colour = colour[..., 1] if "grey" in layout else colour
    alpha = alpha_disc(30, 41, 2**bits - 1).astype(dtype) if "alpha" in layout else None
    encoded = png.encode(colour, alpha, compression=compression)
    raw, filters = unfiltered(encoded)
    planes = colour.reshape(30, 41, -1)
    if alpha is not None:
        planes = np.concatenate([planes * (alpha > 0)[..., np.newaxis], alpha[..., np.newaxis]], axis=2)
    assert np.array_equal(np.frombuffer(raw, np.dtype(dtype).newbyteorder(">")), planes.reshape(-1))
    header = png_chunks(encoded)[0][1]
    assert header[8] == bits
    assert header[9] == {"grey": 0, "grey alpha": 4, "rgb": 2, "rgb alpha": 6}[layout]
    if compression == "small" and "rgb" in layout:
        assert len(set(filters)) > 1


def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    alpha = alpha_disc(512, 512)
    large, mask = np.tile(ASTRONAUT, (2, 3, 1)), np.tile(alpha, (2, 3))
    assert len(rows.strips(1024, 1536 * 4)) > 3
    first = png.encode(large, mask, threads=1)
    assert png.encode(large, mask, threads=3) == first
    assert png.encode(large, mask, threads=1) == first


def test_nothing_of_the_background_is_in_the_stream() -> None:
    # Colour left under alpha 0 on purpose: the writer must not trust that it was erased before.
    alpha = np.zeros((64, 64), np.uint8)
    alpha[20:40, 20:40] = 200
    noise = np.random.default_rng(1).integers(1, 255, (64, 64, 3), np.uint8)
    raw, _ = unfiltered(png.encode(noise, alpha))
    got = np.frombuffer(raw, np.uint8).reshape(64, 64, 4)
    assert not got[alpha == 0].any()
    assert np.array_equal(got[alpha > 0, :3], noise[alpha > 0])


def test_small_is_smaller_than_fast() -> None:
    alpha = alpha_disc(512, 512)
    fast, small = (len(png.encode(ASTRONAUT, alpha, compression=how)) for how in ("fast", "small"))
    assert small < 0.95 * fast


def test_no_chunk_but_what_was_ordered() -> None:
    kinds = [kind for kind, _ in png_chunks(png.encode(ASTRONAUT[:4, :4]))]
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
    carried = read(png.encode(ASTRONAUT[:4, :4], dpi=300, icc=b"a profile"))
    assert carried.extras == {"density", "icc"}
    assert carried.icc == b"a profile"
    assert carried.dpi == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (3, 2)])
@pytest.mark.parametrize("compression", ["fast", "small"])
def test_tiny_pictures(size: tuple[int, int], compression: str) -> None:
    colour = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)
    got = np.asarray(Image.open(io.BytesIO(png.encode(colour, compression=compression))))
    assert np.array_equal(got, colour)


@pytest.mark.parametrize(
    ("colour", "alpha"),
    [
        (np.zeros((2, 2, 4), np.uint8), None),
        (np.zeros((2, 2), np.float32), None),
        (np.zeros((0, 2), np.uint8), None),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint16)),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(colour: Any, alpha: Any) -> None:
    with pytest.raises(ValueError, match=r"takes|fit"):
        png.encode(colour, alpha)


class _Careless:
    """Bands that leave the background's colour where nothing is to be seen."""

    def bands(self) -> list[tuple[int, int]]:
        return [(0, 256), (256, 512)]

    def band(self, number: int) -> NDArray[np.uint8]:
        rows_of_it = np.s_[256 * number : 256 * (number + 1)]
        return np.dstack([ASTRONAUT[rows_of_it], alpha_disc(512, 512)[rows_of_it]])


def test_bands_are_the_bytes_of_the_whole_and_erased_in_the_last_step() -> None:
    whole = png.encode(ASTRONAUT, alpha_disc(512, 512))
    assert b"".join(png.encode_bands(_Careless(), (512, 512), threads=2)) == whole


def test_empty_strips_of_pictures_of_several_sizes_and_settings_are_their_own() -> None:
    for compression, width, height in itertools.product(("fast", "small", 1), (37, 300), (3, 600)):
        alpha = np.zeros((height, width), np.uint8)
        alpha[height // 2, width // 2] = 255
        for seen in (alpha, np.zeros_like(alpha)):
            colour = np.full((height, width, 3), 200, np.uint8)
            got = np.asarray(Image.open(io.BytesIO(png.encode(colour, seen, compression=compression))))
            assert np.array_equal(got[..., 3], seen)
            assert np.array_equal(got[..., :3], colour * (seen > 0)[..., np.newaxis])


@pytest.mark.parametrize("had", [0, 1])
def test_threads_that_cannot_be_had_are_done_without(monkeypatch: pytest.MonkeyPatch, had: int) -> None:
    """A lone photo was said to take too much memory, though the threads that there were could have packed it."""
    start, left = threading.Thread.start, iter([True] * had)

    def no_memory_for_more(thread: threading.Thread) -> None:
        if not next(left, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    whole = png.encode(ASTRONAUT, alpha_disc(512, 512))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_memory_for_more)
        assert b"".join(png.encode_bands(_Careless(), (512, 512), threads=3)) == whole
