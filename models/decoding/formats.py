"""Which format some bytes are, by their content; decodes nothing, imports only the standard library."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

JPEG: Final = "JPEG"
PNG: Final = "PNG"
WEBP: Final = "WebP"
TIFF: Final = "TIFF"
BMP: Final = "BMP"
GIF: Final = "GIF"
AVIF: Final = "AVIF"
HEIF: Final = "HEIC"
RAW: Final = "RAW"

PHOTO_FORMATS: Final = (JPEG, PNG, WEBP, TIFF, BMP, GIF, AVIF, HEIF, RAW)

# Lower case, with the dot. A suffix only decides what is worth opening; the content decides the format.
RAW_SUFFIXES: Final = frozenset(
    ".3fr .arw .cap .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf "  # noqa: SIM905 (a list over 30 lines is not read at a glance)
    ".pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
PHOTO_SUFFIXES: Final = RAW_SUFFIXES.union(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .tif .tiff .bmp .dib .gif .avif .heic .heif .hif".split()  # noqa: SIM905 (same)
)

_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# (offset, bytes, format): the first match wins. RAW containers that are not TIFF come first.
_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"GIF87a", GIF),
    (0, b"GIF89a", GIF),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIRO", RAW),  # Olympus ORF
    (0, b"IIRS", RAW),  # Olympus ORF
    (0, b"MMOR", RAW),  # Olympus ORF
    (0, b"IIU\0", RAW),  # Panasonic RW2
    (0, b"FOVb", RAW),  # Sigma X3F
    (0, b"\0MRM", RAW),  # Minolta MRW
    (6, b"HEAPCCDR", RAW),  # Canon CRW
    (8, b"CR\x02", RAW),  # Canon CR2, a TIFF with this mark
)

# ISO base media brands; a still is anything whose brand says so, the rest of "ftyp" is video.
_BRANDS: Final = {
    b"avif": AVIF,
    b"avis": AVIF,
    b"heic": HEIF,
    b"heix": HEIF,
    b"heim": HEIF,
    b"heis": HEIF,
    b"hevc": HEIF,
    b"hevx": HEIF,
    b"mif1": HEIF,
    b"msf1": HEIF,
    b"crx ": RAW,
}

# What else arrives in an inbox under a photo's name, so that the failure can say what the file really is.
_STRANGERS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"%PDF-", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"\0\0\x01\0", "an icon file"),
    (0, b"PK\x03\x04", "a ZIP archive or an office document"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"\x1f\x8b", "a compressed archive"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"\0\0\x01\xba", "a video"),
    (0, b"FLV\x01", "a video"),
    (4, b"moov", "a video"),
    (4, b"mdat", "a video"),
    (0, b"ID3", "a sound recording"),
    (0, b"OggS", "a sound recording"),
    (0, b"fLaC", "a sound recording"),
    (0, b"SQLite format 3\0", "a database"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)

# Strangers that are pictures: failed (the photographer expects a cutout), never skipped as "not a photo".
_PICTURES: Final = frozenset(
    {
        "a Photoshop document",
        "a JPEG XL image",
        "a JPEG 2000 image",
        "an OpenEXR image",
        "a Radiance HDR image",
        "an icon file",
    }
)

_CFA: Final = 32803  # TIFF photometric interpretation: colour filter array
_LINEAR_RAW: Final = 34892  # the same of a demosaiced DNG
_TAG_PHOTOMETRIC: Final = 262
_TAG_SUBIFDS: Final = 330
_TAG_DNG_VERSION: Final = 50706


class Content(NamedTuple):
    """What the bytes are: `format` is one of PHOTO_FORMATS, or None and then `stranger` says what else."""

    format: str | None
    stranger: str
    is_picture: bool


def suffix_of(name: str) -> str:
    """The lower-case suffix with its dot, or an empty string."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a name, not a path)


