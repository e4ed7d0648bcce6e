"""JPEG: its markers followed from the front, its pixels through libjpeg-turbo with every warning seen.

What comes after the picture's end (films of motion photos, second pictures, padding) does not count. Not for JPEG
inside TIFF (`tiff`), and not for turning or colour management (`photo`).
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import Any, Final

import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs]  (it ships none)
from msgspec import Struct, field
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.decoding import exif, jpegzeros, refusals
from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding.pixels import HeaderFacts, Opened, plausible_dpi

_JPEG: Final = "JPEG"
_SOI, _EOI, _SOS, _DQT, _DNL, _DRI, _DHT, _DAC = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xC4, 0xCC
_SOI_BYTES, _EOI_BYTES = b"\xff\xd8", b"\xff\xd9"
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_ALONE: Final = frozenset((0x01, _SOI, *range(0xD0, 0xD8)))  # markers without a length
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}
_PROGRESSIVE: Final = frozenset((0xC2, 0xCA))
_ARITHMETIC: Final = frozenset((0xC9, 0xCA))
_READ: Final = frozenset((0xC0, 0xC1, 0xC2, *_ARITHMETIC))
_HIERARCHICAL: Final = frozenset((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF))

# The decoder needs these; everything else is facts about the picture, or another's business.
_TABLES: Final = frozenset((_DQT, _DRI, _DHT, _DAC, *_FRAMES))

# Bytes that some encoders, webcams above all, leave between the picture's last bit and the end marker.
_STRAY_BYTES: Final = 16
# Behind an arithmetic scan, to see whether its decoder needs them: an encoder leaves out zeros at the end, and what
# follows those is like no data.
_BEHIND: Final = bytes(8) + b"\xaa" * 4096
# Searched for markers at a time: the positions of its FF bytes stay few.
_SEARCH_BYTES: Final = 1 << 20

# What the decoder is asked for, by the number of channels.
_COLOURS: Final = {1: "GRAY", 3: "RGB", 4: "CMYK"}
# What Adobe's marker may say of so many channels; of what else it says the decoder complains.
_TRANSFORMS: Final = {3: (1, 0), 4: (2, 0)}

_EXTRANEOUS: Final = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")

_UNREAD: Final = re.compile(
    r"unsupported|not supported|not implemented|could not determine|sorry", re.IGNORECASE
)


class _Scan(Struct):
    """One scan: its header segment, and where its entropy-coded data lies."""

    header: bytes
    start: int
    end: int


class Markers(Struct):
    """What a JPEG's markers say.

    frame: the marker of the frame header, 0 without one. width, height, bits: as announced. components: their ids.
    parts: (marker, whole segment) of all that the decoder needs, in order; scans stand between them as _Scan.
    has_end: whether the end marker was found. exif, icc, adobe: as stored, None where there is none.
    density: unit, x, y of JFIF, or None.
    """

    frame: int = 0
    width: int = 0
    height: int = 0
    bits: int = 8
    components: bytes = b""
    parts: list[bytes | _Scan] = field(default_factory=list[bytes | _Scan])
    has_end: bool = False
    has_jfif: bool = False
    exif: bytes | None = None
    icc: bytes | None = None
    adobe: int | None = None
    density: tuple[int, int, int] | None = None

    @property
    def scans(self) -> list[_Scan]:
        """The scans, in order."""
        return [part for part in self.parts if isinstance(part, _Scan)]


# --- following the markers


def markers(data: bytes, *, whole: bool = True) -> Markers:
    """Follow a JPEG's markers up to the picture's end; with `whole` False up to its first scan only.

    Raises:
        PhotoError: incomplete or damaged.
    """
    found, at = Markers(), 2
    pieces: dict[int, bytes] = {}
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            break
        while data[at + 1 : at + 2] == b"\xff":  # fill bytes
            at += 1
        if at + 1 >= len(data):
            break
        kind = data[at + 1]
        at += 2
        if kind == _EOI:
            found.has_end = True
            break
        if kind in _ALONE or kind == 0:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2:
            if found.scans:
                break  # nothing more that belongs to a picture: what the scans hold is judged by decoding them
            raise refusals.damaged(_JPEG, "a marker without its data")
        segment = data[at + 2 : at + length]
        at += length
        if at > len(data):
            break
        _take(found, kind, segment, pieces)
        if kind == _SOS:
            if not whole:
                break
            end = _end_of_scan(data, at)
            found.parts.append(_Scan(segment, at, end))
            at = end
    found.icc = b"".join(pieces[number] for number in sorted(pieces)) or None
    return found


def _take(found: Markers, kind: int, segment: bytes, pieces: dict[int, bytes]) -> None:
    if kind in _FRAMES and not found.frame and len(segment) >= 6:
        found.frame, found.bits = kind, segment[0]
        found.height, found.width = struct.unpack_from(">2H", segment, 1)
        found.components = segment[6::3][: segment[5]]
    elif kind == _DNL and len(segment) >= 2 and not found.height:
        _set_height(found, int.from_bytes(segment[:2], "big"))
    elif kind == _APP0 and segment[:5] == b"JFIF\0":
        found.has_jfif = True
        if len(segment) >= 12:
            found.density = (segment[7], *struct.unpack_from(">2H", segment, 8))
    elif (
        kind == _APP1 and segment[:5] == b"Exif\0" and found.exif is None
    ):  # and a byte that fills up, mostly 0
        found.exif = segment[6:]
    elif kind == _APP2 and segment[:12] == b"ICC_PROFILE\0" and len(segment) > 14:
        pieces.setdefault(segment[12], segment[14:])
    elif kind == _APP14 and segment[:5] == b"Adobe" and len(segment) >= 12:
        found.adobe = segment[11]
    if kind in _TABLES:
        found.parts.append(_segment(kind, segment))


def _set_height(found: Markers, height: int) -> None:
    """The number of lines, which scanners that did not know it beforehand tell behind the first scan."""
    found.height = height
    for index, part in enumerate(found.parts):
        if isinstance(part, bytes) and part[1] in _FRAMES:
            found.parts[index] = part[:5] + struct.pack(">H", height) + part[7:]


def _segment(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content


def _end_of_scan(data: bytes, start: int) -> int:
    """Where the first marker stands that is no restart marker; the file's length if there is none."""
    whole = np.frombuffer(data, np.uint8)
    for at in range(start, len(data), _SEARCH_BYTES):
        here = whole[at : at + _SEARCH_BYTES + 1]
        places = np.flatnonzero(here[:-1] == 0xFF)
        after = here[places + 1]
        ends = places[(after != 0) & (after != 0xFF) & ((after & 0xF8) != 0xD0)]
        if len(ends):
            return at + int(ends[0])
    return len(data)


