"""Adds properties to the primary picture of an AVIF or HEIC: a crop, a turn, a mirror. For tests of geometry."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def clap(width: int, height: int, across: float = 0, down: float = 0) -> bytes:
    """The part of that size whose centre lies so many pixels beside the stored picture's (halves are possible)."""
    numbers = (width, 1, height, 1, round(across * 2), 2, round(down * 2), 2)
    return box(b"clap", struct.pack(">4IiIiI", *numbers))


def irot(quarters: int) -> bytes:
    """Turned to the left by so many quarters."""
    return box(b"irot", bytes((quarters,)))


def imir(axis: int) -> bytes:
    """0: top and bottom change places; 1: left and right do."""
    return box(b"imir", bytes((axis,)))


def with_properties(data: bytes, *added: bytes) -> bytes:
    """The same file whose picture has more properties, in that order, after those that it had; its alpha, too."""
    meta = _find(data, 0, len(data), b"meta")
    parts = {kind: _find(data, meta[0] + 12, meta[1], kind) for kind in (b"iprp", b"iloc")}
    iprp = parts[b"iprp"]
    ipco, ipma = (_find(data, iprp[0] + 8, iprp[1], kind) for kind in (b"ipco", b"ipma"))
    first = sum(1 for _ in _boxes(data, ipco[0] + 8, ipco[1])) + 1
    new_ipco = box(b"ipco", data[ipco[0] + 8 : ipco[1]] + b"".join(added))
    new_ipma = _associated(data[ipma[0] : ipma[1]], range(first, first + len(added)))
    both = sorted(((ipco, new_ipco), (ipma, new_ipma)))
    inside, at = b"", iprp[0] + 8
    for (start, end), new in both:
        inside += data[at:start] + new
        at = end
    new_iprp = box(b"iprp", inside + data[at : iprp[1]])
    grown = len(new_iprp) - (iprp[1] - iprp[0])
    content = bytearray(data[meta[0] + 8 : iprp[0]] + new_iprp + data[iprp[1] : meta[1]])
    iloc = parts[b"iloc"][0] - meta[0] - 8 + (grown if parts[b"iloc"][0] > iprp[0] else 0)
    _move(content, iloc, grown, behind=meta[1])
    return data[: meta[0]] + box(b"meta", bytes(content)) + data[meta[1] :]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    at = start
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        stop = at + size if size else end
        yield kind, at, stop
        at = stop


def _find(data: bytes, start: int, end: int, kind: bytes) -> tuple[int, int]:
    return next((at, stop) for found, at, stop in _boxes(data, start, end) if found == kind)


def _associated(ipma: bytes, numbers: range) -> bytes:
    """The list of associations with more for every item (version 0, numbers below 128)."""
    assert ipma[8:12] == bytes(4), "an unusual list of associations"
    (count,) = struct.unpack_from(">I", ipma, 12)
    at, out = 16, b""
    for _ in range(count):
        owner, many = struct.unpack_from(">HB", ipma, at)
        listed = ipma[at + 3 : at + 3 + many] + bytes(number | 128 for number in numbers)
        out += struct.pack(">HB", owner, len(listed)) + listed
        at += 3 + many
    return box(b"ipma", ipma[8:16] + out)


def _move(meta: bytearray, iloc: int, by: int, *, behind: int) -> None:
    """Add to every offset of the item list that points behind the box of lists (offsets and bases of 4 bytes)."""
    version, sizes, more = meta[iloc + 8], meta[iloc + 12], meta[iloc + 13]
    assert sizes >> 4 == 4, "unusual offsets"
    assert more >> 4 in (0, 4), "unusual bases"
    length, base, index = sizes & 15, more >> 4, more & 15 if version else 0
    wide = 4 if version == 2 else 2
    count = int.from_bytes(meta[iloc + 14 : iloc + 14 + wide], "big")
    at = iloc + 14 + wide
    for _ in range(count):
        at += wide + (2 if version else 0) + 2
        if base:
            _add(meta, at, by, behind)
        at += base
        (extents,) = struct.unpack_from(">H", meta, at)
        at += 2
        for _ in range(extents):
            at += index
            _add(meta, at, by, behind)
            at += 4 + length


def _add(meta: bytearray, at: int, by: int, behind: int) -> None:
    (offset,) = struct.unpack_from(">I", meta, at)
    if offset >= behind:
        struct.pack_into(">I", meta, at, offset + by)
