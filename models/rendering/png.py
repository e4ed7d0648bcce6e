"""A fast PNG writer: strips of filtered rows, deflated apart and joined; it adds no metadata of its own.

Algorithm: PNG (W3C Recommendation, third edition): IHDR, optional iCCP and pHYs, IDAT, IEND. The zlib stream
is joined from strips that were each deflated with an empty window and end on a byte boundary, so strips can
be worked on by several threads and the bytes do not depend on how many.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting import fullsize
from cutoutd.models.matting.parallel import streamed
from cutoutd.models.rendering import deflate, rows
from cutoutd.models.rendering.rows import Samples

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # samples per pixel → PNG colour type
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)
_ADLER_BASE = 65_521  # RFC 1950: the largest prime below 2**16
BAND_ROWS = fullsize.TILE  # full-size pixels are worked out in bands of so many rows
# isal's levels 1 to 3 are its own; from 4 on, zlib's search finds what isal's does not look for.
_FIRST_ZLIB_LEVEL = 4
# Measured on a 24-megapixel cutout: level 2 is as quick as 1 and smaller; of zlib's levels with Z_FILTERED 4
# takes a third of the time of 6 for 1 % more bytes, and is smaller than 6 without Z_FILTERED.
_FAST_LEVEL, _SMALL_LEVEL = 2, 4
# Empty strips of a picture have three heights: a usual one, a band's last and the picture's last; so for two sizes.
_EMPTY_KEPT = 6


def encode(
    colour: Samples,
    alpha: Samples | None = None,
    *,
    compression: str | int = "fast",
    dpi: int = 0,
    icc: bytes | None = None,
    threads: int = 1,
) -> bytes:
    """A complete PNG file.

    Args:
        colour: (h, w, 3) RGB or (h, w) grey, uint8 or uint16.
        alpha: straight alpha (h, w) of the same dtype, or None for an opaque picture. Where it is 0, zero is
            written for the colour too.
        compression: "fast" (Sub filter, isal), "small" (best filter per row, zlib level 4), or 0 to
            9: 0 stores, 1 to 3 are isal's levels with Sub, 4 to 9 zlib's with the best filter per row.
        dpi: density to write as pHYs; 0 writes none.
        icc: a profile to write as iCCP; None writes none.
        threads: how many strips are worked on at once; the bytes are the same for any number.

    Raises:
        ValueError: shapes or dtypes do not belong together.
    """
    _check(colour, alpha)
    height, width = colour.shape[:2]
    level = _level(compression)
    samples = rows.channels(colour, alpha)
    row_bytes = width * samples * colour.dtype.itemsize
    # No strip reaches from one band into the next, so that `encode_bands` makes the same bytes.
    ranges = [
        (band + top, band + bottom)
        for band in range(0, height, BAND_ROWS)
        for top, bottom in rows.strips(min(BAND_ROWS, height - band), row_bytes)
    ]

    def strip(number: int) -> list[_Piece]:
        """One strip, filtered and deflated."""
        top, bottom = ranges[number]
        last = bottom == height
        if alpha is not None and not alpha[top:bottom].any():  # nothing of the picture is read
            return [_empty(bottom - top, row_bytes, level, last=last)]
        rows = _filtered(colour, alpha, top, bottom, best=level >= _FIRST_ZLIB_LEVEL)
        return [_piece(rows, level, last=last)]

    stream = _stream(strip, len(ranges), threads)
    return b"".join(_file((width, height), colour.dtype.itemsize * 8, samples, stream, dpi=dpi, icc=icc))


class Bands(Protocol):
    """A picture in 8 bits whose rows are worked out when they are asked for, from several threads at once."""

    def bands(self) -> Sequence[tuple[int, int]]:
        """Row ranges (top, bottom) that cover the picture in order: BAND_ROWS each, the last perhaps fewer."""
        ...

    def band(self, number: int) -> NDArray[np.uint8]:
        """RGBA uint8 (h, W, 4) of one of them, to be changed at will."""
        ...


def can_stream(compression: str | int) -> bool:
    """Whether `encode_bands` takes this compression: filters chosen by the row above would need other bands."""
    return _level(compression) < _FIRST_ZLIB_LEVEL


def encode_bands(
    source: Bands,
    size: tuple[int, int],
    *,
    compression: str | int = "fast",
    dpi: int = 0,
    icc: bytes | None = None,
    threads: int = 1,
) -> Iterator[bytes]:
    """As `encode`, of RGBA that never exists as a whole: each band is deflated while the cache still holds it.

    The file comes in pieces, in order, as soon as they are made; others are made meanwhile.

    Args:
        source: the picture.
        size: its width and height in pixels.
        compression: one that `can_stream`.
        dpi: as for `encode`.
        icc: as for `encode`.
        threads: how many bands are worked on at once; the bytes are the same for any number.
    """
    level = _level(compression)
    ranges = source.bands()

    def band(number: int) -> list[_Piece]:
        """One band as it comes from the matte, filtered and deflated."""
        rgba = source.band(number)
        height, width = rgba.shape[:2]
        last = number == len(ranges) - 1
        return [
            _rgba_piece(rgba[top:bottom], level, last=last and bottom == height)
            for top, bottom in rows.strips(height, width * 4)
        ]

    return _file(size, 8, 4, _stream(band, len(ranges), threads), dpi=dpi, icc=icc)


def _file(
    size: tuple[int, int],
    depth: int,
    samples: int,
    stream: Iterator[tuple[bytes, ...]],
    *,
    dpi: int,
    icc: bytes | None,
) -> Iterator[bytes]:
    """The pieces of the file around a zlib stream that comes in pieces."""
    yield SIGNATURE
    yield from _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, _COLOUR_TYPE[samples], 0, 0, 0))
    if icc is not None:
        yield from _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc, 9))
    if dpi:
        per_metre = round(dpi / 0.0254)
        yield from _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))
    for data in stream:
        yield from _chunk(b"IDAT", *data)
    yield from _chunk(b"IEND")


def _check(colour: Samples, alpha: Samples | None) -> None:
    grey_or_rgb = colour.ndim == 2 or (colour.ndim == 3 and colour.shape[2] == 3)
    if not grey_or_rgb or colour.dtype.itemsize > 2 or 0 in colour.shape:
        raise ValueError(
            f"PNG takes (h, w, 3) or (h, w) of uint8 or uint16, not {colour.shape} {colour.dtype}"
        )
    if alpha is not None and (alpha.shape != colour.shape[:2] or alpha.dtype != colour.dtype):
        raise ValueError(
            f"alpha {alpha.shape} {alpha.dtype} does not fit colour {colour.shape} {colour.dtype}"
        )


def _level(compression: str | int) -> int:
    if isinstance(compression, int):
        return compression
    return {"fast": _FAST_LEVEL, "small": _SMALL_LEVEL}[compression]


def _chunk(kind: bytes, *data: bytes) -> Iterator[bytes]:
    """A chunk in pieces, none of which is copied."""
    yield struct.pack(">I", sum(map(len, data))) + kind
    crc = deflate.crc32(kind)
    for piece in data:
        crc = deflate.crc32(piece, crc)
        yield piece
    yield struct.pack(">I", crc)


class _Piece(NamedTuple):
    """A deflated strip, in pieces; checksum and length are of the bytes that went in."""

    data: tuple[bytes, ...]
    adler: int
    length: int


def _piece(rows: NDArray[np.uint8], level: int, *, last: bool) -> _Piece:
    return _Piece(_compress(rows, level, last=last), deflate.adler32(rows), rows.size)


def _rgba_piece(rgba: NDArray[np.uint8], level: int, *, last: bool) -> _Piece:
    """One strip of interleaved rows uint8 (h, W, 4) under the Sub filter; erases in it what nobody sees."""
    height, row_bytes = rgba.shape[0], rgba.shape[1] * 4
    if not rows.erase_hidden(rgba):
        return _empty(height, row_bytes, level, last=last)
    out = np.empty((height, 1 + row_bytes), np.uint8)
    _sub_filter(rgba.reshape(height, row_bytes), 4, out)
    return _piece(out, level, last=last)


@lru_cache(maxsize=_EMPTY_KEPT)
def _empty(height: int, row_bytes: int, level: int, *, last: bool) -> _Piece:
    """A strip in which nothing is seen: filter None and nothing but zeros in each row."""
    return _piece(np.zeros((height, 1 + row_bytes), np.uint8), level, last=last)


def _stream(function: Callable[[int], list[_Piece]], count: int, threads: int) -> Iterator[tuple[bytes, ...]]:
    """The zlib stream, a chunk's worth at a time: header, what `function` makes of each number in order, checksum."""
    # 0x78: deflate with a 32 KiB window. The second byte only completes the check that 16 bits divide by 31.
    yield (b"\x78\x01",)
    checksum = 1
    for pieces in streamed(function, count, threads):
        for data, adler, length in pieces:
            checksum = _combine(checksum, adler, length)
            yield data
    yield (struct.pack(">I", checksum),)