# --- the header


def header(data: bytes) -> HeaderFacts:
    """Facts from the markers up to the first scan; raises PhotoError."""
    found = markers(data, whole=False)
    if not found.frame:
        raise (
            refusals.incomplete(_JPEG) if len(data) < 1 << 16 else refusals.damaged(_JPEG, "no picture in it")
        )
    if not found.height:
        found = markers(data)
    _refuse_variants(found)
    if not found.width or not found.height:
        raise refusals.damaged(_JPEG, "a picture without extent")
    turn = exif.orientation(found.exif)
    size = (found.height, found.width) if turn >= 5 else (found.width, found.height)
    return HeaderFacts(*size, turn, 8, has_alpha=False)


def _refuse_variants(found: Markers) -> None:
    if found.bits != 8:
        raise refusals.not_read(_JPEG, f"{found.bits} bits per channel")
    if found.frame in _HIERARCHICAL:
        raise refusals.not_read(_JPEG, "hierarchical")
    if found.frame not in _READ:
        raise refusals.not_read(_JPEG, "lossless")
    if len(found.components) not in (1, 3, 4):
        raise refusals.not_read(_JPEG, f"{len(found.components)} channels")


# --- the pixels


def load(data: bytes, reduction: int = 1) -> Opened:
    """Decode everything that the markers promise, with sides divided by `reduction` (1, 2, 4 or 8), rounded up.

    Raises:
        PhotoError: incomplete, damaged, or stored in a way that is not read.
    """
    found = markers(data)
    _refuse_variants(found)
    _refuse_gaps(found)
    pixels = _decoded(data, found, reduction)
    picture: Any = pixels
    if len(found.components) == 4:
        # Stored as negatives, as Adobe does.
        picture = Image.fromarray(np.subtract(255, pixels, out=pixels), "CMYK")
    elif len(found.components) == 1:
        picture = Image.fromarray(pixels[:, :, 0])
    return Opened(picture, None, exif.orientation(found.exif), _profile(found), _dpi(found))


