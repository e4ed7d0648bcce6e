"""Runs of zeros where a sound picture has none: space that was reserved and never written, sectors that were lost.

Decoders fill such holes with something and say nothing. What is asked here is only what no sound file can be; it
decodes nothing. JPEG's own ways are `jpeg`'s and `jpegzeros`'.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.decoding import formats, isobmff, refusals

_Pixels = Image.Image | NDArray[np.uint8]


# The coder of AV1 leaves none of more than some tens, however flat its picture is.
_OF_AV1: Final = 256
# WebP leaves zeros for flat parts: at least so many pixels for each of them, where it is lossy (600 are usual) and
# where it is not (2.7). A hole covers fewer.
_OF_WEBP: Final = 256
_FLAT_LOSSY, _FLAT_LOSSLESS = 64.0, 1.9
# Inside a unit of HEVC three zeros in a row are forbidden; its length, which stands before it, has up to three more.
_OF_HEVC: Final = 16
# An empty packet of JPEG 2000 is one zero, and a flat picture of many layers has many of them.
_OF_PACKETS: Final = 2048
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_SOT: Final = 0xFF90  # begins a part of a tile: its number, and the length of the part
# Cameras pad their RAW files, by less than a twentieth.
_SHARE_OF_RAW: Final = 20
_LEAST_OF_RAW: Final = 1 << 16
# Of the bytes beside a hole; pictures with true black in them have more.
_ZEROS_OF_A_PHOTO: Final = 0.02

# Rows compared at a time.
_ROWS: Final = 256

_HOLE: Final = "a part of it was never written"


def refuse(data: bytes, kind: str, pixels: _Pixels) -> None:
    """Says whether a file has a hole that its decoder filled up.

    Args:
        data: the file.
        kind: its format, of `formats`.
        pixels: what it was decoded to.

    Raises:
        PhotoError: damaged, since a part of it was never written.
    """
    asked = _ASKED.get(kind)
    if asked is not None and asked(data, pixels):
        raise refusals.damaged(kind, _HOLE)


def refuse_rows(data: bytes, start: int, end: int, row: int, kind: str) -> None:
    """The same for uncompressed pixels between two offsets, `row` bytes each row; raises PhotoError as `refuse` does.

    A hole begins and ends somewhere inside rows, and right beside it is a photo; what is black for whole rows in a
    sound picture begins with a row, or after other black.
    """
    if row < 1 or start < 0 or end > len(data):
        return
    at = start
    while (at := data.find(bytes(row), at, end)) >= 0:
        stop = end_of_zeros(data, at, end)
        edges = [(at, at - row, at)] if stop == end else [(at, at - row, at), (stop, stop, stop + row)]
        if all(_is_torn(data, place, first, last, (start, end, row)) for place, first, last in edges):
            raise refusals.damaged(kind, _HOLE)
        at = stop


def _is_torn(data: bytes, place: int, first: int, last: int, within: tuple[int, int, int]) -> bool:
    """Whether zeros begin or end inside a row, beside a row without any."""
    start, end, row = within
    beside = data[max(first, start) : min(last, end)]
    few = beside.count(0) <= _ZEROS_OF_A_PHOTO * row + 4
    # A pixel's own bytes may be zero at the border: 8 of them are no sign.
    return len(beside) == row and few and 8 < (place - start) % row < row - 8


def end_of_zeros(data: bytes, start: int, end: int) -> int:
    """Where the run of zeros that begins at `start` ends, at most `end`."""
    at = start
    while at < end:
        block = data[at : min(at + (1 << 16), end)]
        rest = block.lstrip(b"\0")
        at += len(block) - len(rest)
        if rest:
            break
    return at


def ends_in_zeros(data: bytes, start: int, end: int, least: int) -> bool:
    """Whether the last `least` bytes before `end` are zeros; False where there are not as many after `start`."""
    return end - least >= start and not data[end - least : end].strip(b"\0")


# --- format by format


def _in_webp(data: bytes, pixels: _Pixels) -> bool:
    """Whether it has more zeros than its flat parts account for."""
    needed = sum(_flat_needed(data, *part) for part in _parts_of_webp(data, 12, len(data)))
    return needed > 0 and _flat_pixels(pixels) < needed


def _flat_needed(data: bytes, kind: bytes, start: int, end: int) -> float:
    """How many pixels of a flat picture the longest run of zeros in a part stands for."""
    packed = kind == b"VP8L" or (kind == b"ALPH" and start < end and data[start] & 3 == 1)
    if kind != b"VP8 " and not packed:
        return 0.0
    at = data.find(bytes(_OF_WEBP), start, end)
    longest = 0
    while at >= 0:
        stop = end_of_zeros(data, at, end)
        longest = max(longest, stop - at)
        at = data.find(bytes(_OF_WEBP), stop, end)
    return longest * (_FLAT_LOSSLESS if packed else _FLAT_LOSSY)


def _flat_pixels(pixels: _Pixels) -> int:
    """How many pixels are as their left neighbours."""
    height = pixels.height if isinstance(pixels, Image.Image) else len(pixels)
    flat = 0
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        part = (
            np.asarray(pixels.crop((0, top, pixels.width, bottom)))
            if isinstance(pixels, Image.Image)
            else pixels[top:bottom]
        )
        same = part[:, 1:] == part[:, :-1]
        flat += int((same if same.ndim == 2 else same.all(axis=-1)).sum())
    return flat


def _parts_of_webp(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind and place of each chunk, those of the first frame of a film among them."""
    at, films = start, 0
    while at + 8 <= end:
        kind, size = struct.unpack_from("<4sI", data, at)
        stop = min(at + 8 + size, end)
        if kind == b"ANMF" and films == 0:
            films = 1
            yield from _parts_of_webp(data, at + 24, stop)
        elif kind != b"ANMF":
            yield kind, at + 8, stop
        at = stop + size % 2