def _compress(rows: NDArray[np.uint8], level: int, *, last: bool) -> tuple[bytes, bytes]:
    """Raw deflate of one strip, in two pieces; all but the last end with an empty block on a byte boundary."""
    contiguous: Any = rows.reshape(-1)
    flat = memoryview(contiguous)
    if level == 0 or level >= _FIRST_ZLIB_LEVEL:
        packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
        return packer.compress(flat), packer.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)
    return deflate.raw(flat, level, last=last)


def _combine(first: int, second: int, second_length: int) -> int:
    """Adler-32 of two joined pieces from the Adler-32 of each (RFC 1950: two sums modulo 65521)."""
    a1, b1 = first & 0xFFFF, first >> 16
    a2, b2 = second & 0xFFFF, second >> 16
    a = (a1 + a2 - 1) % _ADLER_BASE
    b = (b1 + b2 + second_length * (a1 - 1)) % _ADLER_BASE
    return b << 16 | a


def _filtered(
    colour: Samples, alpha: Samples | None, top: int, bottom: int, *, best: bool
) -> NDArray[np.uint8]:
    """Rows top..bottom as PNG stores them, uint8 (rows, 1 + bytes of a row): filter type, filtered bytes."""
    width = colour.shape[1]
    samples = rows.channels(colour, alpha)
    step = samples * colour.dtype.itemsize
    out = np.empty((bottom - top, 1 + width * step), np.uint8)
    raw = _rows(colour, alpha, top, bottom)
    if best:
        above = _rows(colour, alpha, top - 1, top) if top else np.zeros_like(raw[:1])
        _best_filters(raw, np.concatenate([above, raw[:-1]]), step, out)
    else:
        _sub_filter(raw, step, out)
    return out