def check_strip(strip: bytes, tables: bytes) -> None:
    """Decode one strip or tile of a TIFF for what the decoder has to say of it, which libtiff keeps to itself.

    Args:
        strip: a JPEG that may lack its tables.
        tables: a JPEG that has nothing but the tables of all strips, or empty.

    Raises:
        PhotoError: incomplete, damaged, or stored in a way that is not read.
    """
    data = _SOI_BYTES + tables.removeprefix(_SOI_BYTES).removesuffix(_EOI_BYTES) + strip
    found = markers(data)
    if not found.frame or not found.width or not found.height:
        raise refusals.damaged(_JPEG, "no picture in it")
    _refuse_variants(found)
    _refuse_gaps(found)
    _decoded(data, found)


def _refuse_gaps(found: Markers) -> None:
    """Refuse what the decoder would fill with grey without a word."""
    if not found.scans:
        raise refusals.incomplete(_JPEG)
    for part in found.parts:
        if isinstance(part, bytes) and part[1] == _DQT and jpegzeros.has_zero_steps(part[4:]):
            raise refusals.damaged(_JPEG, "its tables are overwritten")
    # Every coefficient of every channel to its last bit: a copy that broke off between two scans lacks some.
    missing = {one: set(range(64)) for one in found.components}
    for scan in found.scans:
        count = scan.header[0] if scan.header else 0
        ids = scan.header[1 : 1 + 2 * count : 2]
        tail = scan.header[1 + 2 * count : 4 + 2 * count]
        if len(ids) != count or len(tail) != 3:
            raise refusals.damaged(_JPEG, "a scan without its head")
        first, last, bits = tail if found.frame in _PROGRESSIVE else (0, 63, 0)
        if bits & 15 == 0:
            for one in ids:
                missing[one] = missing.get(one, set()) - set(range(first, last + 1))
    if any(missing[one] for one in found.components):
        raise refusals.incomplete(_JPEG, "some of its scans are missing")


