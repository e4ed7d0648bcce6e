"""The boxes of an AVIF or HEIC: what part of the stored picture it shows, where its pieces lie; decodes nothing."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from cutoutd.models.decoding import refusals

_FORMAT: Final = "AVIF or HEIC"


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


class Box(NamedTuple):
    """One box: what it is, and where its content begins and ends."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes between two offsets, as far as they are whole."""
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
        yield Box(kind, at + head, at + size)
        at += size


def inside(data: bytes, start: int, end: int, kind: bytes) -> Box | None:
    """The first box of a kind between two offsets."""
    return next((box for box in boxes(data, start, end) if box.kind == kind), None)


def with_told_end(data: bytes) -> bytes:
    """The same file, its last box with the size that it has, where it only says that it goes on to the end."""
    found = deque(boxes(data, 0, len(data)), maxlen=1)
    # A size of 64 bits, which may stand there instead, mostly begins with zeros: it is the kind that tells the two.
    head = found[0].start - 8 if found else 0
    if not found or data[head : head + 8] != bytes(4) + found[0].kind:
        return data
    size = len(data) - head
    return data if size >> 32 else data[:head] + struct.pack(">I", size) + data[head + 4 :]


def clean_aperture(data: bytes, width: int, height: int) -> Rectangle | None:
    """What the file shows of its stored picture of that size; None: all of it.

    What was cropped away in an editor may still be stored, and was cropped away for a reason.

    Raises:
        PhotoError: the file says that it shows a part, but not which.
    """
    try:
        found = _property(data, b"clap")
    except (struct.error, IndexError) as exc:
        raise refusals.damaged(_FORMAT, "its list of properties") from exc
    return None if found is None else _aperture(found, width, height)


def _aperture(found: bytes, width: int, height: int) -> Rectangle:
    if len(found) < 32:
        raise refusals.damaged(_FORMAT, "its crop")
    numbers = struct.unpack(">4IiIiI", found[:32])
    if 0 in numbers[1::2]:
        raise refusals.damaged(_FORMAT, "its crop")
    wide, high, across, down = (Fraction(numbers[at], numbers[at + 1]) for at in range(0, 8, 2))
    # The offsets are those of the centre, from the centre of the stored picture.
    left = Fraction(width - 1, 2) + across - (wide - 1) / 2
    top = Fraction(height - 1, 2) + down - (high - 1) / 2
    shown = Rectangle(round(left), round(top), round(left + wide), round(top + high))
    if not (0 <= shown.left < shown.right <= width and 0 <= shown.top < shown.bottom <= height):
        raise refusals.damaged(_FORMAT, "its crop lies outside the picture")
    return shown


def uncropped(data: bytes) -> tuple[bytes, Rectangle | None]:
    """The same file with a clean aperture that is the whole picture, and what it showed of it after all turns.

    None, and the file as it is, where there is no clean aperture.

    Raises:
        PhotoError: the file says that it shows a part, but not which.
    """
    try:
        chain = list(_properties(data))
        size = next(
            (struct.unpack_from(">2I", data, box.start + 4) for box in chain if box.kind == b"ispe"), None
        )
        if size is None or all(box.kind != b"clap" for box in chain):
            return data, None
        width, height = size
        shown: Rectangle | None = None
        for box in chain:
            if box.kind == b"clap" and shown is None:
                content = data[box.start : box.end]
                shown = _aperture(content, width, height)
                data = data.replace(b"clap" + content, b"clap" + _whole(width, height) + content[32:])
            elif box.kind == b"irot":
                for _ in range(data[box.start] & 3):
                    shown = None if shown is None else _turned(shown, width)
                    width, height = height, width
            elif box.kind == b"imir" and shown is not None:
                shown = _mirrored(shown, width, height, left_right=data[box.start] & 1 == 1)
    except (struct.error, IndexError) as exc:
        raise refusals.damaged(_FORMAT, "its list of properties") from exc
    return data, shown


def _whole(width: int, height: int) -> bytes:
    return struct.pack(">4IiIiI", width, 1, height, 1, 0, 1, 0, 1)


def _turned(part: Rectangle, width: int) -> Rectangle:
    """The same part of a picture of that width after it was turned to the left by a quarter."""
    return Rectangle(part.top, width - part.right, part.bottom, width - part.left)


