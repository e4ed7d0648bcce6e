"""Bitmaps whose pixels are numbers, by any masks and under any header, as few programs write them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Masks = tuple[int, int, int, int]  # of red, green, blue and alpha; 0 for none

LAYOUTS: dict[str, tuple[int, Masks]] = {
    "4 bits each, with alpha": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "4 bits each": (16, (0xF00, 0xF0, 0xF, 0)),
    "5 bits each, with alpha": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "5 and 6 bits, blue first": (16, (0x1F, 0x7E0, 0xF800, 0)),
    "3, 3 and 2 bits": (16, (0xE0, 0x1C, 0x3, 0)),
    "8 bits, red first": (32, (0xFF, 0xFF00, 0xFF0000, 0)),
    "8 bits, red first, with alpha": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "8 bits, alpha first": (32, (0xFF00, 0xFF0000, 0xFF000000, 0xFF)),
    "10 bits each": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0)),
    "10 bits each, with alpha": (32, (0x3FF, 0xFFC00, 0x3FF00000, 0xC0000000)),
    "11, 11 and 10 bits": (32, (0x7FF, 0x3FF800, 0xFFC00000, 0)),
    "8 bits, as usual": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
}


def held(picture: NDArray[np.uint8], masks: Masks) -> NDArray[Any]:
    """The picture, (h, w, 4) in 0..255, as masks of so few bits can hold it."""
    most = [max(1, (1 << min(8, mask.bit_count())) - 1) for mask in masks]
    return np.dstack([picture[..., k].astype(int) * most[k] // 255 * 255 // most[k] for k in range(4)])


def by_masks(
    picture: NDArray[np.uint8],
    layout: str,
    *,
    header: int = 108,
    packing: int = 3,
    down: bool = False,
    profile: bytes = b"",
) -> bytes:
    """A bitmap of (h, w, 4) in 0..255, stored from the bottom unless `down`."""
    bits, masks = LAYOUTS[layout]
    height, width = picture.shape[:2]
    numbers = np.zeros((height, width), np.uint64)
    for channel, mask in enumerate(masks):
        if mask:
            most = (1 << mask.bit_count()) - 1
            value = (held(picture, masks)[..., channel] * most + 127) // 255
            numbers |= value.astype(np.uint64) << np.uint64((mask & -mask).bit_length() - 1)
    lines = numbers.astype(f"<u{bits // 8}")[:: 1 if down else -1]
    pixels = b"".join(line.tobytes().ljust((width * bits // 8 + 3) // 4 * 4, b"\0") for line in lines)
    fields = (header, width, -height if down else height, 1, bits, packing, 0, 3000, 3000, 0, 0)
    head = bytearray(struct.pack("<IiiHHIIiiII", *fields))
    head += struct.pack("<4I", *masks)[: 16 if header > 40 or packing == 6 else 12]
    head = head.ljust(header, b"\0")
    start = 14 + len(head)
    if header == 124:
        struct.pack_into("<4s", head, 56, b"DEBM")
        struct.pack_into("<2I", head, 112, 124 + len(pixels), len(profile))
    whole = start + len(pixels) + len(profile)
    return struct.pack("<2sIII", b"BM", whole, 0, start) + bytes(head) + pixels + profile