def _in_avif(data: bytes, _: _Pixels) -> bool:
    return any(data.find(bytes(_OF_AV1), *place) >= 0 for place in isobmff.items(data, (b"av01",)))


def _in_heif(data: bytes, _: _Pixels) -> bool:
    return any(data.find(bytes(_OF_HEVC), *place) >= 0 for place in isobmff.items(data, (b"hvc1", b"hev1")))


def _in_jpeg2000(data: bytes, _: _Pixels) -> bool:
    start = max(0, data.find(_SOC_SIZ))
    return data.find(bytes(_OF_PACKETS), start) >= 0 or _lacks_tiles(data, start)


def _lacks_tiles(data: bytes, start: int) -> bool:
    """Whether a codestream has fewer tiles than it says, although it goes on or ends well after them."""
    sides = struct.unpack_from(">8I", data, start + 8)
    across, down = (-(-(sides[at] - sides[at + 6]) // max(1, sides[at + 4])) for at in (0, 1))
    found: set[int] = set()
    at = start + 2
    while data[at : at + 1] == b"\xff" and at + 12 <= len(data):
        kind, length = struct.unpack_from(">HH", data, at)
        if kind != _SOT:
            at += 2 + length
            continue
        tile, size = struct.unpack_from(">HI", data, at + 4)
        found.add(tile)
        at = at + size if size else len(data)  # 0: as far as the end
    return len(found) < across * down


def _in_raw(data: bytes, _: _Pixels) -> bool:
    least = max(_LEAST_OF_RAW, len(data) // _SHARE_OF_RAW)
    return ends_in_zeros(data, 0, len(data), least)


def _in_bitmap(data: bytes, _: _Pixels) -> bool:
    """Only the uncompressed kinds of whole bytes have rows."""
    if len(data) < 54 or data[14:18] == b"\x0c\0\0\0":
        return False
    width, height, _planes, bits, packing = struct.unpack_from("<iiHHI", data, 18)
    (start,) = struct.unpack_from("<I", data, 10)
    if bits not in (24, 32) or packing not in (0, 3, 6):
        return False
    row = (width * bits // 8 + 3) // 4 * 4
    refuse_rows(data, start, start + row * abs(height), row, formats.BMP)
    return False


_ASKED: Final[dict[str, Callable[[bytes, _Pixels], bool]]] = {
    formats.WEBP: _in_webp,
    formats.AVIF: _in_avif,
    formats.HEIF: _in_heif,
    formats.JPEG_2000: _in_jpeg2000,
    formats.RAW: _in_raw,
    formats.BMP: _in_bitmap,
}