def _mirrored(part: Rectangle, width: int, height: int, *, left_right: bool) -> Rectangle:
    left, top, right, bottom = part
    if left_right:
        return Rectangle(width - right, top, width - left, bottom)
    return Rectangle(left, height - bottom, right, height - top)


def _property(data: bytes, kind: bytes) -> bytes | None:
    """The content of a property that is associated with the primary item."""
    return next((data[box.start : box.end] for box in _properties(data) if box.kind == kind), None)


def _properties(data: bytes) -> Iterator[Box]:
    """The properties that are associated with the primary item, in their order."""
    meta = inside(data, 0, len(data), b"meta")
    if meta is None:
        return
    start = meta.start + 4  # version and flags
    primary, properties = (inside(data, start, meta.end, name) for name in (b"pitm", b"iprp"))
    if primary is None or properties is None:
        return
    container = inside(data, *properties[1:], b"ipco")
    if container is None:
        return
    wide = data[primary.start] > 0
    (item,) = struct.unpack_from(">I" if wide else ">H", data, primary.start + 4)
    listed = list(boxes(data, *container[1:]))
    for box in boxes(data, *properties[1:]):
        if box.kind == b"ipma":
            for index in _associated(data, box, item):
                if 0 < index <= len(listed):
                    yield listed[index - 1]


def _associated(data: bytes, box: Box, item: int) -> Iterator[int]:
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


def code_points(data: bytes) -> tuple[int, int] | None:
    """H.273 colour primaries and transfer characteristics that the file names for what it shows, or None.

    Not those of other items: a map of brightness, for one, has its own.
    """
    try:
        found = next(
            (data[box.start + 4 : box.end] for box in _properties(data) if _names_code_points(data, box)),
            None,
        )
        return None if found is None else struct.unpack_from(">2H", found)
    except (struct.error, IndexError):
        return None


def _names_code_points(data: bytes, box: Box) -> bool:
    return box.kind == b"colr" and data[box.start : box.start + 4] == b"nclx"


# --- where the pieces lie


def items(data: bytes, kinds: tuple[bytes, ...]) -> list[tuple[int, int]]:
    """Start and end of each piece of the items of these kinds, as far as the lists can be read."""
    try:
        meta = inside(data, 0, len(data), b"meta")
        if meta is None:
            return []
        infos, places = (inside(data, meta.start + 4, meta.end, name) for name in (b"iinf", b"iloc"))
        if infos is None or places is None:
            return []
        wanted = frozenset(_items_of(data, infos, kinds))
        return [(start, min(end, len(data))) for item, start, end in _extents(data, places) if item in wanted]
    except (struct.error, IndexError):
        return []


def _items_of(data: bytes, box: Box, kinds: tuple[bytes, ...]) -> Iterator[int]:
    head = 6 if data[box.start] == 0 else 8  # version, flags, count
    for entry in boxes(data, box.start + head, box.end):
        version = data[entry.start]
        if entry.kind != b"infe" or version < 2:
            continue
        wide = version > 2
        at = entry.start + 4
        (item,) = struct.unpack_from(">I" if wide else ">H", data, at)
        at += (4 if wide else 2) + 2
        if data[at : at + 4] in kinds:
            yield item


def _extents(data: bytes, box: Box) -> Iterator[tuple[int, int, int]]:
    """Item, start and end of each extent that is counted from the beginning of the file."""
    version = data[box.start]
    sizes, more = data[box.start + 4], data[box.start + 5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version else 0
    reader = _Numbers(data, box.start + 6)
    for _ in range(reader.take(4 if version == 2 else 2)):
        item = reader.take(4 if version == 2 else 2)
        method = reader.take(2) & 15 if version else 0
        reader.take(2)
        base = reader.take(base_size)
        for _ in range(reader.take(2)):
            reader.take(index_size)
            start = base + reader.take(offset_size)
            length = reader.take(length_size)
            if method == 0:
                yield item, start, start + length


class _Numbers:
    """Big-endian numbers one after the other; raises IndexError at the end of the data."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def take(self, size: int) -> int:
        """The next number of that many bytes, which may be none."""
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise IndexError("the list ends before its last number")
        self._at += size
        return int.from_bytes(found, "big")
