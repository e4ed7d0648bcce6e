"""The numbers of a colour profile's tags, laid out anew: nothing that stands between, before or behind them survives.

After ICC.1:2022, section 10. Tags point at their own parts by offsets, and fields are reserved: there is room for a
name or a serial number in a tag that any colour management reads without complaint.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Final

# How many numbers each kind of parametric curve has.
PARAMETERS: Final = (1, 3, 4, 5, 7)
# Grids of more dimensions than there are channels here belong to nobody.
_MOST_CHANNELS: Final = 15
_HEAD: Final = 8  # of each tag: its type and four zeros
_GRID_HEAD: Final = 20  # sixteen sizes, how many bytes each number takes, three zeros


def clean(name: bytes, tag: memoryview) -> bytes:
    """A tag of the same numbers and nothing else.

    Raises:
        ValueError, struct.error: it is none of those that may have this name, or its numbers do not lie in it.
    """
    kind = bytes(tag[:4])
    if kind not in _KINDS.get(name, ()) or any(tag[4:_HEAD]):
        raise ValueError("another kind of tag")
    return _CLEANERS[kind](tag)


def _first(tag: memoryview, count: int) -> bytes:
    if len(tag) < count:
        raise ValueError("a tag that is cut off")
    return bytes(tag[:count])


def _curve(tag: memoryview) -> bytes:
    kind = bytes(tag[:4])
    if kind == b"curv":
        return _first(tag, 12 + 2 * struct.unpack_from(">I", tag, 8)[0])
    if kind != b"para":
        raise ValueError("no curve")
    (form,) = struct.unpack_from(">H", tag, 8)
    if form >= len(PARAMETERS):
        raise ValueError("an unknown curve")
    whole = _first(tag, 12 + 4 * PARAMETERS[form])
    return b"para\0\0\0\0" + whole[8:10] + bytes(2) + whole[12:]


def _table(tag: memoryview) -> bytes:
    """The tables of version 2, of 8 or 16 bits."""
    inputs, outputs, grid = struct.unpack_from(">3B", tag, 8)
    if not (0 < inputs <= _MOST_CHANNELS and 0 < outputs <= _MOST_CHANNELS):
        raise ValueError("a table of no channels")
    wide = bytes(tag[:4]) == b"mft2"
    before, after = struct.unpack_from(">2H", tag, 48) if wide else (256, 256)
    entries = inputs * before + grid**inputs * outputs + outputs * after
    whole = _first(tag, 52 + 2 * entries if wide else 48 + entries)
    return whole[:11] + bytes(1) + whole[12:]


def _steps(tag: memoryview) -> bytes:
    """The tables of version 4: up to five parts, each at an offset of its own."""
    inputs, outputs = struct.unpack_from(">2B", tag, 8)
    if not (0 < inputs <= _MOST_CHANNELS and 0 < outputs <= _MOST_CHANNELS):
        raise ValueError("a table of no channels")
    b_curves, matrix, m_curves, grid, a_curves = struct.unpack_from(">5I", tag, 12)
    # `mAB ` begins with the device's colours (A) and ends with those between profiles (B); `mBA ` the other way round.
    a_count, b_count = (inputs, outputs) if bytes(tag[:4]) == b"mAB " else (outputs, inputs)
    parts = (
        _curves(tag, b_curves, b_count) if b_curves else b"",
        _first(tag[matrix:], 48) if matrix else b"",
        _curves(tag, m_curves, b_count) if m_curves else b"",
        _grid(tag[grid:], inputs, outputs) if grid else b"",
        _curves(tag, a_curves, a_count) if a_curves else b"",
    )
    body, offsets = b"", list[int]()
    for part in parts:
        offsets.append(32 + len(body) if part else 0)
        body += part + bytes(-len(part) % 4)
    return bytes(tag[:4]) + bytes(4) + struct.pack(">2B2x5I", inputs, outputs, *offsets) + body


def _curves(tag: memoryview, at: int, count: int) -> bytes:
    """Curves one behind the other, each at the next whole word."""
    found = b""
    for _ in range(count):
        if any(tag[at + 4 : at + _HEAD]):
            raise ValueError("no curve")
        one = _curve(tag[at:])
        found += one + bytes(-len(one) % 4)
        at += len(one) + -len(one) % 4
    return found


def _grid(part: memoryview, inputs: int, outputs: int) -> bytes:
    sizes = _first(part, _GRID_HEAD)[:inputs]
    width = part[16]
    if width not in (1, 2):
        raise ValueError("numbers of an unknown width")
    numbers = math.prod(sizes) * outputs * width
    return sizes.ljust(16, b"\0") + bytes((width, 0, 0, 0)) + _first(part[_GRID_HEAD:], numbers)


_CLEANERS: Final[dict[bytes, Callable[[memoryview], bytes]]] = {
    b"XYZ ": lambda tag: _first(tag, 20),
    b"sf32": lambda tag: _first(tag, 44),
    b"cicp": lambda tag: _first(tag, 12),
    b"curv": _curve,
    b"para": _curve,
    b"mft1": _table,
    b"mft2": _table,
    b"mAB ": _steps,
    b"mBA ": _steps,
}
_LISTED: Final = {
    b"rXYZ gXYZ bXYZ wtpt bkpt": (b"XYZ ",),
    b"rTRC gTRC bTRC kTRC": (b"curv", b"para"),
    b"chad": (b"sf32",),
    b"A2B0 A2B1 A2B2": (b"mft1", b"mft2", b"mAB "),
    b"B2A0 B2A1 B2A2 gamt": (b"mft1", b"mft2", b"mBA "),
    b"cicp": (b"cicp",),
}
# Nothing but numbers that define colours, by the kinds that may hold them. Everything else in a profile (names, makers,
# dates, the measured targets, private tags) may tell whose device made it.
_KINDS: Final = {name: kinds for names, kinds in _LISTED.items() for name in names.split()}
COLOUR_TAGS: Final = frozenset(_KINDS)
# Those that say how the photo's own numbers are meant; the others are for the way back.
FORWARD: Final = frozenset(b"rXYZ gXYZ bXYZ rTRC gTRC bTRC A2B0 A2B1 A2B2".split())
