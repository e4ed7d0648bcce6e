"""Which format some bytes are, by their content; decodes nothing, imports only the standard library."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from cutoutd.models.decoding import ifd

JPEG: Final = "JPEG"
PNG: Final = "PNG"
WEBP: Final = "WebP"
TIFF: Final = "TIFF"
BMP: Final = "BMP"
GIF: Final = "GIF"
AVIF: Final = "AVIF"
HEIF: Final = "HEIC"
RAW: Final = "RAW"
JPEG_XL: Final = "JPEG XL"
JPEG_2000: Final = "JPEG 2000"

PHOTO_FORMATS: Final = (JPEG, PNG, WEBP, TIFF, BMP, GIF, AVIF, HEIF, JPEG_XL, JPEG_2000, RAW)

# The one table of extensions, in lower case and without the dot. An extension only decides what is worth opening; the
# content decides the format. RAW are camera makers' formats that LibRaw reads; `.raw` is Panasonic's and Leica's old
# name, `.insp` Insta360's, `.jpg_large` what some websites' downloads are called.
EXTENSIONS: Final[dict[str, frozenset[str]]] = {
    kind: frozenset(words.split())
    for kind, words in {
        JPEG: "jpg jpeg jpe jfif jfi jif pjpeg pjp mpo insp jpg_large jpeg_large jpg_orig",
        PNG: "png apng png_large",
        WEBP: "webp",
        TIFF: "tif tiff btf tf8",
        BMP: "bmp dib",
        GIF: "gif",
        AVIF: "avif avifs",
        HEIF: "heic heif heics heifs hif",
        JPEG_XL: "jxl",
        JPEG_2000: "jp2 j2k j2c jpc jpx jpf",
        RAW: "3fr arw bay cap cr2 cr3 crw dcr dcs dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf ori pef ptx "
        "raf raw rw2 rwl sr2 srf srw x3f",
    }.items()
}
RAW_EXTENSIONS: Final = EXTENSIONS[RAW]
PHOTO_EXTENSIONS: Final = frozenset[str]().union(
    *(names for kind, names in EXTENSIONS.items() if kind != RAW)
)
RAW_SUFFIXES: Final = frozenset(f".{name}" for name in RAW_EXTENSIONS)
PHOTO_SUFFIXES: Final = frozenset(f".{name}" for name in PHOTO_EXTENSIONS | RAW_EXTENSIONS)

_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# (offset, bytes, format): the first match wins. RAW containers that are not TIFF come first.
_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"GIF87a", GIF),
    (0, b"GIF89a", GIF),
    (0, b"\xff\x0a", JPEG_XL),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", JPEG_XL),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", JPEG_2000),
    (0, b"\xff\x4f\xff\x51", JPEG_2000),
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

# What to do about a stranger that another copy of the same file would not cure; of all others one would.
_REMEDIES: Final = {
    "a PDF document": "Export its page as JPEG, PNG or TIFF.",
    "a PostScript document": "Export its page as JPEG, PNG or TIFF.",
    "a ZIP archive or an office document": "Unpack it, and drop the photos themselves.",
    "a RAR archive": "Unpack it, and drop the photos themselves.",
    "a 7-Zip archive": "Unpack it, and drop the photos themselves.",
    "a compressed archive": "Unpack it, and drop the photos themselves.",
    "a video": "Export a frame of it as JPEG, PNG or TIFF.",
    "a sound recording": "There is no picture in it.",
    "a database": "There is no picture in it.",
    "a program": "There is no picture in it; do not open it.",
}

# Strangers that are pictures: failed (the photographer expects a cutout), never skipped as "not a photo".
_PICTURES: Final = frozenset(
    {
        "a Photoshop document",
        "an OpenEXR image",
        "a Radiance HDR image",
        "an icon file",
    }
)

# Sizes in bytes of a bitmap's header: OS/2 (12, and 16 to 64 cut off after any field), Windows (40 to 124).
_BITMAP_HEADERS: Final = frozenset(bytes((size,)) for size in (12, *range(16, 65, 2), 108, 124))

_CFA: Final = 32803  # TIFF photometric interpretation: colour filter array
_LINEAR_RAW: Final = 34892  # the same of a demosaiced DNG
_TAG_DNG_VERSION: Final = 50706


class Content(NamedTuple):
    """What the bytes are: `format` is one of PHOTO_FORMATS, or None and then `stranger` says what else.

    `remedy` says what to do about a stranger; it is empty where another copy of the file is what helps.
    """

    format: str | None
    stranger: str
    is_picture: bool
    remedy: str = ""


def suffix_of(name: str) -> str:
    """The lower-case suffix with its dot, or an empty string."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a name, not a path)


def sniff(data: bytes, name: str) -> Content:
    """Tell the format from the content; the name only decides between TIFF and the RAWs that look like it."""
    found = _photo_format(data, name)
    if found is not None:
        return Content(found, "", is_picture=True)
    stranger = _stranger(data)
    return Content(None, stranger, stranger in _PICTURES, _REMEDIES.get(stranger, ""))


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
    # "BM" alone is two letters of any text; the size of the header makes it a bitmap.
    if data[:2] == b"BM" and data[14:15] in _BITMAP_HEADERS and data[15:18] == bytes(3):
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
    return any(_directory_is_raw(one.tags) for one in ifd.directories(data, first_only=True))


def _directory_is_raw(tags: dict[int, list[int]]) -> bool:
    return _TAG_DNG_VERSION in tags or bool({_CFA, _LINEAR_RAW}.intersection(tags.get(ifd.PHOTOMETRIC, ())))
