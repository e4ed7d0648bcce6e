"""TIFF pixels of many bits, packed in ways that tifffile does not unpack alone: libtiff does, taking them for bytes.

Pillow has no mode for such pixels, but its decoder gives any row of them as a row of grey bytes. What was done to the
numbers before they were packed (the predictor) is undone here. Only unpacking: what they mean is `tiff16`'s.
"""

from __future__ import annotations

import io
import struct
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from cutoutd.models.decoding import refusals

# LZW, deflate, LZMA, Zstandard.
_PACKED: Final = frozenset((5, 8, 32946, 34925, 50000))
_NO_PREDICTOR, _DIFFERENCES, _OF_FLOATS = 1, 2, 3
_LONG: Final = 4
# Pixels of a tile that may be larger than its picture, which fills a part of it.
_LEAST_TILE: Final = 1 << 20


class _Grid(NamedTuple):
    """How a plane is cut: pixels in a row and rows of each part, parts side by side, numbers of each pixel."""

    wide: int
    high: int
    across: int
    samples: int
    is_tiled: bool


def is_unpacked_here(page: Any) -> bool:
    """Whether the pixels of tifffile's `page` can be had from here."""
    return (
        int(page.compression) in _PACKED
        and page.dtype is not None
        and page.dtype.kind in "uf"
        and page.bitspersample == 8 * page.dtype.itemsize
        and int(page.predictor) in (_NO_PREDICTOR, _DIFFERENCES, _OF_FLOATS)
    )


def unpacked(data: bytes, page: Any) -> NDArray[Any]:
    """Pixels (H, W, samples) of a picture for which `is_unpacked_here`.

    Raises:
        PhotoError: damaged; and whatever the decoder raises.
    """
    width, height, samples = int(page.imagewidth), int(page.imagelength), int(page.samplesperpixel)
    is_apart = page.planarconfig != 1 and samples > 1
    wide, high = (
        (int(page.tilewidth), int(page.tilelength))
        if page.is_tiled
        else (width, min(int(page.rowsperstrip), height))
    )
    if wide * high > 4 * width * height + _LEAST_TILE:
        raise refusals.damaged("TIFF", "a tile of another size")
    grid = _Grid(wide, high, -(-width // wide), 1 if is_apart else samples, bool(page.is_tiled))
    if sum(page.databytecounts) > 2 * len(data):  # the same bytes, named as strip after strip
        raise refusals.damaged("TIFF", "its list of strips")
    parts = [data[at : at + size] for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    count = grid.across * -(-height // high)
    planes = [
        _plane(parts[first : first + count], page, grid, height)
        for first in range(0, count * (samples if is_apart else 1), count)
    ]
    return np.concatenate(planes, axis=2)[:, :width]


def _plane(parts: list[bytes], page: Any, grid: _Grid, height: int) -> NDArray[Any]:
    """Its pixels, as wide as its parts are together."""
    stored = page.dtype.newbyteorder(page.parent.byteorder)
    row = grid.wide * grid.samples * stored.itemsize
    packed = _as_grey_bytes(parts, int(page.compression), row, grid, height)
    limit = Image.MAX_IMAGE_PIXELS
    try:
        # It counts pixels, of which these bytes are more; how many there are was asked before.
        Image.MAX_IMAGE_PIXELS = None
        image = TiffImageFile(io.BytesIO(packed))
        image.load()
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    rows = np.asarray(image).reshape(height, grid.across, row)
    out = np.empty((height, grid.across, grid.wide, grid.samples), page.dtype)
    for part in range(grid.across):
        out[:, part] = _numbers(
            np.ascontiguousarray(rows[:, part]), int(page.predictor), stored, grid.samples
        )
    return out.reshape(height, grid.across * grid.wide, grid.samples)


def _numbers(rows: NDArray[np.uint8], predictor: int, stored: np.dtype[Any], samples: int) -> NDArray[Any]:
    """(H, W, samples) of the rows of one part, after what the predictor did to them is undone (TIFF 6.0, section 14;
    of floats: Adobe's technical note 3).
    """
    height = len(rows)
    if predictor == _OF_FLOATS:
        # Differences of bytes; the highest byte of all numbers of the row first, then the next ones.
        sums = np.cumsum(rows.reshape(height, -1, samples), axis=1, dtype=np.uint8)
        by_byte = sums.reshape(height, stored.itemsize, -1)
        mixed = np.ascontiguousarray(np.moveaxis(by_byte, 1, 2))
        return mixed.view(stored.newbyteorder(">")).reshape(height, -1, samples)
    whole = rows.view(stored).reshape(height, -1, samples)
    if predictor == _NO_PREDICTOR:
        return whole
    bits = np.dtype(f"u{stored.itemsize}")
    return np.cumsum(whole.astype(stored.newbyteorder("=")).view(bits), axis=1, dtype=bits).view(
        stored.newbyteorder("=")
    )


def _as_grey_bytes(parts: list[bytes], compression: int, row: int, grid: _Grid, height: int) -> bytes:
    """A TIFF of one channel of 8 bits with the same parts."""
    whole = sum(map(len, parts))
    lists, at = struct.pack(f"<{len(parts)}I", *map(len, parts)), 8
    places = list[int]()
    for part in parts:
        places.append(at)
        at += len(part)
    lists = struct.pack(f"<{len(parts)}I", *places) + lists
    first, second = (8 + whole, 8 + whole + 4 * len(parts)) if len(parts) > 1 else (8, whole)
    sizes = ((322, row), (323, grid.high)) if grid.is_tiled else ((278, grid.high),)
    where, how_long = (324, 325) if grid.is_tiled else (273, 279)
    tags = {
        256: (1, row * grid.across), 257: (1, height), 258: (1, 8), 259: (1, compression), 262: (1, 1), 277: (1, 1),
        **{tag: (1, value) for tag, value in sizes}, where: (len(parts), first), how_long: (len(parts), second),
    }  # fmt: skip
    entries = b"".join(
        struct.pack("<HHII", tag, _LONG, count, value) for tag, (count, value) in sorted(tags.items())
    )
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + whole + len(lists)) + b"".join(parts) + lists + directory
