"""Broken copies of sound files: holes, ends that were never written, and TIFFs of the kinds that break unseen."""

# tifffile is untyped.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import tifffile


def never_written(data: bytes, share: float = 0.6) -> bytes:
    """As long as it should be, but only its beginning has arrived."""
    there = int(len(data) * share)
    return data[:there] + bytes(len(data) - there)


def overwritten(
    data: bytes, filling: Callable[[int], bytes] = bytes, size: int = 4096, share: float = 0.5
) -> bytes:
    """A hole of that size in the middle."""
    at = int(len(data) * share)
    return data[:at] + filling(size) + data[at + size :]


def with_bad_strip(data: bytes, filling: Callable[[int], bytes] = bytes, size: int = 4000) -> bytes:
    """A TIFF with a hole inside its middle strip."""
    page: Any = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    which = len(page.dataoffsets) // 2
    at, length = page.dataoffsets[which], page.databytecounts[which]
    size = min(size, length // 2)
    at += length // 3
    return data[:at] + filling(size) + data[at + size :]


def old_jpeg(jpeg: bytes, width: int, height: int, *, by_tag: bool = True) -> bytes:
    """A TIFF whose one strip is a whole JPEG (4:2:0), in the way that TIFF 6 had at first.

    Args:
        by_tag: the tag of the interchange format says where it is; else only the strip does.
    """
    bits_at = 8 + len(jpeg)
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, bits_at), (259, 3, 1, 6), (262, 3, 1, 6)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(jpeg))]
    tags += [(513, 4, 1, 8), (514, 4, 1, len(jpeg))] if by_tag else []
    tags.append((530, 3, 2, 2 | 2 << 16))
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, bits_at + 6) + jpeg + struct.pack("<3H", 8, 8, 8) + directory
