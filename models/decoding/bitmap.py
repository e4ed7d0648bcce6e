"""Bitmaps (BMP) as their writers meant them: any masks, alpha of few bits, headers that are cut off, profiles.

Pillow decodes them; what it does not take is written anew as what it does. Not for holes and early ends (gaps.py).
Algorithm: Microsoft, "Bitmap Header Types": BITMAPV5HEADER and its forerunners, BI_BITFIELDS, BI_ALPHABITFIELDS.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.decoding import icc

_FILE_HEADER: Final = 14
_PLAIN_HEADER, _HEADER_WITH_MASKS, _HEADER_WITH_ALPHA, _HEADER_WITH_PROFILE = 40, 52, 56, 124
_BY_MASKS: Final = (3, 6)  # three of them, or four
_EMBEDDED: Final = 0x4D424544  # "MBED"
# Blue, green, red and alpha, one byte each, lowest first.
_BYTES: Final = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
# Red, green and blue as Pillow takes them, by bits per pixel.
_TAKEN_OF_16: Final = ((0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F))
# A mask of more bits than this is cut to its uppermost: 8 of them are wanted.
_MOST_BITS: Final = 16


class _Packed(NamedTuple):
    """A bitmap whose pixels are numbers: where its header ends, what it says, where the pixels lie."""

    width: int
    height: int  # negative: from the top
    bits: int
    packing: int
    masks: tuple[int, int, int, int]
    start: int


def readable(data: bytes, *, whole: bool = True) -> bytes:
    """The file as Pillow reads it: headers that end early completed, pixels by unusual masks written as bytes.

    Args:
        data: the file.
        whole: whether its pixels are wanted too; else no room is taken for any.

    Returns:
        The same bytes where nothing has to be done, or where it is beyond doing.

    Raises:
        OSError: it is by such masks and ends early.
    """
    data = _completed(data)
    packed = _packed(data)
    if packed is None or not all(_is_run(mask) for mask in packed.masks if mask) or _is_taken(packed):
        return data
    pixels = _pixels(data, packed).tobytes() if whole else b""
    colours = profile(data) or b""
    return b"".join((*_heads(data, packed, len(pixels), len(colours)), pixels, colours))


def without_empty_alpha(image: Image.Image) -> Image.Image:
    """Programs that know no transparency leave the fourth byte of a bitmap's pixels 0: that means opaque."""
    if image.mode != "RGBA" or image.getchannel("A").getextrema() != (0, 0):
        return image
    plain = image.convert("RGB")
    plain.info = image.info
    return plain


def profile(data: bytes) -> bytes | None:
    """The profile that the largest of the headers of Windows may bring, at a place that is counted from that header."""
    if data[14:18] != struct.pack("<I", _HEADER_WITH_PROFILE):
        return None
    (kind,) = struct.unpack_from("<I", data, _FILE_HEADER + 56)
    at, size = struct.unpack_from("<2I", data, _FILE_HEADER + 112)
    if kind != _EMBEDDED or at < _HEADER_WITH_PROFILE or size > icc.MAX_PROFILE_BYTES:
        return None
    return data[_FILE_HEADER + at : _FILE_HEADER + at + size]


def _completed(data: bytes) -> bytes:
    """OS/2 allowed headers that are cut off after any field: the rest is as if it was 0."""
    size = int.from_bytes(data[14:18], "little")
    if not 16 <= size < 64 or size in (_PLAIN_HEADER, _HEADER_WITH_MASKS, _HEADER_WITH_ALPHA):
        return data
    offset = int.from_bytes(data[10:14], "little") + _PLAIN_HEADER - size
    fields = data[18 : _FILE_HEADER + min(size, _PLAIN_HEADER)].ljust(36, b"\0")
    return data[:10] + struct.pack("<II", offset, _PLAIN_HEADER) + fields + data[_FILE_HEADER + size :]


