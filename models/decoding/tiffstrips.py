"""The strips and tiles of a TIFF, looked at once more for damage of which libtiff says nothing; gives no pixels.

libtiff stops reading a strip as soon as its rows are full, before any sum of it is compared. Zstandard strips have no
sum, and LZW, LZMA and fax are checked well enough by libtiff.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from cutoutd.config.errors import PhotoError
from cutoutd.models.decoding import gaps, ifd, jpeg, refusals

_TIFF: Final = "TIFF"
_NONE, _OLD_JPEG, _JPEG = 1, 6, 7
_DEFLATE: Final = (8, 32946)
_PACKBITS: Final = 32773
_YCBCR: Final = 6
_INTERCHANGE: Final = 513
_SOI: Final = b"\xff\xd8\xff"
# Unpacked at a time, and thrown away.
_PIECE: Final = 1 << 20
_MISSING: Final = "a part of it is not in the file"


class _Strips(NamedTuple):
    """Where the strips or tiles lie, and how many bytes a whole one and one row of it have when unpacked."""

    places: list[tuple[int, int]]
    row: int
    rows: int

    @property
    def size(self) -> int:
        """Bytes of a whole strip."""
        return self.row * self.rows


def refuse_damaged(data: bytes, page: Any) -> None:
    """Raise PhotoError where a strip of tifffile's `page` is damaged."""
    check = _CHECKS.get(int(page.compression))
    if check is not None:
        check(data, page)


