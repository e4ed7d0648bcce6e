"""Colour profiles that no camera of the test photos wrote."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import itertools
import struct

from cutoutd.models.decoding import icc


def one_way_icc() -> bytes:
    """As some scanners embed it: a table from RGB to Lab, and none back, so that nothing can be converted into it."""
    # Lab of mft2: L 0..100 to 0..0xFF00, a and b -128..127 to 0..0xFF00 with 0x8000 as zero. The corners of the
    # cube, blue fastest; opposite colours stand for the real ones.
    corners = [
        (0xFF00 * (r + g + b) // 3, 0x8000 + 0x4000 * (r - g), 0x8000 + 0x4000 * (g - b))
        for r, g, b in itertools.product((0, 1), repeat=3)
    ]
    table = struct.pack(">4s4x4B", b"mft2", 3, 3, 2, 0) + icc._numbers((1, 0, 0, 0, 1, 0, 0, 0, 1))
    table += struct.pack(">2H6H", 2, 2, *(0, 0xFFFF) * 3)
    table += b"".join(struct.pack(">3H", *corner) for corner in corners)
    table += struct.pack(">6H", *(0, 0xFFFF) * 3)
    tags = {b"wtpt": icc._xyz_tag((0.9642, 1.0, 0.8249)), b"A2B0": table}
    return icc._assemble(icc.Header(b"\x02\x10\0\0", b"scnr", b"RGB ", b"Lab "), tags)


def inks_icc() -> bytes:
    """Of some printer: from four inks to Lab, in steps as rough as can be."""
    corners = [
        (0xFF00 * (3 - c - m - y) * (1 - k) // 3, 0x8000 + 0x3000 * (m - c), 0x8000 + 0x3000 * (y - m))
        for c, m, y, k in itertools.product((0, 1), repeat=4)
    ]
    table = struct.pack(">4s4x4B", b"mft2", 4, 3, 2, 0) + icc._numbers((1, 0, 0, 0, 1, 0, 0, 0, 1))
    table += struct.pack(">2H8H", 2, 2, *(0, 0xFFFF) * 4)
    table += b"".join(struct.pack(">3H", *corner) for corner in corners)
    table += struct.pack(">6H", *(0, 0xFFFF) * 3)
    tags = {b"wtpt": icc._xyz_tag((0.9642, 1.0, 0.8249)), b"A2B0": table}
    return icc._assemble(icc.Header(b"\x02\x10\0\0", b"prtr", b"CMYK", b"Lab "), tags)
