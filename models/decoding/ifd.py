"""The directories of a TIFF: which pictures it holds and where; decodes nothing, imports only the standard library."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

# Tags of TIFF 6.0, for whoever reads one by its number.
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
ORIENTATION, SAMPLES, PLANAR, SAMPLE_FORMAT = 274, 277, 284, 339
SUBFILE, OLD_SUBFILE, SUB_DIRECTORIES = 254, 255, 330
_REDUCED, _MASK = 1, 4  # bits of SUBFILE
_OLD_REDUCED: Final = 2
_PHOTOMETRIC_MASK: Final = 4

# Against loops and floods; a document scanner's stack is shorter.
_MOST_DIRECTORIES: Final = 256
_MOST_TAGS: Final = 512
_MOST_VALUES: Final = 16
# TIFF type: struct code and size. Others (texts, fractions) are left out.
_TYPES: Final = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 13: ("I", 4), 16: ("Q", 8), 18: ("Q", 8)}


_SIGNED_FRACTION: Final = 10


class Directory(NamedTuple):
    """Where a directory lies, and its tags with up to sixteen whole numbers each (an empty list for other values)."""

    offset: int
    tags: dict[int, list[int]]

    def number(self, tag: int, default: int = 0) -> int:
        """The first value of a tag."""
        values = self.tags.get(tag)
        return values[0] if values else default

    @property
    def is_picture(self) -> bool:
        """Neither a smaller version of another nor a mask."""
        kind = self.number(SUBFILE)
        reduced = kind & (_REDUCED | _MASK) or self.number(OLD_SUBFILE) == _OLD_REDUCED
        return not reduced and self.number(PHOTOMETRIC) != _PHOTOMETRIC_MASK

    @property
    def area(self) -> int:
        """Pixels."""
        return self.number(WIDTH) * self.number(HEIGHT)


class _Layout(NamedTuple):
    order: str
    big: bool

    @property
    def pointer(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def first(self) -> int:
        """Where the offset of the first directory is stored."""
        return 8 if self.big else 4


def _layout(data: bytes) -> _Layout:
    order = "<" if data[:2] == b"II" else ">"
    return _Layout(order, struct.unpack_from(order + "H", data, 2)[0] == 43)


def directories(data: bytes, *, first_only: bool = False) -> Iterator[Directory]:
    """The directories in order, each followed by its sub-directories; stops where the file is damaged.

    Args:
        data: a TIFF or BigTIFF.
        first_only: only the first and its sub-directories.
    """
    try:
        layout = _layout(data)
        (offset,) = struct.unpack_from(layout.pointer, data, layout.first)
    except struct.error:
        return
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(offset)
        try:
            found, following = _directory(data, layout, offset)
        except (struct.error, OverflowError):
            return
        yield found
        for sub in found.tags.get(SUB_DIRECTORIES, ()):
            if sub and sub not in seen and len(seen) < _MOST_DIRECTORIES:
                seen.add(sub)
                try:
                    yield _directory(data, layout, sub)[0]
                except (struct.error, OverflowError):
                    continue
        offset = 0 if first_only else following


def _directory(data: bytes, layout: _Layout, offset: int) -> tuple[Directory, int]:
    order = layout.order
    (count,) = struct.unpack_from(order + ("Q" if layout.big else "H"), data, offset)
    head, size, inline = (8, 20, 8) if layout.big else (2, 12, 4)
    tags: dict[int, list[int]] = {}
    for index in range(min(count, _MOST_TAGS)):
        at = offset + head + size * index
        tag, kind, length = struct.unpack_from(order + ("HHQ" if layout.big else "HHI"), data, at)
        code, width = _TYPES.get(kind, ("", 0))
        if not code or length > _MOST_VALUES:
            tags[tag] = []
            continue
        where = at + size - inline
        if width * length > inline:
            (where,) = struct.unpack_from(layout.pointer, data, where)
        tags[tag] = list(struct.unpack_from(f"{order}{length}{code}", data, where))
    following = 0
    end = offset + head + size * count
    if count <= _MOST_TAGS and end + struct.calcsize(layout.pointer) <= len(data):
        (following,) = struct.unpack_from(layout.pointer, data, end)
    return Directory(offset, tags), following


def fraction(data: bytes, tag: int, default: float = 0.0) -> float:
    """The first value of a signed fraction in the first directory of a small TIFF, or the default."""
    try:
        layout = _layout(data)
        (offset,) = struct.unpack_from(layout.order + "I", data, 4)
        (count,) = struct.unpack_from(layout.order + "H", data, offset)
        for at in range(offset + 2, offset + 2 + 12 * min(count, _MOST_TAGS), 12):
            found, kind, _, where = struct.unpack_from(layout.order + "HHII", data, at)
            if (found, kind) == (tag, _SIGNED_FRACTION):
                above, below = struct.unpack_from(layout.order + "2i", data, where)
                return above / below
    except (struct.error, ZeroDivisionError):
        pass
    return default


def main_picture(data: bytes) -> tuple[bytes, int]:
    """The same TIFF with its main picture as its first, and how many others of that size it holds.

    The main picture is the largest that is no smaller version, mask or page of text (one bit per pixel), wherever it
    lies: thumbnails may come first, and photos in sub-directories. Of several it is the first.
    """
    found = [one for one in directories(data) if one.area]
    if not found:
        return data, 0
    best = max(found, key=_rank)
    others = sum(_rank(one) == _rank(best) for one in found) - 1
    first = next(iter(directories(data)))
    if best.offset == first.offset:
        return data, others
    layout = _layout(data)
    at = layout.first
    pointer = struct.pack(layout.pointer, best.offset)
    return data[:at] + pointer + data[at + len(pointer) :], others


def _rank(one: Directory) -> tuple[bool, bool, int]:
    return one.is_picture, max(one.tags.get(BITS) or [1]) > 1, one.area