def refuse_missing(page: Any) -> None:
    """Raise PhotoError where a strip or tile of tifffile's `page` is not in the file, which readers fill with zeros.

    Uncompressed ones are read by where they begin alone: there each must have room before the next.
    """
    strips = _strips(page)
    width, height = int(page.imagewidth), int(page.imagelength)
    across = -(-width // max(1, int(page.tilewidth))) if page.is_tiled else 1
    planes = 1 if page.planarconfig == 1 else int(page.samplesperpixel)
    down = -(-height // strips.rows)
    if len(strips.places) < across * down * planes or any(not at for at, _ in strips.places):
        raise refusals.damaged(_TIFF, _MISSING)
    if len(strips.places) > 1 and not all(size for _, size in strips.places):
        raise refusals.damaged(_TIFF, _MISSING)
    if int(page.compression) != _NONE or int(page.photometric) == _YCBCR:
        return
    begins = sorted({at for at, _ in strips.places})
    room = dict(itertools.pairwise(begins))  # the last one's is the end of the file, which its reader sees
    for index, (at, _) in enumerate(strips.places):
        rows = strips.rows if page.is_tiled else min(strips.rows, height - index % down * strips.rows)
        if at in room and room[at] - at < rows * strips.row:
            raise refusals.damaged(_TIFF, _MISSING)


# Each byte with its bits the other way round; and the compressions whose decoders do not see to that themselves.
_TURNED: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_TURNED_BEFORE: Final = frozenset((_NONE, 5, *_DEFLATE, _PACKBITS, 34925, 50000))


def with_usual_bits(data: bytes, page: Any) -> bytes:
    """The same TIFF, if its first picture's bytes begin with their lowest bits (FillOrder 2), as most files have it.

    Raises:
        PhotoError: damaged.
    """
    tag: Any = page.tags.get(ifd.FILL_ORDER)
    if tag is None or tag.value != 2 or int(page.compression) not in _TURNED_BEFORE:
        return data
    places = _strips(page).places
    if sum(size for _, size in places) > 2 * len(data):  # the same bytes, named as strip after strip
        raise refusals.damaged(_TIFF, "its list of strips")
    changed = bytearray(data)
    for at, size in places:
        turned = data[at : at + size].translate(_TURNED)
        changed[at : at + len(turned)] = turned
    changed[tag.valueoffset : tag.valueoffset + 2] = (1).to_bytes(2, "little" if data[:2] == b"II" else "big")
    return bytes(changed)


def inflate(strip: bytes, most: int) -> Iterator[bytes]:
    """Deflated bytes piece by piece, at most about `most` of them; raises PhotoError if their sum is wrong."""
    opener = zlib.decompressobj()
    left, rest = most, strip
    try:
        while left > 0 and not opener.eof:
            piece = opener.decompress(rest, min(_PIECE, left))
            rest = opener.unconsumed_tail
            if not piece and not rest:
                return  # cut off: whether enough is there is the reader's to say
            left -= len(piece)
            yield piece
    except zlib.error as exc:
        raise refusals.damaged(_TIFF, "the sum of a strip is wrong") from exc


def _strips(page: Any) -> _Strips:
    samples = int(page.samplesperpixel) if page.planarconfig == 1 else 1
    wide, high = (
        (int(page.tilewidth), int(page.tilelength))
        if page.is_tiled
        else (int(page.imagewidth), min(int(page.rowsperstrip), int(page.imagelength)))
    )
    bits = int(np.max(page.bitspersample))
    places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    return _Strips(places, (wide * samples * bits + 7) // 8, max(1, high))


def _check_sums(data: bytes, page: Any) -> None:
    strips = _strips(page)
    for at, size in strips.places:
        # Twice as much as belongs there: some programs store whole strips where the last is shorter.
        for _ in inflate(data[at : at + size], 2 * strips.size + _PIECE):
            pass


def _check_jpegs(data: bytes, page: Any) -> None:
    tables = page.jpegtables
    for at, size in _strips(page).places:
        _check_jpeg(data[at : at + size], tables if isinstance(tables, bytes) else b"")


def _check_old_jpeg(data: bytes, page: Any) -> None:
    """One whole JPEG, where the file says so or where its first strip begins as one; else there is none to check."""
    tag: Any = page.tags.get(_INTERCHANGE)
    at = tag.value if tag is not None and isinstance(tag.value, int) else 0
    places = _strips(page).places
    if not data.startswith(_SOI, at) and len(places) == 1:
        at = places[0][0]
    if at and data.startswith(_SOI, at):
        # Programs disagree on whether its length there holds the pixels: the JPEG itself says where it ends.
        _check_jpeg(data[at:], b"")


def _check_jpeg(strip: bytes, tables: bytes) -> None:
    try:
        jpeg.check_strip(strip, tables)
    except PhotoError as exc:
        raise refusals.damaged(_TIFF, "a strip of JPEG data") from exc


def _check_packbits(data: bytes, page: Any) -> None:
    if int(page.photometric) == _YCBCR:
        return  # its rows are of another length
    strips = _strips(page)
    height = int(page.imagelength)
    down = -(-height // strips.rows)  # of each plane, where channels lie apart
    for index, (at, size) in enumerate(strips.places):
        whole = strips.size
        rows = height - index % down * strips.rows
        last = strips.row * rows if 0 < rows < strips.rows and not page.is_tiled else whole
        if _unpacked_size(data[at : at + size]) not in (whole, last):
            raise refusals.damaged(_TIFF, "a strip of another length")


def _unpacked_size(strip: bytes) -> int:
    """How many bytes PackBits stands for; -1 if its last run is cut off."""
    at = total = 0
    while at < len(strip):
        head = strip[at]
        if head < 128:  # that many bytes and one more follow
            at += head + 2
            total += head + 1
        elif head > 128:  # one byte, repeated
            at += 2
            total += 257 - head
        else:
            at += 1
    return total if at <= len(strip) + 1 else -1


def _check_rows(data: bytes, page: Any) -> None:
    """Rows that were never written, where all strips lie one behind the other."""
    strips = _strips(page)
    ends = [at + size for at, size in strips.places]
    if page.is_tiled or any(at != end for (at, _), end in zip(strips.places[1:], ends, strict=False)):
        return
    if int(page.photometric) in (1, 2) and strips.places:
        gaps.refuse_rows(data, int(strips.places[0][0]), int(ends[-1]), strips.row, _TIFF)


_CHECKS: Final[dict[int, Callable[[bytes, Any], None]]] = {
    _NONE: _check_rows,
    _OLD_JPEG: _check_old_jpeg,
    _JPEG: _check_jpegs,
    **dict.fromkeys(_DEFLATE, _check_sums),
    _PACKBITS: _check_packbits,
}