def sniff(data: bytes, name: str) -> Content:
    """Tell the format from the content; the name only decides between TIFF and the RAWs that look like it."""
    found = _photo_format(data, name)
    if found is not None:
        return Content(found, "", is_picture=True)
    stranger = _stranger(data)
    return Content(None, stranger, is_picture=stranger in _PICTURES)


def _photo_format(data: bytes, name: str) -> str | None:
    for offset, magic, found in _MAGIC:
        if data.startswith(magic, offset):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp":
        return _brand(data)
    if data[:4] in _TIFF_MAGIC:
        return RAW if suffix_of(name) in RAW_SUFFIXES or tiff_is_raw(data) else TIFF
    # "BM" alone is two letters of any text; the two reserved words and the header size make it a bitmap.
    if data[:2] == b"BM" and data[6:10] == bytes(4) and data[15:18] == bytes(3):
        return BMP
    return None


def _brand(data: bytes) -> str | None:
    """The still format that an ISO base media file names as major or compatible brand, or None for video."""
    size = min(int.from_bytes(data[:4], "big"), 256, len(data))
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size - 3, 4))]
    known = [_BRANDS[b] for b in brands if b in _BRANDS]
    # Files of the general brand "mif1" name their codec among the compatible brands.
    return AVIF if AVIF in known else (known[0] if known else None)


def _stranger(data: bytes) -> str:
    for offset, magic, words in _STRANGERS:
        if data.startswith(magic, offset):
            return words
    if data[4:8] == b"ftyp":
        return "a video"
    if data[:4] == b"RIFF":
        return "a video" if data[8:12] == b"AVI " else "a sound recording"
    head = data[:4096]
    if not head.strip(b"\0"):
        return "empty space where a photo should be" if not data.strip(b"\0") else "damaged at its start"
    try:
        text = head[: len(head) - 4 if len(data) > len(head) else None].decode("utf-8")
    except UnicodeDecodeError:
        return "in no format that cutoutd knows"
    return "a text file" if all(c.isprintable() or c in "\t\r\n\f" for c in text) else "in no known format"


def tiff_is_raw(data: bytes) -> bool:
    """True if a TIFF holds sensor data (DNG, NEF, ARW, PEF …): by its tags, whatever its name."""
    try:
        return any(_directory_is_raw(tags) for tags in _directories(data))
    except (struct.error, IndexError):
        return False


def _directory_is_raw(tags: dict[int, list[int]]) -> bool:
    return _TAG_DNG_VERSION in tags or bool({_CFA, _LINEAR_RAW}.intersection(tags.get(_TAG_PHOTOMETRIC, ())))


def _directories(data: bytes) -> Iterator[dict[int, list[int]]]:
    """The first directory of a classic TIFF and its sub-directories (at most eight, against loops)."""
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(order + "H", data, 2)[0] != 42:
        return  # BigTIFF: no camera writes RAW in it
    first = _directory(data, order, struct.unpack_from(order + "I", data, 4)[0])
    yield first
    for offset in first.get(_TAG_SUBIFDS, ())[:8]:
        yield _directory(data, order, offset)


def _directory(data: bytes, order: str, offset: int) -> dict[int, list[int]]:
    """Tags with up to sixteen integer values each; other values are left out (an empty list)."""
    (count,) = struct.unpack_from(order + "H", data, offset)
    tags: dict[int, list[int]] = {}
    for index in range(min(count, 512)):
        at = offset + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHI", data, at)
        code, size = {3: ("H", 2), 4: ("I", 4), 13: ("I", 4)}.get(kind, ("", 0))
        if not code or length > 16:
            tags[tag] = []
            continue
        where = at + 8 if size * length <= 4 else struct.unpack_from(order + "I", data, at + 8)[0]
        tags[tag] = list(struct.unpack_from(f"{order}{length}{code}", data, where))
    return tags


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Every chunk of a PNG as (type, offset of its data, length); stops where the file does."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, length
        at += 12 + length