def _packed(data: bytes) -> _Packed | None:
    """What a bitmap by masks says of itself, or None for any other."""
    if len(data) < _FILE_HEADER + _HEADER_WITH_ALPHA:
        return None
    (start,) = struct.unpack_from("<I", data, 10)
    size, width, height, _planes, bits, packing = struct.unpack_from("<IiiHHI", data, _FILE_HEADER)
    if size < _PLAIN_HEADER or packing not in _BY_MASKS or bits not in (16, 32) or width < 1 or not height:
        return None
    red, green, blue, alpha = struct.unpack_from("<4I", data, _FILE_HEADER + _PLAIN_HEADER)
    # Behind the plain header there is a fourth only where the packing says so.
    has_fourth = size >= _HEADER_WITH_ALPHA or (size == _PLAIN_HEADER and packing == _BY_MASKS[1])
    return _Packed(width, height, bits, packing, (red, green, blue, alpha if has_fourth else 0), start)


def _is_run(mask: int) -> bool:
    """Whether a mask's bits lie side by side."""
    return not (mask + (mask & -mask)) & mask


def _is_taken(packed: _Packed) -> bool:
    """Whether Pillow reads it, with its alpha."""
    *colours, alpha = packed.masks
    if packed.packing != _BY_MASKS[0]:
        return False
    if packed.bits == 16:
        return tuple(colours) in _TAKEN_OF_16 and not alpha
    return packed.masks in (_BYTES, (*_BYTES[:3], 0), (0, 0, 0, 0))


def _pixels(data: bytes, packed: _Packed) -> NDArray[np.uint8]:
    """Blue, green, red and alpha of each pixel, uint8 (h, w, 4), in the order of the file; opaque without its mask."""
    height, each = abs(packed.height), packed.bits // 8
    row = (packed.width * each + 3) // 4 * 4
    if packed.start + row * height > len(data):
        raise OSError("image file is truncated")
    lines = np.frombuffer(data, np.uint8, row * height, packed.start).reshape(height, row)
    numbers = np.ascontiguousarray(lines[:, : packed.width * each]).view(f"<u{each}")
    pixels = np.full((*numbers.shape, 4), 255, np.uint8)
    for channel, mask in zip((2, 1, 0, 3), packed.masks, strict=True):
        if mask or channel < 3:
            pixels[..., channel] = _scaled(numbers, mask)
    return pixels


def _heads(data: bytes, packed: _Packed, pixels: int, colours: int) -> tuple[bytes, bytes]:
    """Both headers of a bitmap of bytes: the second of the largest kind, which keeps what the file's own said.

    Args:
        data: the file.
        packed: what it says of itself.
        pixels: how many bytes of pixels follow ...
        colours: ... and, behind them, of a profile.
    """
    (size,) = struct.unpack_from("<I", data, _FILE_HEADER)
    kept = size if size == _HEADER_WITH_PROFILE else _PLAIN_HEADER
    header = bytearray(data[_FILE_HEADER : _FILE_HEADER + kept].ljust(_HEADER_WITH_PROFILE, b"\0"))
    struct.pack_into("<I", header, 0, _HEADER_WITH_PROFILE)
    struct.pack_into("<HII", header, 14, 32, _BY_MASKS[0], pixels)
    struct.pack_into("<4I", header, _PLAIN_HEADER, *(_BYTES if packed.masks[3] else (*_BYTES[:3], 0)))
    struct.pack_into("<2I", header, 112, _HEADER_WITH_PROFILE + pixels, colours)
    start = _FILE_HEADER + _HEADER_WITH_PROFILE
    return struct.pack("<2sIII", b"BM", start + pixels + colours, 0, start), bytes(header)


def _scaled(numbers: NDArray[np.uint16] | NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """What the mask picks from each number, 0 to its most, as 0 to 255."""
    if not mask:
        return np.zeros(numbers.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    cut = max(0, (mask >> shift).bit_length() - _MOST_BITS)
    most = mask >> shift + cut
    picked = (numbers >> np.uint32(shift + cut)) & np.uint32(most)
    return ((picked * np.uint32(255) + np.uint32(most // 2)) // np.uint32(most)).astype(np.uint8)
