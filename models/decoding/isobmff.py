"""The boxes of an AVIF: what part of the stored picture it shows; decodes nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from cutoutd.models.decoding import refusals

_AVIF: Final = "AVIF"


class Rectangle(NamedTuple):
    """Left, top, right, bottom in pixels of the stored picture."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    at = start
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= end:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        if size == 0:
            size = end - at
        if size < head or at + size > end:
            return
        yield _Box(kind, at + head, at + size)
        at += size


def _inside(data: bytes, start: int, end: int, kind: bytes) -> _Box | None:
    return next((box for box in _boxes(data, start, end) if box.kind == kind), None)


def clean_aperture(data: bytes, width: int, height: int) -> Rectangle | None:
    """What the file shows of its stored picture of that size; None: all of it.

    What was cropped away in an editor may still be stored, and was cropped away for a reason.

    Raises:
        PhotoError: the file says that it shows a part, but not which.
    """
    try:
        found = _property(data, b"clap")
    except (struct.error, IndexError) as exc:
        raise refusals.damaged(_AVIF, "its list of properties") from exc
    if found is None:
        return None
    if len(found) < 32:
        raise refusals.damaged(_AVIF, "its crop")
    numbers = struct.unpack(">4IiIiI", found[:32])
    if 0 in numbers[1::2]:
        raise refusals.damaged(_AVIF, "its crop")
    wide, high, across, down = (Fraction(numbers[at], numbers[at + 1]) for at in range(0, 8, 2))
    # The offsets are those of the centre, from the centre of the stored picture.
    left = Fraction(width - 1, 2) + across - (wide - 1) / 2
    top = Fraction(height - 1, 2) + down - (high - 1) / 2
    shown = Rectangle(round(left), round(top), round(left + wide), round(top + high))
    if not (0 <= shown.left < shown.right <= width and 0 <= shown.top < shown.bottom <= height):
        raise refusals.damaged(_AVIF, "its crop lies outside the picture")
    return shown


def _property(data: bytes, kind: bytes) -> bytes | None:
    """The content of a property that is associated with the primary item."""
    meta = _inside(data, 0, len(data), b"meta")
    if meta is None:
        return None
    start = meta.start + 4  # version and flags
    primary, properties = (_inside(data, start, meta.end, name) for name in (b"pitm", b"iprp"))
    if primary is None or properties is None:
        return None
    container = _inside(data, *properties[1:], b"ipco")
    if container is None:
        return None
    wide = data[primary.start] > 0
    (item,) = struct.unpack_from(">I" if wide else ">H", data, primary.start + 4)
    listed = list(_boxes(data, *container[1:]))
    for box in _boxes(data, *properties[1:]):
        if box.kind == b"ipma":
            for index in _associated(data, box, item):
                if 0 < index <= len(listed) and listed[index - 1].kind == kind:
                    return data[listed[index - 1].start : listed[index - 1].end]
    return None


def _associated(data: bytes, box: _Box, item: int) -> Iterator[int]:
    """The property numbers (from 1) that belong to an item."""
    version, flags = data[box.start], data[box.start + 3]
    (entries,) = struct.unpack_from(">I", data, box.start + 4)
    at = box.start + 8
    for _ in range(entries):
        if at >= box.end:
            return
        (owner,) = struct.unpack_from(">H" if version < 1 else ">I", data, at)
        at += 2 if version < 1 else 4
        count = data[at]
        at += 1
        for _ in range(count):
            value = struct.unpack_from(">H", data, at)[0] & 0x7FFF if flags & 1 else data[at] & 0x7F
            at += 2 if flags & 1 else 1
            if owner == item:
                yield value
