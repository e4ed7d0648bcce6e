"""What the container of a JPEG 2000 says of its colours, which its decoder leaves out; decodes nothing."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding import isobmff, refusals

_KIND: Final = "JPEG 2000"
_BOX: Final = b"\0\0\0\x0cjP  "

# Ways to name a colour space: by a number, by a profile for one or three channels, by any profile (JPX).
_BY_NUMBER, _BY_PROFILE = 1, (2, 3)
# Two tones, CMYK, sRGB, its grey, its YCC: what the decoder turns into colours as they are seen.
_DECODED: Final = frozenset((0, 12, 15, 16, 17, 18))
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
    """What the first box about colours says; the others are for readers that know more. A bare codestream has none.

    Raises:
        PhotoError: the colours are of a kind that is not read.
    """
    if not data.startswith(_BOX):
        return Colours()
    header = isobmff.inside(data, 0, len(data), b"jp2h")
    box = None if header is None else isobmff.inside(data, header.start, header.end, b"colr")
    if box is None or box.end - box.start < 7:
        return Colours()
    way = data[box.start]
    if way in _BY_PROFILE:
        icc = data[box.start + 3 : box.end]
        found = profiles.header_of(icc)
        return Colours(icc, found is not None and found.space == b"CMYK")
    (number,) = struct.unpack_from(">I", data, box.start + 3)
    if way == _BY_NUMBER and number == _ROMM:
        return Colours(profiles.calibrated_icc(_ROMM_COLOURS, _ROMM_GAMMA))
    if way == _BY_NUMBER and number not in _DECODED:
        raise refusals.not_read(_KIND, f"colours of kind {number}")
    return Colours()
