"""What the container of a JPEG 2000 says of its colours and channels, which its decoder leaves out; decodes nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding import isobmff, refusals

_KIND: Final = "JPEG 2000"
_BOX: Final = b"\0\0\0\x0cjP  "

# Ways to name a colour space: by a number, by a profile for one or three channels, by any profile (JPX).
_BY_NUMBER, _BY_PROFILE = 1, (2, 3)
# Two tones, CMYK, sRGB, its grey, its YCC: what the decoder turns into colours as they are seen.
_DECODED: Final = frozenset((0, 12, 15, 16, 17, 18))
# sYCC and e-sYCC, which the decoder turns into RGB by itself.
_YCC: Final = (struct.pack(">I", 18), struct.pack(">I", 24))
# ROMM: the primaries and the power of ISO 22028-2.
_ROMM: Final = 21
_ROMM_COLOURS: Final = profiles.Chromaticities(
    (0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)
)
_ROMM_GAMMA: Final = 1.8


class Colours(NamedTuple):
    """The profile of the pixels, None for sRGB; and whether their four channels are inks, by that profile."""

    icc: bytes | None = None
    are_inks: bool = False


def colours(data: bytes) -> Colours:
    """What the first box about colours says that is written in a way known here; the others are for readers that know
    more. A bare codestream has none.

    Raises:
        PhotoError: the colours are of a kind that is not read.
    """
    unknown: int | None = None
    for box in _header_boxes(data):
        if box.kind != b"colr" or box.end - box.start < 7:
            continue
        way = data[box.start]
        if way in _BY_PROFILE:
            icc = data[box.start + 3 : box.end]
            found = profiles.header_of(icc)
            return Colours(icc, found is not None and found.space == b"CMYK")
        (number,) = struct.unpack_from(">I", data, box.start + 3)
        if way == _BY_NUMBER and number == _ROMM:
            return Colours(profiles.calibrated_icc(_ROMM_COLOURS, _ROMM_GAMMA))
        if way == _BY_NUMBER and number in _DECODED:
            return Colours()
        unknown = number if way == _BY_NUMBER and unknown is None else unknown
    if unknown is not None:
        raise refusals.not_read(_KIND, f"colours of kind {unknown}")
    return Colours()


def _header_boxes(data: bytes) -> Iterator[isobmff.Box]:
    header = isobmff.inside(data, 0, len(data), b"jp2h") if data.startswith(_BOX) else None
    return iter(()) if header is None else isobmff.boxes(data, header.start, header.end)


# --- channels

# What a channel may be: a colour, transparency, and such that the colours are multiplied by.
_COLOUR, _ALPHA, _PREMULTIPLIED = 0, 1, 2


class Channels(NamedTuple):
    """Which stored channels are the colours, in their order, and which is their transparency."""

    colours: tuple[int, ...]
    alpha: int | None
    is_premultiplied: bool


def channels(data: bytes, count: int) -> Channels | None:
    """What the container says of `count` stored channels; None where it says nothing, or nothing that can be.

    Raises:
        PhotoError: channels that the decoder has mixed already.
    """
    boxes = {box.kind: box for box in _header_boxes(data)}
    box = boxes.get(b"cdef")
    if box is None or b"pclr" in boxes or box.end - box.start < 2 + 6 * count:
        return None
    said = [struct.unpack_from(">3H", data, box.start + 2 + 6 * at) for at in range(count)]
    places = {meant: number for number, kind, meant in said if kind == _COLOUR and 0 < meant <= count}
    order = tuple(places[at] for at in sorted(places))
    alpha = next(((number, kind) for number, kind, _ in said if kind in (_ALPHA, _PREMULTIPLIED)), None)
    found = Channels(order, alpha and alpha[0], alpha is not None and alpha[1] == _PREMULTIPLIED)
    stored = {*order} if found.alpha is None else {*order, found.alpha}
    if len(order) not in (1, 3, 4) or len(stored) < len(order) + (alpha is not None) or max(stored) >= count:
        return None
    if order != tuple(range(len(order))) and _is_ycc(data):
        raise refusals.not_read(_KIND, "luminance and colour differences in another order")
    return found


def _is_ycc(data: bytes) -> bool:
    colr = next((box for box in _header_boxes(data) if box.kind == b"colr"), None)
    return colr is not None and data[colr.start] == _BY_NUMBER and data[colr.start + 3 : colr.end] in _YCC


# --- more than eight bits

_SIZES: Final = b"\xff\x4f\xff\x51"
_QCD, _QCC, _SOT, _SOD = 0xFF5C, 0xFF5D, 0xFF90, 0xFF93
_UNQUANTISED: Final = 0
_GUARD: Final = 1 << 5  # Sqcd and Sqcc: three bits of guard bits, then how steps are told


def with_room(data: bytes) -> bytes | None:
    """The same picture said to be one bit deeper, so that its values take the middle half of what there is room for.

    Its decoder rounds deep values to eight bits without a limit: what is nearly white becomes black. Here it cannot.
    None where no channel, or a lone one, which is decoded in another way, has more than eight bits.

    Raises:
        PhotoError: stored in a way in which that cannot be mended.
    """
    start = data.find(_SIZES)
    if start < 0 or len(data) < start + 42:
        return None
    (count,) = struct.unpack_from(">H", data, start + 40)
    depths = data[start + 42 : start + 42 + 3 * count : 3]
    if count < 2 or all((depth & 127) < 8 for depth in depths):
        return None
    if _is_ycc(data):
        raise refusals.not_read(_KIND, "luminance and colour differences of more than 8 bits")
    changed = bytearray(data)
    for at, depth in enumerate(depths):
        changed[start + 42 + 3 * at] = depth + 1
    # Where values are quantised, their steps grow with the depth: one bit less of headroom takes that back.
    for at in _quantisations(data, start, 1 if count < 257 else 2):
        if data[at] & 31 != _UNQUANTISED:
            if data[at] < _GUARD:
                raise refusals.not_read(_KIND, "more than 8 bits without headroom")
            changed[at] = data[at] - _GUARD
    return bytes(changed)


def _quantisations(data: bytes, start: int, wide: int) -> Iterator[int]:
    """Where each Sqcd and Sqcc stands, in the main header and in those of the tiles."""
    at, tile_end = start + 2, 0
    while at + 6 <= len(data):
        kind, length = struct.unpack_from(">HH", data, at)
        if kind == _SOT:
            (size,) = struct.unpack_from(">I", data, at + 6) if at + 10 <= len(data) else (0,)
            tile_end = at + size if size >= 14 else len(data)
        if kind == _SOD:
            if tile_end <= at:
                return
            at = tile_end
            continue
        if kind >> 8 != 0xFF or length < 2:
            return
        if kind in (_QCD, _QCC):
            yield at + 4 + (wide if kind == _QCC else 0)
        at += 2 + length
