"""TIFFs that no writer at hand makes, laid out byte by byte; which of them are read is `format_rarities`'."""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import Any

import numpy as np
from tests.support.format_cases import coffee


def in_packbits(values: Any) -> bytes:
    """Channels apart, in strips whose last is lower than the others."""
    height, _, channels = values.shape
    rows = 150
    strips = [
        b"".join(packed_row(bytes(row)) for row in values[top : top + rows, :, channel])
        for channel in range(channels) for top in range(0, height, rows)
    ]  # fmt: skip
    return tiff_of(strips, values, rows, compression=32773, planes=2)


def packed_row(row: bytes) -> bytes:
    """One row in PackBits, no byte of it repeated."""
    pieces = (row[at : at + 128] for at in range(0, len(row), 128))
    return b"".join(bytes((len(piece) - 1,)) + piece for piece in pieces)


def turned_bits(compression: str | None) -> bytes:
    """A TIFF of which each stored byte begins with its lowest bit."""
    strip = coffee().tobytes() if compression is None else zlib.compress(coffee().tobytes())
    turned = np.packbits(np.unpackbits(np.frombuffer(strip, np.uint8)), bitorder="little").tobytes()
    return tiff_of([turned], coffee(), 400, compression=1 if compression is None else 8, fill_order=2)


def tiff_of(
    strips: list[bytes], values: Any, rows: int, *, compression: int, planes: int = 1, fill_order: int = 1
) -> bytes:
    """A TIFF laid out by hand: RGB of 8 bits in these strips."""
    height, width, _ = values.shape
    places = list(itertools.accumulate(map(len, strips), initial=14))
    count = len(strips)
    lists = struct.pack(f"<{2 * count}I", *places[:-1], *map(len, strips))
    at = places[-1]
    one = count == 1
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, compression), (262, 3, 1, 2),
        (266, 3, 1, fill_order), (273, 4, count, places[0] if one else at), (277, 3, 1, 3), (278, 3, 1, rows),
        (279, 4, count, len(strips[0]) if one else at + 4 * count), (284, 3, 1, planes),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    head = struct.pack("<2sHI3H", b"II", 42, at + len(lists), 8, 8, 8)
    return head + b"".join(strips) + lists + directory


def as_deeper(data: bytes) -> bytes:
    """A TIFF that says of its channels of 8 bits that they have 32."""
    return data.replace(struct.pack("<3H", 8, 8, 8), struct.pack("<3H", 32, 32, 32), 1)
