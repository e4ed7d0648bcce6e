"""ICC profiles as bytes: read, compared with sRGB, made from numbers, rebuilt without their secrets.

After ICC.1:2022. Only the standard library; conversions of pixels are `colour`'s.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Final, NamedTuple

from cutoutd.models.decoding import icctags

Curve = Callable[[float], float]

# A CMYK profile of a printing house takes 0.5 to 3 MB; more than this is an attack or an accident.
MAX_PROFILE_BYTES: Final = 16 << 20

# White points: of the profile connection space (ICC.1, XYZ) and of daylight (CIE, x and y); the adaptation between
# them is Bradford's, as ICC.1 annex E has it.
_D50: Final = (0.9642, 1.0, 0.8249)
_D65_XY: Final = (0.3127, 0.3290)
_BRADFORD: Final = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))

# Red, green, blue chromaticities (x, y), all with a D65 white.
_SRGB: Final = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_P3: Final = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_ADOBE: Final = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_BT2020: Final = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_SMPTE_C: Final = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
# The other whites of H.273: of light C, of cinemas' projectors, of equal energy.
_C_XY, _CINEMA_XY, _EQUAL_XY = (0.310, 0.316), (0.314, 0.351), (1 / 3, 1 / 3)
# H.273 colour primaries, with their white; all others mean those of sRGB.
_PRIMARIES: Final = {
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C_XY),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), _D65_XY),
    6: (_SMPTE_C, _D65_XY),
    7: (_SMPTE_C, _D65_XY),
    8: (((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _C_XY),
    9: (_BT2020, _D65_XY),
    10: (((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), _EQUAL_XY),  # XYZ itself
    11: (_P3, _CINEMA_XY),
    12: (_P3, _D65_XY),
    22: (((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), _D65_XY),
}

# Kinds of profiles that say how a device's colours look, and spaces that they say it in.
_CLASSES: Final = (b"mntr", b"scnr", b"prtr", b"spac")
_CONNECTIONS: Final = (b"XYZ ", b"Lab ")


class Header(NamedTuple):
    """The few header fields that say how the numbers are meant."""

    version: bytes
    device_class: bytes
    space: bytes
    connection_space: bytes


# --- reading profiles


def header_of(icc: bytes) -> Header | None:
    """What kind of profile it is, or None if it is none (or larger than any honest one)."""
    if not 132 <= len(icc) <= MAX_PROFILE_BYTES or icc[36:40] != b"acsp":
        return None
    return Header(icc[8:12], icc[12:16], icc[16:20], icc[20:24])


def _tags(icc: bytes) -> dict[bytes, memoryview]:
    """Tag signature to data, only of tags that lie whole inside the profile.

    Views: two hundred tags may all be the whole profile.
    """
    whole = memoryview(icc)
    (count,) = struct.unpack_from(">I", icc, 128)
    tags: dict[bytes, memoryview] = {}
    for at in range(132, min(132 + 12 * min(count, 256), len(icc) - 11), 12):
        name, offset, size = struct.unpack_from(">4sII", icc, at)
        if offset >= 132 and offset + size <= len(icc) and size >= 8:
            tags[name] = whole[offset : offset + size]
    return tags


@lru_cache(maxsize=16)
def looks_like_srgb(icc: bytes) -> bool:
    """True if the profile's primaries and tone curves are those of sRGB, whatever it is called.

    The comparison allows the rounding of the many sRGB profiles in circulation: colorants within 0.002 and
    curves within half an 8-bit step of the encoded value.
    """
    header = header_of(icc)
    if header is None or header.space != b"RGB " or header.connection_space != b"XYZ ":
        return False
    tags = _tags(icc)
    if b"A2B0" in tags or b"A2B1" in tags:
        return False
    try:
        ours = _tags(srgb_icc())
        for name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            if any(abs(a - b) > 0.002 for a, b in zip(_xyz(tags[name]), _xyz(ours[name]), strict=True)):
                return False
        return all(_is_srgb_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
    except (KeyError, struct.error, ValueError, OverflowError, ZeroDivisionError):
        return False


def _xyz(tag: memoryview) -> tuple[float, float, float]:
    x, y, z = struct.unpack_from(">3i", tag, 8)
    return x / 65536, y / 65536, z / 65536


def _is_srgb_curve(tag: memoryview) -> bool:
    curve = _curve(tag)
    # Half of an 8-bit step, measured in the encoded value, where the eye and the file see it.
    return all(abs(_srgb_encode(curve(v / 255)) - v / 255) < 0.5 / 255 for v in range(0, 256, 5))


def _curve(tag: memoryview) -> Curve:
    """A tone curve (encoded 0..1 to linear) from its `curv` or `para` tag."""
    kind = bytes(tag[:4])
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        values = struct.unpack_from(f">{min(count, 65536)}H", tag, 12)
        if not values:
            return lambda v: v
        if len(values) == 1:
            return lambda v: v ** (values[0] / 256)
        return lambda v: _interpolate(values, v) / 65535
    if kind == b"para":
        (form,) = struct.unpack_from(">H", tag, 8)
        numbers = [n / 65536 for n in struct.unpack_from(f">{icctags.PARAMETERS[min(form, 4)]}i", tag, 12)]
        g, a, b, c, d, e, f = (
            (numbers + [0.0] * 7)[:7] if form else (numbers[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        )
        if form in (1, 2):  # below -b/a the curve is constant: c of form 2, zero of form 1
            flat = c if form == 2 else 0.0
            return lambda v: max(a * v + b, 0.0) ** g + flat
        return lambda v: max(a * v + b, 0.0) ** g + e if v >= d else c * v + f
    raise ValueError("no tone curve")


def _interpolate(values: tuple[int, ...], at: float) -> float:
    position = at * (len(values) - 1)
    low = min(int(position), len(values) - 2)
    return values[low] + (values[low + 1] - values[low]) * (position - low)


# --- writing profiles


def rebuild(icc: bytes) -> bytes | None:
    """The same colours without names, dates, makers or measurements; None if it is no RGB profile, or not sound."""
    header = header_of(icc)
    if (
        header is None
        or header.space != b"RGB "
        or header.device_class not in _CLASSES
        or header.connection_space not in _CONNECTIONS
    ):
        return None
    tags: dict[bytes, bytes] = {}
    for name, data in _tags(icc).items():
        if name not in icctags.COLOUR_TAGS:
            continue
        try:
            tags[name] = icctags.clean(name, data)
        except (struct.error, ValueError):
            if name in icctags.FORWARD:  # without it the colours would be others
                return None
    if sum(map(len, set(tags.values()))) > MAX_PROFILE_BYTES:  # the same bytes, read as many things
        return None
    tags.setdefault(b"wtpt", _xyz_tag(_D50))
    return _assemble(header._replace(version=header.version[:2] + bytes(2)), tags)


@cache
def srgb_icc() -> bytes:
    """An sRGB profile, always the same bytes, for files that must carry one."""
    return matrix_profile(_SRGB, srgb_curve_tag())


@cache
def display_p3_icc() -> bytes:
    """A Display P3 profile (P3 primaries, D65, the sRGB curve)."""
    return matrix_profile(_P3, srgb_curve_tag())


@cache
def adobe_rgb_icc() -> bytes:
    """An Adobe RGB (1998) compatible profile; its gamma is 563/256."""
    return matrix_profile(_ADOBE, struct.pack(">4s4xIH2x", b"curv", 1, 563))


@cache
def cicp_icc(primaries: int, transfer: int, *, is_narrow: bool = False) -> bytes | None:
    """A profile for ITU-T H.273 code points as HEIC, AVIF and PNG carry them; None where they mean sRGB.

    The transfers of television (1, 6, 7, 14, 15) are shown with the curve of sRGB, as browsers do. PQ and HLG are
    brought to 0..1 with paper white (203 cd/m², ITU-R BT.2408) as 1; more light is clipped. `is_narrow`: black is 16
    and white 235 of 255, as in television.
    """
    colours, white = _PRIMARIES.get(primaries, (_SRGB, _D65_XY))
    tone = {4: _gamma_tag(2.2), 5: _gamma_tag(2.8), 8: _gamma_tag(1.0)}.get(transfer)
    if transfer in _TABLES:
        tone = _table_tag(_TABLES[transfer])
    if is_narrow:
        curve = _curve(memoryview(tone or srgb_curve_tag()))
        tone = _table_tag(lambda v: curve(min(max((v * 255 - 16) / 219, 0.0), 1.0)))
    if colours is _SRGB and tone is None:
        return None
    return matrix_profile(colours, tone or srgb_curve_tag(), white=white)


def are_told(primaries: int, transfer: int) -> bool:
    """Whether code points say both, the primaries and the transfer; H.273 reserves 0 and 3, and 2 is "unspecified"."""
    return not {primaries, transfer} & {0, 2, 3}


def is_hdr(transfer: int) -> bool:
    """True for the H.273 transfer characteristics whose white is brighter than paper."""
    return transfer in (16, 18)


class Chromaticities(NamedTuple):
    """(x, y) of white and of the three primaries, as a PNG's cHRM has them."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]


