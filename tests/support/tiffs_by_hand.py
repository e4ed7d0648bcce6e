"""TIFFs that no writer at hand makes, laid out byte by byte; which of them are read is `format_rarities`'."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from tests.support.format_cases import coffee


def in_packbits(values: Any) -> bytes:
    """Channels apart, in strips whose last is lower than the others."""
    height, _, channels = values.shape
    rows = 150
    strips = [
        b"".join(packed_row(bytes(row)) for row in values[top : top + rows, :, channel])
        for channel in range(channels) for top in range(0, height, rows)
    ]  # fmt: skip
    return tiff_of(strips, values, rows, compression=32773, more={284: 2})


def packed_row(row: bytes) -> bytes:
    """One row in PackBits, no byte of it repeated."""
    pieces = (row[at : at + 128] for at in range(0, len(row), 128))
    return b"".join(bytes((len(piece) - 1,)) + piece for piece in pieces)


def turned_bits(compression: str | None) -> bytes:
    """A TIFF of which each stored byte begins with its lowest bit."""
    strip = coffee().tobytes() if compression is None else zlib.compress(coffee().tobytes())
    turned = np.packbits(np.unpackbits(np.frombuffer(strip, np.uint8)), bitorder="little").tobytes()
    return tiff_of([turned], coffee(), 400, compression=1 if compression is None else 8, more={266: 2})


def tiff_of(
    strips: list[bytes],
    values: Any,
    rows: int,
    *,
    compression: int,
    bits: int = 8,
    more: dict[int, int] | None = None,
) -> bytes:
    """A TIFF laid out by hand: RGB, or RGB and another, in these strips, with further tags of one number."""
    height, width, samples = values.shape
    places = list(itertools.accumulate(map(len, strips), initial=8 + 2 * samples))
    count = len(strips)
    lists = struct.pack(f"<{2 * count}I", *places[:-1], *map(len, strips))
    at = places[-1]
    one = count == 1
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, samples, 8), (259, 3, 1, compression), (262, 3, 1, 2),
        (273, 4, count, places[0] if one else at), (277, 3, 1, samples), (278, 3, 1, rows),
        (279, 4, count, len(strips[0]) if one else at + 4 * count),
        *((tag, 3, 1, value) for tag, value in (more or {}).items()),
    ]  # fmt: skip
    directory = (
        struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags)) + bytes(4)
    )
    head = struct.pack(f"<2sHI{samples}H", b"II", 42, at + len(lists), *([bits] * samples))
    return head + b"".join(strips) + lists + directory


def packed_numbers(kind: str, compression: str, predictor: int) -> bytes:
    """The picture in numbers of that type, packed by libtiff, which takes them for bytes."""
    values = coffee() / 255 if "f" in kind else coffee().astype(np.uint32) * 0x01010101
    numbers = values.astype(f"<{kind}")
    height, _, samples = numbers.shape
    rows = np.ascontiguousarray(numbers)
    if predictor == 2:  # differences of numbers
        rows = np.concatenate((rows[:, :1], rows[:, 1:] - rows[:, :-1]), axis=1)
    stored = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
    if predictor == 3:  # the highest bytes first, and differences of bytes
        by_byte = rows.astype(f">{kind}").reshape(height, -1, 1).view(np.uint8)
        flat = np.moveaxis(by_byte, 2, 1).reshape(height, -1, samples)
        stored = np.concatenate((flat[:, :1], flat[:, 1:] - flat[:, :-1]), axis=1).reshape(height, -1)
    made = io.BytesIO()
    Image.fromarray(stored).save(made, "TIFF", compression=compression)
    page: Any = tifffile.TiffFile(io.BytesIO(made.getvalue())).pages.first
    strips = [
        made.getvalue()[at : at + size]
        for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)
    ]
    more = {317: predictor, 339: 3 if "f" in kind else 1}
    rows_each, packed = int(page.rowsperstrip), int(page.compression)
    return tiff_of(strips, numbers, rows_each, compression=packed, bits=8 * numbers.itemsize, more=more)


def multiplied_pictures(compression: int, encode: Callable[[Image.Image], bytes]) -> bytes:
    """One strip that is a picture, of colours that are multiplied by an alpha of 128."""
    values = np.dstack(
        [(coffee().astype(float) * 128 / 255 + 0.5).astype(np.uint8), np.full((400, 600), 128)]
    )
    values = values.astype(np.uint8)
    return tiff_of([encode(Image.fromarray(values))], values, 400, compression=compression, more={338: 1})