def _decoded(data: bytes, found: Markers, reduction: int = 1) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 | 3 | 4), after the decoder had nothing to complain of that matters.

    A smaller picture is made of the same coefficients, all of which are read: the same damage is seen.
    """
    channels = len(found.components)
    out = np.empty((-(-found.height // reduction), -(-found.width // reduction), channels), np.uint8)
    colours = _COLOURS[channels]
    last = found.scans[-1]
    if not found.has_end and jpegzeros.padding(data, last.start, last.end) > _STRAY_BYTES:
        # Space that was reserved and never written, or padding: the picture must be complete without it.
        last.end -= jpegzeros.padding(data, last.start, last.end)
    complaint = _decode(_lean(data, found), colours, out)
    stray = _EXTRANEOUS.search(complaint)
    if complaint and stray is None:
        raise _named(complaint)
    if stray is None:
        return _without_holes(out, data, found)
    if (
        int(stray[2], 16) == _EOI
        and int(stray[1]) > _STRAY_BYTES
        and jpegzeros.padding(data, last.start, last.end)
    ):
        # The same where the end marker stands behind it: a hole of zeros would fill the picture up, too.
        last.end -= jpegzeros.padding(data, last.start, last.end)
        complaint = _decode(_lean(data, found), colours, out)
        stray = _EXTRANEOUS.search(complaint)
        if not complaint:
            return _without_holes(out, data, found)
    if stray is None or int(stray[2], 16) != _EOI or int(stray[1]) > _STRAY_BYTES:
        raise refusals.damaged(_JPEG, "some of its data is missing or overwritten")
    return _without_holes(out, data, found)


def _without_holes(out: NDArray[np.uint8], data: bytes, found: Markers) -> NDArray[np.uint8]:
    """The same pixels, unless what cannot be their data was decoded without a complaint: zeros, or nothing."""
    if found.frame in _ARITHMETIC:
        _refuse_early_end(out, data, found)
    tables: list[bytes] = []
    for part in found.parts:
        if isinstance(part, bytes):
            tables += [part[4:]] if part[1] == _DHT else []
            continue
        codes = jpegzeros.codes_of_zeros(iter(tables))
        if jpegzeros.has_hole(data, part.start, part.end, part.header, found.frame, codes):
            raise refusals.damaged(_JPEG, "some of its data is overwritten with zeros")
    return out


def _refuse_early_end(out: NDArray[np.uint8], data: bytes, found: Markers) -> None:
    """Arithmetic coding has no end of its own, and its decoder goes on with zeros without a word.

    So it is decoded once more with something behind each scan: a whole picture stays the same to the bit.
    """
    before = hashlib.blake2b(out.data).digest()
    _decode(_lean(data, found, _BEHIND), _COLOURS[len(found.components)], out)
    if hashlib.blake2b(out.data).digest() != before:
        raise refusals.incomplete(_JPEG)


def _lean(data: bytes, found: Markers, behind: bytes = b"") -> bytes:
    """The picture alone, ended by its marker: no oddity of anything else can make the decoder complain.

    `behind` comes after each scan.
    """
    pieces: list[bytes | memoryview] = [b"\xff\xd8"]
    view = memoryview(data)
    if found.has_jfif:
        pieces.append(_segment(_APP0, b"JFIF\0\1\1\0\0\1\0\1\0\0"))
    if found.adobe is not None:
        usual, *others = _TRANSFORMS.get(len(found.components), (0,))
        known = found.adobe if found.adobe in others else usual
        pieces.append(_segment(_APP14, b"Adobe\0\x64\0\0\0\0" + bytes((known,))))
    for part in found.parts:
        if isinstance(part, bytes):
            pieces.append(part)
            continue
        head = part.header if found.frame in _PROGRESSIVE else part.header[:-3] + b"\0\x3f\0"
        pieces += (_segment(_SOS, head), view[part.start : part.end], behind)
    return b"".join((*pieces, b"\xff\xd9"))


def _decode(picture: bytes, colours: str, out: NDArray[np.uint8]) -> str:
    """Fill `out`, of the picture's size or a smaller one; the decoder's first complaint, or an empty string."""
    module: Any = simplejpeg
    height, width = out.shape[:2]
    try:
        module.decode_jpeg(picture, colours, buffer=out, strict=True, min_height=height, min_width=width)
    except ValueError as exc:
        return " ".join(str(exc).split()) or "no reason given"
    return ""


def _named(complaint: str) -> Exception:
    if "premature end" in complaint.lower():
        return refusals.incomplete(_JPEG, complaint)
    if _UNREAD.search(complaint):
        return refusals.not_read(_JPEG, complaint)
    return refusals.damaged(_JPEG, complaint)


# --- what else the file says


def _profile(found: Markers) -> bytes | None:
    """The ICC profile, or Adobe RGB where the EXIF says so."""
    return found.icc or (profiles.adobe_rgb_icc() if exif.is_adobe_rgb(found.exif) else None)


def _dpi(found: Markers) -> tuple[float, float] | None:
    """Pixels per inch of JFIF, else of the EXIF; None where neither says."""
    unit, x, y = found.density or (0, 0, 0)
    if unit in (1, 2):
        times = 1.0 if unit == 1 else 2.54
        return plausible_dpi(x * times, y * times)
    said = exif.resolution(found.exif)
    return None if said is None else plausible_dpi(*said)