def _sub_filter(raw: NDArray[np.uint8], step: int, out: NDArray[np.uint8]) -> None:
    """Rows uint8 (h, n) less their left neighbours `step` bytes away, each behind the filter's number."""
    out[:, 0] = _SUB
    out[:, 1 : 1 + step] = raw[:, :step]
    np.subtract(raw[:, step:], raw[:, :-step], out=out[:, 1 + step :])


def _rows(colour: Samples, alpha: Samples | None, top: int, bottom: int) -> NDArray[np.uint8]:
    """Interleaved rows as bytes, big-endian where a sample has two: uint8 (rows, bytes of a row)."""
    shape = (bottom - top, colour.shape[1], rows.channels(colour, alpha))
    packed = np.empty(shape, colour.dtype.newbyteorder(">"))
    rows.interleave(colour[top:bottom], None if alpha is None else alpha[top:bottom], packed)
    return packed.reshape(shape[0], -1).view(np.uint8)


def _best_filters(
    raw: NDArray[np.uint8], above: NDArray[np.uint8], step: int, out: NDArray[np.uint8]
) -> None:
    """For each row the filter with the least sum of absolute differences, as the PNG specification advises.

    Works on a few rows at a time, because five candidates in 16 bits would not stay in the cache otherwise.
    """
    rows_at_once = max(1, (64 << 10) // raw.shape[1])
    for top in range(0, raw.shape[0], rows_at_once):
        here = slice(top, top + rows_at_once)
        candidates = _candidates(raw[here], above[here], step)
        costs = [
            np.abs(rows.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for rows in candidates
        ]
        chosen = np.argmin(np.stack(costs), axis=0)
        out[here, 0] = chosen
        out[here, 1:] = np.stack(candidates)[chosen, np.arange(len(chosen))]


def _candidates(raw: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> list[NDArray[np.uint8]]:
    """The rows under each of PNG's five filters, in the order of their numbers."""
    left, corner = np.zeros_like(raw), np.zeros_like(raw)
    left[:, step:], corner[:, step:] = raw[:, :-step], above[:, :-step]
    a, b, c = left.astype(np.int16), above.astype(np.int16), corner.astype(np.int16)
    to_left, to_above, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    nearest = np.where(to_above <= to_corner, above, corner)
    nearest = np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)
    average = ((a + b) >> 1).astype(np.uint8)
    return [raw, raw - left, raw - above, raw - average, raw - nearest]
