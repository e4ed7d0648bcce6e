"""Rarer files, each of which met somebody: more ways to break, to trail and to be transparent. Writes docs/FORMATS.md.

`python -m tests.support.format_rarities --write` renews it from this table and that of `format_cases`.
"""

# scikit-image, tifffile and parts of Pillow are untyped.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import functools
import io
import itertools
import re
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.support import format_cases
from tests.support.bitmaps_by_hand import by_masks
from tests.support.format_cases import (
    EOI,
    GAMMA_1,
    JUNK,
    Answer,
    Case,
    chunk,
    coffee,
    half,
    jpeg,
    pages,
    picture,
    saved,
    scan_of,
    tiff,
    with_chunks,
    with_segment,
)
from tests.support.tiffs_by_hand import in_packbits, packed_numbers, turned_bits

from cutoutd.models.decoding import png

DOC = Path(__file__).parents[2] / "docs" / "FORMATS.md"
READ, DAMAGED, NOTED, INVISIBLE = Answer.READ, Answer.DAMAGED, Answer.NOTED, Answer.INVISIBLE

# --- JPEG


@functools.cache
def restarts() -> tuple[bytes, list[int]]:
    """A JPEG with restart markers, and where they are."""
    data = jpeg(restart_marker_rows=1)
    return data, [
        one.start() for one in re.finditer(rb"\xff[\xd0-\xd7]", data) if one.start() > scan_of(data)
    ]


def without_interval(first: int, last: int) -> bytes:
    data, at = restarts()
    return data[: at[first]] + data[at[last] :]


def swapped_intervals() -> bytes:
    data, at = restarts()
    return data[: at[4]] + data[at[5] : at[6]] + data[at[4] : at[5]] + data[at[6] :]


def without_marker() -> bytes:
    data, at = restarts()
    return data[: at[8]] + data[at[8] + 2 :]


