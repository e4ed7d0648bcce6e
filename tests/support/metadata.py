"""Reads what a picture file carries beside its pixels, chunk by chunk, sharing no code with any writer.

Every reader walks its format by the specification, checks what can be checked (lengths, CRCs), and returns the
names of everything that is not needed to show the pixels: "density", "icc", or the chunk's own name.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field


@dataclass
class Carried:
    """What a file carries: names of extras, its ICC profile, its density in dots per inch."""

    extras: set[str] = field(default_factory=set[str])
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None


def read(data: bytes) -> Carried:
    """Tell the format from the first bytes and walk it.

    Raises:
        ValueError: the file breaks its own format.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    if data[4:8] == b"ftyp":
        return _avif(data)
    raise ValueError("unknown format")


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """All chunks of a PNG in order, with their CRCs checked, and nothing after IEND."""
    at, chunks = 8, list[tuple[bytes, bytes]]()
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(kind + body) != crc:
            raise ValueError(f"CRC of {kind!r} is wrong")
        chunks.append((kind, body))
        at += 12 + length
    if at != len(data) or chunks[0][0] != b"IHDR" or chunks[-1] != (b"IEND", b""):
        raise ValueError("not IHDR first and IEND last")
    return chunks


def _png(data: bytes) -> Carried:
    found = Carried()
    for kind, body in png_chunks(data):
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            continue
        if kind == b"pHYs":
            x, y, unit = struct.unpack(">IIB", body)
            assert unit == 1
            found.dpi = (x * 0.0254, y * 0.0254)
            found.extras.add("density")
        elif kind == b"iCCP":
            name, rest = body.split(b"\0", 1)
            assert rest[0] == 0
            assert name == b"ICC profile"
            found.icc = zlib.decompress(rest[1:])
            found.extras.add("icc")
        else:
            found.extras.add(kind.decode("latin-1"))
    return found


def _webp(data: bytes) -> Carried:
    found = Carried()
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 != len(data):
        raise ValueError("RIFF length is wrong")
    at = 12
    while at < len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind == b"ICCP":
            found.icc = data[at + 8 : at + 8 + size]
            found.extras.add("icc")
        elif kind == b"VP8X":
            flags = data[at + 8]
            found.extras |= {name for bit, name in ((0x08, "EXIF flag"), (0x04, "XMP flag")) if flags & bit}
        elif kind not in (b"VP8 ", b"VP8L", b"ALPH"):
            found.extras.add(kind.decode("latin-1"))
        at += 8 + size + size % 2
    return found


def _jpeg(data: bytes) -> Carried:
    found = Carried()
    at = 2
    while at < len(data):
        if data[at] != 0xFF:
            raise ValueError("no marker where one must be")
        marker = data[at + 1]
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker == 0xE0 and body[:5] == b"JFIF\0":
            unit, x, y = struct.unpack_from(">BHH", body, 7)
            if body[12:14] != b"\0\0":
                found.extras.add("JFIF thumbnail")
            if unit:
                found.dpi = (x, y) if unit == 1 else (x * 2.54, y * 2.54)
                found.extras.add("density")
        elif marker == 0xE2 and body[:12] == b"ICC_PROFILE\0":
            found.icc = (found.icc or b"") + body[14:]
            found.extras.add("icc")
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            found.extras.add(f"marker {marker:02X}")
        at += 2 + length
        if marker == 0xDA:
            at = _after_scan(data, at)
    if data[at : at + 2] != b"\xff\xd9" or at + 2 != len(data):
        raise ValueError("something follows the picture, or its end is missing")
    return found


def _after_scan(data: bytes, at: int) -> int:
    """The next marker that is neither a stuffed byte nor a restart."""
    while not (data[at] == 0xFF and data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7):
        at += 1
    return at


_TIFF_NEEDED = {256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 338, 339, 254}
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 12: 8, 16: 8}


def _tiff(data: bytes) -> Carried:
    found = Carried()
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    (following,) = struct.unpack_from(order + "I", data, directory + 2 + 12 * count)
    if following:
        found.extras.add("second directory")
    density: dict[int, float] = {}
    for number in range(count):
        at = directory + 2 + 12 * number
        tag, kind, amount = struct.unpack_from(order + "HHI", data, at)
        size = _TIFF_SIZES[kind] * amount
        where = at + 8 if size <= 4 else struct.unpack_from(order + "I", data, at + 8)[0]
        body = data[where : where + size]
        if tag in (282, 283):
            over, under = struct.unpack(order + "II", body)
            density[tag] = over / under
        elif tag == 296:
            density[tag] = struct.unpack(order + "H", body[:2])[0]
        elif tag == 34675:
            found.icc = body
            found.extras.add("icc")
        elif tag not in _TIFF_NEEDED:
            found.extras.add(f"tag {tag}")
    if density.get(296, 1) == 2:
        found.dpi = (density[282], density[283])
        found.extras.add("density")
    elif any(density.get(tag, 1) != 1 for tag in (282, 283)):
        found.extras.add("odd resolution")
    return found


_AVIF_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}
_AVIF_NEEDED = frozenset(
    b"ftyp meta hdlr pitm iloc iinf iref iprp ipco ipma ispe pixi av1C auxC colr mdat".split()
)


def _avif(data: bytes) -> Carried:
    found = Carried()
    _boxes(data, 0, len(data), found)
    for item in (b"Exif", b"mime", b"uri "):
        if item in data[: data.find(b"mdat")]:
            found.extras.add(item.decode())
    return found


def _boxes(data: bytes, at: int, end: int, found: Carried) -> None:
    while at < end:
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > end:
            raise ValueError(f"box {kind!r} does not fit")
        if kind == b"colr" and data[at + 8 : at + 12] in (b"prof", b"rICC"):
            found.icc = data[at + 12 : at + size]
            found.extras.add("icc")
        elif kind == b"hdlr":
            # version, flags, 4 bytes, handler type, 12 bytes, then a name that libraries fill with theirs
            if data[at + 32 : at + size].strip(b"\0") not in (b"", b"libavif"):
                found.extras.add("handler name")
        elif kind not in _AVIF_NEEDED:
            found.extras.add(kind.decode("latin-1"))
        if kind in _AVIF_CONTAINERS:
            _boxes(data, at + 8 + _AVIF_CONTAINERS[kind], at + size, found)
        at += size
