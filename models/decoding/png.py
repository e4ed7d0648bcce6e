"""PNG chunks: what the picture needs is checked and handed on, what is broken beside it is left out with a note.

Not for the pixels (`pillow` decodes them) and not for what a profile means (`icc`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import Struct

from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding import refusals

_PNG: Final = "PNG"
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

# Whole picture and its transparency: only these are shown to the decoder.
_PICTURE: Final = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
# Facts that are read here; the length that each must have, None where it varies.
_FACTS: Final[dict[bytes, int | None]] = {
    b"cICP": 4, b"iCCP": None, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"eXIf": None, b"pHYs": 9,
}  # fmt: skip
# 100,000 times the exponent that undoes the sRGB curve, near enough: such files are made for sRGB screens.
_SRGB_GAMMA: Final = range(45_000, 46_000)
_INCHES_PER_METRE: Final = 39.3701


class _Chunk(NamedTuple):
    """Type, where its data lies, whether it is all there with the right sum."""

    kind: bytes
    start: int
    end: int
    sound: bool


class Contents(Struct, frozen=True):
    """A PNG taken apart.

    picture: a PNG of the same pixels without anything else. icc: the profile that its chunks amount to; None means
    sRGB. code_points: H.273 primaries and transfer, or None. exif, dpi: None where there are none. notes: sentences.
    """

    picture: bytes
    icc: bytes | None
    code_points: tuple[int, int] | None
    exif: bytes | None
    dpi: tuple[float, float] | None
    notes: tuple[str, ...]


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Every chunk up to the end marker; the last may be cut off."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        start, end = at + 8, min(at + 8 + length, len(data))
        sum_ = zlib.crc32(memoryview(data)[at + 4 : end]).to_bytes(4, "big")
        yield _Chunk(kind, start, end, data[end : end + 4] == sum_)
        if kind == b"IEND":
            return
        at += 12 + length


def take_apart(data: bytes, *, whole: bool = True) -> Contents:
    """Split a PNG into its picture and its facts; with `whole` False without the pixels.

    Raises:
        PhotoError: damaged, or stored in a way that is not read.
    """
    kept: list[_Chunk] = []
    facts: dict[bytes, bytes] = {}
    broken: list[bytes] = []
    for chunk in _chunks(data):
        if chunk.kind in _PICTURE:
            if _is_usable(chunk, data):
                kept.append(chunk)
            else:
                broken.append(chunk.kind)
        elif chunk.kind in _FACTS and chunk.kind not in facts:
            content = data[chunk.start : chunk.end]
            if chunk.sound and _FACTS[chunk.kind] in (None, len(content)):
                facts[chunk.kind] = content
            else:
                broken.append(chunk.kind)
        elif chunk.kind == b"CgBI":
            raise refusals.not_read(_PNG, "an app's own picture for iOS")
        elif not chunk.kind[:1].islower() and chunk.kind.isalpha() and chunk.sound:
            raise refusals.not_read(_PNG, f"unknown part {chunk.kind.decode('ascii', 'replace')}")
        elif not chunk.sound:
            broken.append(chunk.kind)
    if not kept or kept[0].kind != b"IHDR":
        raise refusals.damaged(_PNG, "its header is missing")
    icc, code_points = _colours(facts, broken)
    return Contents(
        _built(data, kept) if whole else _built(data, [one for one in kept if one.kind != b"IDAT"]),
        icc,
        code_points,
        facts.get(b"eXIf"),
        _dpi(facts.get(b"pHYs")),
        tuple(_note(kind) for kind in dict.fromkeys(broken)),
    )


def _is_usable(chunk: _Chunk, data: bytes) -> bool:
    """Whether a chunk of the picture can be taken; False for transparency that is better left out."""
    if chunk.sound or chunk.kind == b"IEND":
        return True
    if chunk.kind == b"tRNS":
        return False
    if chunk.end + 4 > len(data):
        # The file ends here: what there is may still be all that the pixels need, and the decoder tells.
        if chunk.kind == b"IDAT":
            return True
        raise refusals.incomplete(_PNG)
    raise refusals.damaged(_PNG, f"wrong sum of its {chunk.kind.decode()}")


def _built(data: bytes, kept: list[_Chunk]) -> bytes:
    view = memoryview(data)
    pieces: list[bytes | memoryview] = [SIGNATURE]
    for chunk in kept:
        if chunk.kind == b"IEND":
            continue
        whole = view[chunk.start - 4 : chunk.end]
        pieces += (struct.pack(">I", chunk.end - chunk.start), whole, struct.pack(">I", zlib.crc32(whole)))
    return b"".join((*pieces, struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))))


# --- pixels that are not there

# Channels by colour type; Adam7's passes as the first column and row of each, and their steps.
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_PLAIN: Final = ((0, 0, 1, 1),)
# Unpacked at a time, and thrown away.
_PIECE: Final = 1 << 20


def refuse_early_end(picture: bytes, last_row: bytes) -> None:
    """Raise PhotoError where the pixels' packing ends well, but before the picture does: the rest is empty then.

    Args:
        picture: from `take_apart`.
        last_row: the bytes of the last row as they were decoded; only where they are empty is there something to find.
    """
    interlaced = picture[28] == 1  # then any row may be among those that are not there
    if any(last_row) and not interlaced:
        return
    left = sum(_unpacked_sizes(picture, PASSES if interlaced else _PLAIN))
    opener = zlib.decompressobj()
    for chunk in _chunks(picture):
        rest = picture[chunk.start : chunk.end] if chunk.kind == b"IDAT" else b""
        while rest and left > 0 and not opener.eof:
            left -= len(opener.decompress(rest, _PIECE))
            rest = opener.unconsumed_tail
    if left > 0:
        raise refusals.incomplete(_PNG)


def _unpacked_sizes(picture: bytes, passes: tuple[tuple[int, int, int, int], ...]) -> Iterator[int]:
    """Bytes of the rows of each pass, each with the byte that names its filter."""
    width, height, bits, colours = struct.unpack_from(">IIBB", picture, 16)
    for left, top, right, down in passes:
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            yield rows * (1 + (columns * bits * _CHANNELS[colours] + 7) // 8)


def _note(kind: bytes) -> str:
    name = kind.decode("ascii") if kind.isalpha() else "?"
    what = {
        "tRNS": "transparency", "iCCP": "colour profile", "sRGB": "colour space", "gAMA": "tone curve",
        "cHRM": "colour space", "cICP": "colour space", "eXIf": "camera data",
    }.get(name, "side information")  # fmt: skip
    return f"The file's {what} ({name}) is damaged: it was ignored."


# --- colours


def _colours(facts: dict[bytes, bytes], broken: list[bytes]) -> tuple[bytes | None, tuple[int, int] | None]:
    """The profile and code points, in the order in which browsers believe them: cICP, iCCP, sRGB, gAMA and cHRM.

    Code points that leave something open are heard last: whoever wrote a profile beside them knew more.
    """
    points = (facts[b"cICP"][0], facts[b"cICP"][1]) if b"cICP" in facts else None
    is_narrow = points is not None and facts[b"cICP"][3] == 0
    if points is not None and profiles.are_told(*points):
        return profiles.cicp_icc(*points, is_narrow=is_narrow), points
    if b"iCCP" in facts:
        packed = _unpacked(facts[b"iCCP"])
        if packed:
            return packed, None
        broken.append(b"iCCP")
    if b"sRGB" in facts:
        return None, None
    if points is None or b"gAMA" in facts or b"cHRM" in facts:
        return _calibrated(facts, broken), None
    return profiles.cicp_icc(*points, is_narrow=is_narrow), points


def _unpacked(chunk: bytes) -> bytes | None:
    """The profile of an iCCP chunk; None if it is broken.

    Raises:
        PhotoError: it unpacks to more than any profile needs.
    """
    _, _, rest = chunk.partition(b"\0")
    opener = zlib.decompressobj()
    try:
        profile = opener.decompress(rest[1:], profiles.MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    if opener.unconsumed_tail:
        raise refusals.damaged(_PNG, "its colour profile unpacks to more than any photo needs")
    return profile if opener.eof else None


def _calibrated(facts: dict[bytes, bytes], broken: list[bytes]) -> bytes | None:
    """A profile from gAMA and cHRM; what one of them leaves open is as in sRGB, and None means sRGB itself."""
    gamma = int.from_bytes(facts.get(b"gAMA", b""), "big")
    # Powers beyond these are no tone curve of any screen or camera.
    if b"gAMA" in facts and not 10_000 <= gamma <= 1_000_000:
        broken.append(b"gAMA")
        gamma = 0
    curve = None if gamma == 0 or gamma in _SRGB_GAMMA else 100_000 / gamma
    colours = None
    if b"cHRM" in facts:
        numbers = [value / 100_000 for value in struct.unpack(">8I", facts[b"cHRM"])]
        colours = profiles.Chromaticities(
            *((numbers[at], numbers[at + 1]) for at in range(0, 8, 2))  # white, red, green, blue
        )
    if curve is None and (colours is None or profiles.are_srgb(colours)):
        return None
    try:
        return profiles.calibrated_icc(colours, curve)
    except (ArithmeticError, struct.error):
        broken.append(b"cHRM")
        return None if curve is None else profiles.calibrated_icc(None, curve)


def _dpi(chunk: bytes | None) -> tuple[float, float] | None:
    if chunk is None or chunk[8] != 1:
        return None
    x, y = struct.unpack_from(">2I", chunk)
    return x / _INCHES_PER_METRE, y / _INCHES_PER_METRE
