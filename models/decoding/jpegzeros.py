"""Whether zeros inside a JPEG's scan can be its data, by its Huffman tables; decodes nothing.

A hole of zeros reads as a long row of one and the same code. In most files that code stands for "one more
coefficient", and no picture has blocks full of those; in others it stands for "nothing more in this block", which flat
parts have, too: then only a hole that ends where sectors do is told from a picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cutoutd.models.decoding.gaps import end_of_zeros

_SEQUENTIAL: Final = (0xC0, 0xC1)
_PROGRESSIVE: Final = 0xC2
_DHT: Final = 0xC4
# More bits than two whole blocks of the shortest coefficients.
LEAST: Final = 64
# What file systems lose: clusters, counted from the file's beginning.
_CLUSTER: Final = 4096
# Bands of so few coefficients may be all equal in a picture: smooth slopes are.
_LEAST_BAND: Final = 5
# The code of zeros in the tables that a JPEG without tables has: one more coefficient for luminance, else nothing more.
_STANDARD: Final = {0: 0x01, 1: 0x00}


def codes_of_zeros(tables: Iterator[bytes]) -> dict[int, int]:
    """What a code of zeros alone stands for, by the number of the AC table. `tables`: contents of DHT segments."""
    found = dict(_STANDARD)
    for content in tables:
        at = 0
        while at + 17 <= len(content):
            count = sum(content[at + 1 : at + 17])
            if content[at] >> 4 == 1 and count and at + 17 < len(content):
                found[content[at] & 15] = content[at + 17]
            at += 17 + count
    return found


def has_hole(data: bytes, start: int, end: int, header: bytes, frame: int, codes: dict[int, int]) -> bool:
    """Whether a scan has zeros that are not its data.

    Args:
        data: the whole file.
        start: where the scan's data begins.
        end: where it ends.
        header: the scan's own: how many channels, and each one's tables.
        frame: marker of the frame header.
        codes: what `codes_of_zeros` found in the tables in force.
    """
    at = data.find(bytes(LEAST), start, end)
    if at < 0 or frame not in (*_SEQUENTIAL, _PROGRESSIVE):
        return False
    return not _may_be_flat(header, frame, codes) or _has_cluster(data, at, end)


def _may_be_flat(header: bytes, frame: int, codes: dict[int, int]) -> bool:
    """Whether zeros can mean that nothing more is in block after block."""
    count = header[0] if header else 0
    tables = [header[2 + 2 * index] & 15 for index in range(count)]
    first, last, bits = header[1 + 2 * count : 4 + 2 * count]
    if frame in _SEQUENTIAL:
        return all(codes.get(number, 0) == 0 for number in tables)
    if first == 0 or bits >> 4 or last - first + 1 < _LEAST_BAND:
        return True
    symbol = codes.get(tables[0], 0)
    return symbol & 15 == 0 and symbol != 0xF0


def _has_cluster(data: bytes, start: int, end: int) -> bool:
    """Whether a run of zeros covers clusters exactly, but for a zero by chance on either side."""
    at = start
    while (at := data.find(bytes(_CLUSTER), at, end)) >= 0:
        stop = end_of_zeros(data, at, end)
        if -at % _CLUSTER <= 1 and stop % _CLUSTER <= 1:
            return True
        at = stop
    return False


def has_zero_steps(tables: bytes) -> bool:
    """Whether quantisation tables hold steps of zero, or end too early."""
    at = 0
    while at < len(tables):
        size = 128 if tables[at] >> 4 else 64
        steps = tables[at + 1 : at + 1 + size]
        if len(steps) < size or (not any(steps) if size == 128 else 0 in steps):
            return True
        at += 1 + size
    return False


def padding(data: bytes, start: int, end: int) -> int:
    """How many bytes 00 and FF end a scan without being its data."""
    whole = end
    while end > start:
        block = data[max(start, end - 4096) : end]
        kept = len(block.rstrip(b"\0\xff"))
        end -= len(block) - kept
        if kept:
            break
    if data[end : end + 2] == b"\xff\0":  # the last of the data, an FF of the picture's own
        end += 2
    return max(0, whole - end)
