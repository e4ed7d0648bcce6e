"""TIFF pixels of odd depths (2 to 15 bits, packed without gaps), uncompressed or deflated; nothing else about TIFF."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.decoding import refusals, tiffstrips

_TIFF: Final = "TIFF"
_NONE: Final = 1
_DEFLATE: Final = frozenset((8, 32946))
_NO_PREDICTOR: Final = 1


def is_packed(page: Any) -> bool:
    """Whether the pixels of this picture are neither whole bytes nor single bits."""
    bits = page.bitspersample
    return isinstance(bits, int) and 1 < bits < 16 and bits != 8


def unpacked(data: bytes, page: Any) -> NDArray[np.uint16]:
    """uint16 (H, W, samples) over its full range, of a picture for which `is_packed`.

    Raises:
        PhotoError: incomplete, or stored in a way that is not read.
    """
    bits, samples = int(page.bitspersample), int(page.samplesperpixel)
    compression = int(page.compression)
    if page.is_tiled or page.planarconfig != 1 or int(page.predictor) != _NO_PREDICTOR:
        raise refusals.not_read(_TIFF, f"{bits} bits per channel in tiles or planes")
    if compression != _NONE and compression not in _DEFLATE:
        raise refusals.not_read(_TIFF, f"{bits} bits per channel, compressed")
    width, height, rows = int(page.imagewidth), int(page.imagelength), max(1, int(page.rowsperstrip))
    out = np.zeros((height, width * samples), np.uint16)
    line = (width * samples * bits + 7) // 8
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    strips = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(strips) != -(-height // rows):
        raise refusals.damaged(_TIFF, "its list of strips")
    for index, (at, size) in enumerate(strips):
        top = index * rows
        count = min(rows, height - top)
        packed = data[at : at + size]
        if compression != _NONE:
            packed = b"".join(tiffstrips.inflate(packed, 2 * line * rows))
        if len(packed) < line * count:
            raise refusals.incomplete(_TIFF)
        # Row by row: eight times a strip's bytes at once would be more than the picture.
        for row in range(count):
            values = np.unpackbits(np.frombuffer(packed, np.uint8, line, row * line))[
                : width * samples * bits
            ]
            out[top + row] = values.reshape(-1, bits) @ weights
    full = (1 << bits) - 1
    return (
        ((out.astype(np.uint32) * 65535 + full // 2) // full)
        .astype(np.uint16)
        .reshape(height, width, samples)
    )