_SRGB_COLOURS: Final = Chromaticities(_D65_XY, *_SRGB)


def are_srgb(colours: Chromaticities) -> bool:
    """True if these are the chromaticities of sRGB, within the rounding of the files in circulation."""
    return all(
        abs(a - b) < 0.002
        for one, other in zip(colours, _SRGB_COLOURS, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def calibrated_icc(colours: Chromaticities | None, gamma: float | None) -> bytes:
    """A profile for chromaticities (None: those of sRGB) and a power as tone curve (None: that of sRGB).

    Raises:
        ArithmeticError, struct.error: the chromaticities belong to no colours.
    """
    white, *primaries = colours or _SRGB_COLOURS
    return matrix_profile(
        tuple(primaries), srgb_curve_tag() if gamma is None else _gamma_tag(gamma), white=white
    )


def matrix_profile(
    primaries: tuple[tuple[float, float], ...], curve_tag: bytes, white: tuple[float, float] = _D65_XY
) -> bytes:
    """A version 4 RGB profile from (x, y) of red, green, blue and white, and one tone curve for all three."""
    light = _to_xyz(white)
    columns = [(x, y, 1 - x - y) for x, y in primaries]  # however bright: that is what `scale` finds
    scale = _solve([[columns[j][i] for j in range(3)] for i in range(3)], light)
    adapt = _adaptation(light)
    tags = {b"wtpt": _xyz_tag(_D50), b"chad": _numbers_tag(b"sf32", [v for row in adapt for v in row])}
    for name, column, factor in zip((b"r", b"g", b"b"), columns, scale, strict=True):
        tags[name + b"XYZ"] = _xyz_tag(_multiply(adapt, [v * factor for v in column]))
        tags[name + b"TRC"] = curve_tag
    return _assemble(Header(b"\x04\x30\0\0", b"mntr", b"RGB ", b"XYZ "), tags)


def _assemble(header: Header, tags: dict[bytes, bytes]) -> bytes:
    """A profile of these tags and the two texts that must be there, which say nothing; equal tags share."""
    old = header.version[0] < 4
    tags = {b"desc": _text_tag("RGB", old), b"cprt": _text_tag("-", old, plain=True), **tags}
    table = struct.pack(">I", len(tags))
    start = 132 + 12 * len(tags)
    body = b""
    places: dict[bytes, int] = {}
    for name, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    head = struct.pack(">I4x", start + len(body)) + header.version + header.device_class + header.space
    head += header.connection_space + bytes(12) + b"acsp" + bytes(28) + _numbers(_D50)
    return head.ljust(128, b"\0") + table + body


def _text_tag(text: str, old: bool, *, plain: bool = False) -> bytes:
    if old and plain:
        return b"text\0\0\0\0" + text.encode("ascii") + b"\0"
    if old:
        return struct.pack(f">4s4xI{len(text) + 1}s", b"desc", len(text) + 1, text.encode("ascii")) + bytes(
            78
        )
    words = text.encode("utf-16-be")
    return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(words), 28) + words


def _numbers(values: Sequence[float]) -> bytes:
    return b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def _numbers_tag(kind: bytes, values: Sequence[float]) -> bytes:
    return kind + bytes(4) + _numbers(values)


def _xyz_tag(values: tuple[float, ...]) -> bytes:
    return _numbers_tag(b"XYZ ", values)


def srgb_curve_tag() -> bytes:
    """The sRGB curve of IEC 61966-2-1 as a parametric curve of type 3."""
    return struct.pack(">4s4xH2x", b"para", 3) + _numbers((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))


def _gamma_tag(gamma: float) -> bytes:
    return struct.pack(">4s4xH2x", b"para", 0) + _numbers((gamma,))


def _table_tag(curve: Curve) -> bytes:
    # 4096 steps: PQ is steep near white, and 8-bit pixels need 16 entries between neighbours to stay smooth.
    values = [round(min(max(curve(i / 4095), 0.0), 1.0) * 65535) for i in range(4096)]
    return struct.pack(">4s4xI4096H", b"curv", 4096, *values)


# --- colour arithmetic (a handful of numbers; arrays would be slower)


def _srgb_encode(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def _pq(encoded: float) -> float:
    """SMPTE ST 2084, 1.0 = paper white."""
    power = encoded ** (32 / 2523)
    return 10000 / 203 * (max(power - 0.8359375, 0.0) / (18.8515625 - 18.6875 * power)) ** (16384 / 2610)


def _hlg(encoded: float) -> float:
    """ARIB STD-B67 with the system gamma 1.2 on each channel, scaled so that 75 % is paper white."""

    def light(v: float) -> float:
        return (v * v / 3 if v <= 0.5 else (math.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12) ** 1.2

    return light(encoded) / light(0.75)


def _cinema(encoded: float) -> float:
    """SMPTE ST 428-1, 1.0 = 48 cd/m²."""
    return 52.37 / 48 * encoded**2.6


_TABLES: Final[dict[int, Curve]] = {16: _pq, 17: _cinema, 18: _hlg}


def _to_xyz(xy: tuple[float, float]) -> tuple[float, float, float]:
    return xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]


def _multiply(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> tuple[float, float, float]:
    a, b, c = (sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix)
    return a, b, c


def _solve(matrix: list[list[float]], wanted: tuple[float, ...]) -> list[float]:
    """Cramer's rule for three unknowns."""

    def det(m: list[list[float]]) -> float:
        return sum(
            m[0][i] * (m[1][(i + 1) % 3] * m[2][(i + 2) % 3] - m[1][(i + 2) % 3] * m[2][(i + 1) % 3])
            for i in range(3)
        )

    whole = det(matrix)
    return [
        det([[wanted[r] if c == k else matrix[r][c] for c in range(3)] for r in range(3)]) / whole
        for k in range(3)
    ]


def _adaptation(white: tuple[float, float, float]) -> list[tuple[float, float, float]]:
    """Bradford's matrix from a white point to D50, the white of the profile connection space."""
    ratios = [d / s for d, s in zip(_multiply(_BRADFORD, _D50), _multiply(_BRADFORD, white), strict=True)]
    rows = [list(row) for row in _BRADFORD]
    columns: list[list[float]] = []
    for axis in range(3):
        cone = [ratio * row[axis] for ratio, row in zip(ratios, _BRADFORD, strict=True)]
        columns.append(_solve(rows, (cone[0], cone[1], cone[2])))
    return [(columns[0][i], columns[1][i], columns[2][i]) for i in range(3)]