def without(data: bytes, marker: int) -> bytes:
    """A JPEG without its segments of a kind."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        out += b"" if data[at + 1] == marker else data[at:end]
        at = end
    return out + data[at:]


def of_size(width: int, height: int) -> bytes:
    """A JPEG whose header says another size."""
    data = jpeg()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">2H", height, width) + data[at + 4 :]


def after_scan(number: int) -> bytes:
    """A progressive JPEG that broke off neatly between two scans."""
    data = jpeg(progressive=True)
    at = [one.start() for one in re.finditer(rb"\xff\xda", data)]
    return data[: at[number]] + EOI


def mpo(change: Callable[[bytes], bytes] = bytes) -> bytes:
    red = Image.new("RGB", (160, 120), "red")
    return change(saved("MPO", quality=92, save_all=True, append_images=[red]))


def wrong_places(data: bytes) -> bytes:
    at = data.index(b"MPF\0") + 12
    return data[:at] + b"\xff" * 60 + data[at + 60 :]


FILM = b"\0\0\0\x18ftypmp42" + JUNK(9000)
XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta GCamera:MicroVideo='1' GCamera:MicroVideoOffset='9012'/>"


def jpegs() -> list[Case]:
    return [
        Case("JPEG", "a restart marker lost", DAMAGED, without_marker),
        Case("JPEG", "a part between restart markers left out", DAMAGED, lambda: without_interval(8, 9)),
        Case("JPEG", "eight parts between restart markers left out", DAMAGED, lambda: without_interval(4, 12)),
        Case("JPEG", "two parts between restart markers swapped", DAMAGED, swapped_intervals),
        Case("JPEG", "its usual Huffman tables left out (a frame of a webcam)", READ, lambda: without(jpeg(), 0xC4), 4),
        Case("JPEG", "its own Huffman tables left out", DAMAGED, lambda: without(jpeg(optimize=True), 0xC4)),
        Case("JPEG", "its quantisation tables left out", DAMAGED, lambda: without(jpeg(), 0xDB)),
        *(Case("JPEG", f"a header that says {width} × {height}", DAMAGED, functools.partial(of_size, width, height))
          for width, height in ((600, 800), (600, 200), (1200, 400), (300, 400), (600, 408))),
        *(Case("JPEG", f"progressive, ended after scan {number}", DAMAGED, functools.partial(after_scan, number))
          for number in (1, 3, 5, 9)),
        Case("JPEG", "two in one file, the first broken off", DAMAGED, lambda: half(jpeg()) + jpeg()),
        Case("JPEG", "two cameras' pictures (MPO)", READ, mpo, 4.5),
        Case("JPEG", "two pictures, their list damaged", READ, lambda: mpo(wrong_places), 4.5),
        Case("JPEG", "two pictures, the second broken off", READ, lambda: mpo(lambda data: data[:-300]), 4.5),
        Case("JPEG", "a Samsung trailer", READ, lambda: jpeg() + b"\0\0\x01\x0aImage_UTC_Data" + JUNK(90) + b"SEFT", 4),
        Case("JPEG", "a Samsung motion photo", READ,
             lambda: jpeg() + b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data" + FILM + b"SEFH" + JUNK(60) + b"SEFT", 4),
        Case("JPEG", "a Google motion photo", READ, lambda: with_segment(jpeg(), 0xE1, XMP) + FILM, 4),
        Case("JPEG", "a film behind it that holds JPEGs", READ, lambda: jpeg() + FILM + jpeg() + FILM, 4),
        Case("JPEG", "a thumbnail behind it", READ,
             lambda: jpeg() + bytes(512) + saved("JPEG", picture().resize((80, 60))), 4),
        Case("JPEG", "an end marker in its comment", READ, lambda: with_segment(jpeg(), 0xFE, EOI + b"hello"), 4),
        Case("JPEG", "damaged camera data", READ,
             lambda: with_segment(jpeg(), 0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), 4),
        Case("JPEG", "RGB, without colour differences", READ, lambda: saved("JPEG", quality=92, keep_rgb=True), 4),
        Case("JPEG", "4:1:1", READ, lambda: jpeg(subsampling="4:1:1"), 4),
    ]  # fmt: skip


# --- PNG

# A sound content of each kind that says nothing about colours or turns; lengths that do not fit are damage.
SIDE: dict[str, bytes] = {
    "tEXt": b"Comment\0hello", "zTXt": b"Comment\0\0" + zlib.compress(b"hello"), "iTXt": b"c\0\0\0\0\0hello",
    "eXIf": b"II*\0\x08\0\0\0\0\0", "pHYs": struct.pack(">2IB", 3780, 3780, 1), "sRGB": b"\0", "tIME": bytes(7),
    "bKGD": bytes(6), "sBIT": b"\x08\x08\x08", "gAMA": struct.pack(">I", 45_455), "xYzW": b"anything",
    "cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000), "iDOT": bytes(28),
    "mDCV": bytes(24), "cLLI": bytes(8),
}  # fmt: skip


def pngs() -> list[Case]:
    return [
        *(Case("PNG", f"a chunk {kind}", READ, lambda k=kind, c=content: with_chunks(chunk(k.encode(), c)), 0)
          for kind, content in SIDE.items()),
        *(Case("PNG", f"a chunk {kind} with a wrong sum", NOTED,
               lambda k=kind, c=content: with_chunks(chunk(k.encode(), c, sound=False)), 0)
          for kind, content in SIDE.items()),
        *(Case("PNG", f"a chunk {kind} of the wrong length", NOTED,
               lambda k=kind: with_chunks(chunk(k.encode(), b"\1")), 0)
          for kind in ("gAMA", "cHRM", "pHYs", "cICP")),
        Case("PNG", "an unknown part that it needs", Answer.UNREAD, lambda: with_chunks(chunk(b"XyZW", b"x"))),
        Case("PNG", "an unknown part with a wrong sum", NOTED,
             lambda: with_chunks(chunk(b"XyZW", b"x", sound=False)), 0),
        Case("PNG", "gamma with a wrong sum", NOTED, lambda: with_chunks(GAMMA_1[:-1] + b"x"), 0),
        Case("PNG", "a wrong sum of its pixels", DAMAGED, wrong_sum),
        *(Case("PNG", f"of {rows} of its 400 rows, {how}", DAMAGED if rows < 400 else READ,
               lambda r=rows, h=how: of_rows(r, interlaced=h == "interlaced"))
          for how in ("plain", "interlaced") for rows in (200, 399, 400)),
        Case("PNG", "animated: its first picture", READ, lambda: film("PNG"), 0),
        Case("PNG", "animated, with a picture for viewers that show no films", READ,
             lambda: film("PNG", default_image=True), 0),
        Case("PNG", "a palette, transparent everywhere", INVISIBLE,
             lambda: saved("PNG", format_cases.in_palette(4), transparency=bytes(256))),
    ]  # fmt: skip


def of_rows(rows: int, *, interlaced: bool) -> bytes:
    """A PNG whose packing ends well with a row, and has the right sum, but not all rows."""
    picture = coffee()[:400]
    height, width = picture.shape[:2]
    packed = b""
    for left, top, right, down in png.PASSES if interlaced else ((0, 0, 1, 1),):
        last = rows if down <= 2 else height  # of the interlaced one only the finest rows are missing
        part = picture[top:last:down, left::right]
        packed += b"".join(b"\0" + row.tobytes() for row in part)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, int(interlaced))
    chunks = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(packed)), chunk(b"IEND", b""))
    return png.SIGNATURE + b"".join(chunks)


def wrong_sum() -> bytes:
    data = saved("PNG")
    at = data.index(b"IDAT") + 40
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def film(kind: str, **options: Any) -> bytes:
    """The coffee, then red."""
    first = format_cases.in_palette(256) if kind == "GIF" else picture()
    red = Image.new("RGB", first.size, "red")
    return saved(kind, first, save_all=True, append_images=[red], **options)


# --- TIFF and the rest


def with_alpha(value: int, kind: type[Any] = np.uint8, extra: str = "unassalpha", **options: Any) -> bytes:
    full = np.iinfo(kind).max // 255
    stored = np.dstack([coffee(), np.full((400, 600), value, np.uint8)]).astype(kind) * full
    return tiff(stored, photometric="rgb", extrasamples=[extra], **options)


def inks(*, deep: bool, alpha: int | None) -> bytes:
    stored = np.asarray(picture().convert("CMYK"))
    stored = stored if alpha is None else np.dstack([stored, np.full((400, 600), alpha, np.uint8)])
    extra: dict[str, Any] = {} if alpha is None else {"extrasamples": ["unassalpha"]}
    return tiff(stored.astype(np.uint16) * 257 if deep else stored, photometric="separated", **extra)


def apart(values: Any, compression: str | None) -> bytes:
    """Each channel by itself."""
    return tiff(
        np.moveaxis(values, -1, 0), photometric="rgb", planarconfig="separate", compression=compression
    )


# What a channel beside the colours is for, and how a TIFF says so.
EXTRAS = {
    "alpha": "unassalpha",
    "an alpha that they are multiplied by": "assocalpha",
    "another": "unspecified",
}
MEANINGS = {"grey": "minisblack", "RGB": "rgb", "CMYK": "separated"}


def apart_and_more(colours: str, more: str, compression: str | None) -> bytes:
    """Each channel by itself, with one that is opaque everywhere, or none of transparency."""
    values = {
        "grey": np.asarray(picture().convert("L")),
        "RGB": coffee(),
        "CMYK": np.asarray(picture().convert("CMYK")),
    }
    stored = np.dstack([values[colours], np.full((400, 600), 7 if more == "another" else 255, np.uint8)])
    return tiff(
        np.moveaxis(stored, -1, 0), photometric=MEANINGS[colours], planarconfig="separate",
        extrasamples=[EXTRAS[more]], compression=compression,
    )  # fmt: skip


def tiffs() -> list[Case]:
    small, middle = coffee()[::5, ::5], coffee()[::2, ::2]
    whole = (coffee(), dict[str, Any]())
    thumbnail = (small, {"subfiletype": 1})
    return [
        Case("TIFF", "two sub-directories, the photo behind them", READ,
             lambda: pages((small, {"subifds": 2, "subfiletype": 1}), (middle, {}), whole), 0),
        Case("TIFF", "a thumbnail first, then a deflated photo", READ,
             lambda: pages(thumbnail, (coffee(), {"compression": "zlib"})), 0),
        Case("TIFF", "a thumbnail behind it", READ, lambda: pages(whole, thumbnail), 0),
        *(Case("TIFF", f"{name}, {packed or 'uncompressed'}", READ,
               lambda v=values, p=packed, h=how: tiff(v(), photometric="rgb", compression=p, **h), 0)
          for (name, values, how), packed in itertools.product(LAYOUTS, (None, "zlib"))),
        *(Case("TIFF", f"channels apart, {bits} bits, {packed or 'uncompressed'}", READ,
               lambda b=bits, p=packed: apart(coffee() if b == 8 else coffee().astype(np.uint16) * 257, p), 0)
          for bits, packed in itertools.product((8, 16), (None, "zlib"))),
        *(Case("TIFF", f"channels apart, {colours} and {more}, {packed or 'uncompressed'}", READ,
               lambda c=colours, m=more, p=packed: apart_and_more(c, m, p), 60 if colours == "grey" else 1)
          for colours, more, packed in itertools.product(MEANINGS, EXTRAS, (None, "zlib"))),
        Case("TIFF", "16 bits, transparent everywhere", INVISIBLE, lambda: with_alpha(0, np.uint16)),
        Case("TIFF", "deflated, transparent everywhere", INVISIBLE, lambda: with_alpha(0, compression="zlib")),
        Case("TIFF", "multiplied by its alpha, transparent everywhere", INVISIBLE,
             lambda: with_alpha(0, extra="assocalpha")),
        Case("TIFF", "a fourth channel that is no transparency", READ, lambda: with_alpha(0, extra="unspecified"), 0),
        *(Case("TIFF", f"CMYK of {bits} bits", READ, lambda b=bits: inks(deep=b == 16, alpha=None), 1)
          for bits in (8, 16)),
        Case("TIFF", "CMYK of 16 bits with alpha", READ, lambda: inks(deep=True, alpha=200), 1),
        Case("TIFF", "CMYK, transparent everywhere", INVISIBLE, lambda: inks(deep=False, alpha=0)),
        *(Case("TIFF", f"{layout}, one of them {how}", DAMAGED, lambda m=made, h=how: lacking(m(), h))
          for layout, made in PARTS.items() for how in ("nowhere", "empty", "not listed")),
        Case("TIFF", "32 bits of grey", READ,
             lambda: tiff(coffee()[:, :, 1].astype(np.uint32) << 24, photometric="minisblack")),
        *(Case("TIFF", f"{bits} bits of grey with a sign", Answer.UNREAD,
               lambda b=bits: tiff((coffee()[:, :, 1] >> 1).astype(f"i{b // 8}"), photometric="minisblack"))
          for bits in (8, 16)),
        Case("TIFF", "channels apart, PackBits", READ, lambda: in_packbits(coffee()), 0),
        *(Case("TIFF", f"bits the other way round, {name}", READ, lambda p=packed: turned_bits(p), 0)
          for name, packed in (("uncompressed", None), ("zlib", "zlib"))),
        *(Case("TIFF", f"{name} in {packed}", READ, lambda k=kind, c=option, p=predictor: packed_numbers(k, c, p), 0)
          for (name, kind, predictor), (packed, option) in itertools.product(NUMBERS, PACKINGS)),
        Case("TIFF", "YCbCr, uncompressed", READ, lambda: saved("TIFF", picture().convert("YCbCr")), 2),
        Case("TIFF", "YCbCr in JPEG", READ, lambda: saved("TIFF", picture().convert("YCbCr"), compression="jpeg"), 4),
    ]  # fmt: skip


NUMBERS = (("32 bits", "u4", 1), ("32 bits, as differences,", "u4", 2), ("floats, as differences,", "f4", 3))
PACKINGS = (("LZW", "tiff_lzw"), ("zlib", "tiff_adobe_deflate"), ("Zstandard", "zstd"))
PARTS: dict[str, Callable[[], bytes]] = {
    "strips": lambda: tiff(coffee(), photometric="rgb", rowsperstrip=16),
    "tiles side by side": lambda: tiff(coffee(), photometric="rgb", tile=(128, 128)),
    "strips of channels apart": lambda: tiff(
        np.moveaxis(coffee().astype(np.uint16) * 257, 2, 0),
        photometric="rgb", planarconfig="separate", rowsperstrip=16,
    ),
    "strips of floats": lambda: tiff((coffee() / 255).astype(np.float32), photometric="rgb", rowsperstrip=16),
    "deflated strips of floats": lambda: tiff(
        (coffee() / 255).astype(np.float32), photometric="rgb", rowsperstrip=16, compression="zlib"
    ),
}  # fmt: skip


def lacking(data: bytes, how: str) -> bytes:
    """A TIFF whose list of strips or tiles says that the fourth is nowhere or empty, or leaves out the last."""
    import tifffile

    changed = bytearray(data)
    tags = tifffile.TiffFile(io.BytesIO(data)).pages.first.tags
    tiled = "TileOffsets" in tags
    offsets, counts = (
        tags["TileOffsets" if tiled else "StripOffsets"],
        tags["TileByteCounts" if tiled else "StripByteCounts"],
    )
    for tag in (offsets, counts):
        size = {3: 2, 4: 4}[int(tag.dtype)]
        if how == "not listed":
            changed[tag.offset + 4 : tag.offset + 8] = struct.pack("<I", tag.count - 1)
        elif (tag is offsets) == (how == "nowhere"):
            at = tag.valueoffset + 3 * size
            changed[at : at + size] = bytes(size)
    return bytes(changed)


LAYOUTS: list[tuple[str, Callable[[], Any], dict[str, Any]]] = [
    ("32 bits per channel", lambda: coffee().astype(np.uint32) * 16_843_009, {}),
    ("half floats", lambda: (coffee() / 255).astype(np.float16), {}),
    ("tiles", coffee, {"tile": (128, 128)}),
    ("tiles of 16 bits", lambda: coffee().astype(np.uint16) * 257, {"tile": (128, 128)}),
]


def others() -> list[Case]:
    hidden = picture()
    hidden.putalpha(0)
    empty = Image.new("P", (60, 40), 0)
    return [
        Case("GIF", "animated: its first picture", READ, lambda: film("GIF"), 6),
        Case("GIF", "transparent everywhere", INVISIBLE, lambda: saved("GIF", empty, transparency=0)),
        Case("WebP", "animated: its first picture", READ, lambda: film("WEBP", quality=90), 6),
        Case("AVIF", "animated: its first picture", READ, lambda: film("AVIF", quality=90, speed=10), 6),
        Case("AVIF", "transparent everywhere", INVISIBLE, lambda: saved("AVIF", hidden, speed=10)),
        Case("JPEG XL", "transparent everywhere", INVISIBLE, lambda: format_cases.jpegxl(hidden)),
        Case("JPEG 2000", "transparent everywhere", INVISIBLE, lambda: saved("JPEG2000", hidden)),
        *(Case("JPEG 2000", f"a tile left out, {place}", DAMAGED, lambda n=number: without_tile(n))
          for number, place in ((0, "the first"), (5, "in the middle"), (-1, "the last"))),
        Case("BMP", "32 bits, their last unused", READ, lambda: format_cases.bitmap(40, 32), 0),
        *(Case("BMP", f"by masks: {layout}", READ, lambda layout=layout: by_masks(solid(), layout),
               within) for layout, within in MASKED.items()),
        Case("Icon", "of one picture", Answer.UNREAD,
             lambda: saved("ICO", picture().resize((64, 64))), None, "photo.ico"),
    ]  # fmt: skip


# How far colours of so few bits are off, on average.
MASKED = {"4 bits each": 9, "5 and 6 bits, blue first": 4, "8 bits, red first": 0, "10 bits each": 0}


def solid() -> Any:
    """The picture with an opaque fourth channel."""
    return np.dstack([coffee(), np.full(coffee().shape[:2], 255, np.uint8)])


def without_tile(number: int) -> bytes:
    data = saved("JPEG2000", irreversible=False, tile_size=(200, 200))
    begins = [*(one.start() for one in re.finditer(rb"\xff\x90\0\x0a", data)), len(data) - 2]
    number %= len(begins) - 1
    return data[: begins[number]] + data[begins[number + 1] :]


CASES = [*format_cases.CASES, *jpegs(), *pngs(), *tiffs(), *others()]


def document() -> str:
    """docs/FORMATS.md."""
    lines = [
        "# Which photos are read",
        "",
        "*Made from `tests/support/format_cases.py` and `format_rarities.py` by",
        "`python -m tests.support.format_rarities --write`; every line is a test.*",
        "",
        "The content decides, not the name. RAW is read with the extra `raw`, without brightening each frame for",
        "itself. Colours become sRGB unless an outbox keeps the profile. A failed photo stays where it is.",
        "",
        "Damage is seen where the format has a sum (PNG, deflated TIFF, LZMA), where the decoder stumbles, and where",
        "zeros stand that no picture has. A few changed bytes in a JPEG, an uncompressed or Zstandard TIFF, a bitmap,",
        "a RAW, a JPEG 2000, a WebP, an AVIF or a HEIC may decode to a slightly wrong picture, and nobody can tell.",
    ]
    for kind in dict.fromkeys(case.kind for case in CASES):
        lines += ["", f"## {kind}", "", "| variant | answer |", "|---|---|"]
        lines += [f"| {case.variant} | {case.answer} |" for case in CASES if case.kind == kind]
    return "\n".join(lines) + "\n"


if __name__ == "__main__" and "--write" in sys.argv:
    DOC.write_text(document())
