"""Files of every format and variant with the answer that each must get; rarer ones are in `format_rarities`.

The files in tests/data/photos and the pictures made here show scikit-image's coffee, which is in the public domain.
"""

# scikit-image, tifffile and parts of Pillow are untyped.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tests.support.damage import never_written, old_jpeg, overwritten, with_bad_strip
from tests.support.photos import pixels

from cutoutd.models.decoding import icc

FILES = Path(__file__).parents[1] / "data" / "photos"


class Answer(StrEnum):
    """What becomes of a file."""

    READ = "read"
    NOTED = "read; the log says what was left out"
    DAMAGED = "failed: damaged, copy it again"
    UNREAD = "failed: stored in a way that is not read, export it"
    INVISIBLE = "failed: nothing in it can be seen"


@dataclass(frozen=True)
class Case:
    """One file. `within`: how far its pixels may lie from the coffee in the mean, of 255; None: not compared."""

    kind: str
    variant: str
    answer: Answer
    make: Callable[[], bytes]
    within: float | None = None
    name: str = "photo"

    def __str__(self) -> str:
        return f"{self.kind}: {self.variant}"


@functools.cache
def coffee() -> NDArray[np.uint8]:
    """uint8 (400, 600, 3)."""
    return pixels("coffee")


def picture() -> Image.Image:
    return Image.fromarray(coffee())


@functools.cache
def in_palette(colours: int) -> Image.Image:
    """The same with so many colours; finding them takes longer than most cases do. Not to be changed."""
    return picture().quantize(colours)


def saved(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    if kind == "PNG":
        options = {"compress_level": 1} | options  # in a third of the time
    if image is None and all(isinstance(value, Hashable) for value in options.values()):
        return _saved_once(kind, **options)
    out = io.BytesIO()
    (image or picture()).save(out, kind, **options)
    return out.getvalue()


@functools.cache
def _saved_once(kind: str, **options: Any) -> bytes:
    """The coffee itself: most damage is done to copies of one file."""
    return saved(kind, picture(), **options)


# --- JPEG


@functools.cache
def jpeg(**options: Any) -> bytes:
    return saved("JPEG", quality=92, **options)


def scan_of(data: bytes) -> int:
    """Where the (first) scan's data begins."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def with_hole(data: bytes, filling: Callable[[int], bytes], share: float = 0.5, size: int = 4096) -> bytes:
    at = scan_of(data) + int((len(data) - scan_of(data)) * share)
    return data[:at] + filling(size) + data[at + size :]


def half(data: bytes, end: bytes = b"") -> bytes:
    return data[: (scan_of(data) + len(data)) // 2] + end


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + data[2:]


def with_thumbnail() -> bytes:
    small = saved("JPEG", picture().resize((120, 80)))
    return with_segment(jpeg(), 0xE1, b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0" + small)


def of_frame(marker: int, bits: int = 8) -> bytes:
    data = jpeg()
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes((marker,)) + data[at + 2 : at + 4] + bytes((bits,)) + data[at + 5 :]


JUNK = random.Random(7).randbytes
EOI = b"\xff\xd9"
VARIANTS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "with restart markers": {"restart_marker_rows": 1},
    "with optimised tables": {"optimize": True},
}


def arithmetic() -> bytes:
    return (FILES / "A05_arith.jpg").read_bytes()


def jpegs() -> list[Case]:
    read, damaged = Answer.READ, Answer.DAMAGED
    cases = [Case("JPEG", name, read, functools.partial(jpeg, **how), 4) for name, how in VARIANTS.items()]
    for name, how in VARIANTS.items():
        data = functools.partial(jpeg, **how)
        cases += [
            Case("JPEG", f"{name}, end marker missing", read, lambda d=data: d()[:-2], 4),
            Case("JPEG", f"{name}, end marker missing, then zeros", read, lambda d=data: d()[:-2] + bytes(9000), 4),
            Case("JPEG", f"{name}, a hole of zeros", damaged, lambda d=data: with_hole(d(), bytes)),
            Case("JPEG", f"{name}, a hole of other data", damaged, lambda d=data: with_hole(d(), JUNK, 0.3)),
            Case("JPEG", f"{name}, a hole of FF bytes", damaged, lambda d=data: with_hole(d(), lambda n: b"\xff" * n)),
            Case("JPEG", f"{name}, broken off", damaged, lambda d=data: half(d())),
            Case("JPEG", f"{name}, half a picture and an end marker", damaged, lambda d=data: half(d(), EOI)),
            Case("JPEG", f"{name}, space reserved, half written", damaged, lambda d=data: half(d(), bytes(60_000))),
            Case("JPEG", f"{name}, zeros up to the end marker", damaged,
                 lambda d=data: half(d(), bytes(len(d()) // 2) + EOI)),
            Case("JPEG", f"{name}, a part left out", damaged,
                 lambda d=data: with_hole(d(), lambda _: b"")),
        ]  # fmt: skip
    film = b"\0\0\0\x18ftypmp42" + JUNK(5000) + bytes(3000)
    return [
        *cases,
        Case("JPEG", "arithmetic coding", read, arithmetic, 4),
        Case("JPEG", "arithmetic coding, end marker missing", read, lambda: arithmetic()[:-2], 4),
        Case("JPEG", "arithmetic coding, end marker missing, then zeros", read,
             lambda: arithmetic()[:-2] + bytes(9000), 4),
        Case("JPEG", "arithmetic coding, broken off", damaged, lambda: half(arithmetic())),
        Case("JPEG", "arithmetic coding, broken off near its end", damaged, lambda: arithmetic()[:-400]),
        Case("JPEG", "arithmetic coding, half a picture and an end marker", damaged, lambda: half(arithmetic(), EOI)),
        Case("JPEG", "arithmetic coding, space reserved, half written", damaged,
             lambda: half(arithmetic(), bytes(60_000))),
        Case("JPEG", "arithmetic coding, zeros up to the end marker", damaged,
             lambda: half(arithmetic(), bytes(60_000) + EOI)),
        Case("JPEG", "a real copy with 4 KB of zeros", damaged, (FILES / "A18_zero_hole_4k_middle.jpg").read_bytes),
        Case("JPEG", "motion photo, its film ends in zeros", read, (FILES / "motion_free_box.jpg").read_bytes, 4),
        Case("JPEG", "a film behind it", read, lambda: jpeg() + film, 4),
        Case("JPEG", "padding behind it", read, lambda: jpeg() + bytes(70_000), 4),
        Case("JPEG", "padding before the end marker", read, lambda: jpeg()[:-2] + bytes(300) + EOI, 4),
        Case("JPEG", "stray bytes before the end marker", read, lambda: jpeg()[:-2] + b"\x12\x34\x56" + EOI, 4),
        Case("JPEG", "a second picture behind it (MPO)", read, lambda: jpeg() + jpeg(optimize=True), 4),
        Case("JPEG", "a thumbnail with an end marker inside", read, with_thumbnail, 4),
        Case("JPEG", "a damaged profile", Answer.NOTED,
             lambda: with_segment(jpeg(), 0xE2, b"ICC_PROFILE\0\5\7x"), 4),
        Case("JPEG", "an unknown Adobe transform", read,
             lambda: with_segment(jpeg(), 0xEE, b"Adobe\0\x64\0\0\0\0\x09"), 4),
        Case("JPEG", "an Adobe transform for another number of channels", read,
             lambda: saved("JPEG", picture().convert("CMYK"), quality=95).replace(
                 b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\1"), None),
        Case("JPEG", "CMYK", read, lambda: saved("JPEG", picture().convert("CMYK"), quality=95), 6),
        Case("JPEG", "grey", read, lambda: saved("JPEG", picture().convert("L"))),
        Case("JPEG", "called .pjpeg", read, jpeg, 4, "photo.pjpeg"),
        Case("JPEG", "called .jpg_large", read, jpeg, 4, "photo.jpg_large"),
        Case("JPEG", "called .insp", read, jpeg, 4, "photo.insp"),
        Case("JPEG", "12 bits per channel", Answer.UNREAD, lambda: of_frame(0xC1, 12)),
        Case("JPEG", "lossless", Answer.UNREAD, lambda: of_frame(0xC3)),
        Case("JPEG", "hierarchical", Answer.UNREAD, lambda: of_frame(0xC5)),
        Case("JPEG", "broken off in its header", damaged, lambda: jpeg()[:150]),
        Case("JPEG", "its tables overwritten with zeros", damaged,
             lambda: jpeg()[:25] + bytes(64) + jpeg()[89:]),
    ]  # fmt: skip


# --- PNG


def chunk(kind: bytes, content: bytes, *, sound: bool = True) -> bytes:
    total = zlib.crc32(kind + content) ^ (0 if sound else 1)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", total)


def with_chunks(*chunks: bytes, image: Image.Image | None = None) -> bytes:
    data = saved("PNG", image)
    return data[:33] + b"".join(chunks) + data[33:]


def linear() -> Image.Image:
    values = coffee() / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return Image.fromarray((light * 255 + 0.5).astype(np.uint8))


def in_space(profile: bytes) -> Image.Image:
    source, target = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile))
    moved = ImageCms.profileToProfile(picture(), source, target)
    assert moved is not None
    moved.info.clear()
    return moved


def clear(kind: str, **options: Any) -> bytes:
    image = picture()
    image.putalpha(0)
    return saved(kind, image, **options)


GAMMA_1 = chunk(b"gAMA", struct.pack(">I", 100_000))
ADOBE_COLOURS = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


def damaged_pixels() -> bytes:
    data = saved("PNG")
    return data[: len(data) // 2] + bytes(4096) + data[len(data) // 2 + 4096 :]


def pngs() -> list[Case]:
    noted = Answer.NOTED
    bad = {
        "text": chunk(b"tEXt", b"a\0b", sound=False),
        "camera data": chunk(b"eXIf", b"II*\0", sound=False),
        "profile, sum": chunk(b"iCCP", b"a\0\0" + zlib.compress(icc.display_p3_icc()), sound=False),
        "profile, content": chunk(b"iCCP", b"a\0\0not packed"),
        "colour space, empty": chunk(b"sRGB", b""),
        "tone curve, short": chunk(b"gAMA", b"\0"),
        "resolution, sum": chunk(b"pHYs", struct.pack(">2IB", 3780, 3780, 1), sound=False),
    }
    return [
        Case("PNG", "plain", Answer.READ, lambda: saved("PNG"), 0),
        *(Case("PNG", f"damaged {name}", noted, lambda c=c: with_chunks(c), 0) for name, c in bad.items()),
        Case("PNG", "end missing", Answer.READ, lambda: saved("PNG")[:-12], 0),
        Case("PNG", "something behind it", Answer.READ, lambda: saved("PNG") + JUNK(500), 0),
        Case("PNG", "gamma 1.0 without a profile", Answer.READ, lambda: with_chunks(GAMMA_1, image=linear()), 1.5),
        Case("PNG", "gamma 1.0, but sRGB too", Answer.READ, lambda: with_chunks(GAMMA_1, chunk(b"sRGB", b"\0")), 0),
        Case("PNG", "Adobe RGB by gamma and chromaticities", Answer.READ,
             lambda: with_chunks(chunk(b"gAMA", struct.pack(">I", 45_470)),
                                 chunk(b"cHRM", struct.pack(">8I", *ADOBE_COLOURS)),
                                 image=in_space(icc.matrix_profile(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
                                                                   icc.srgb_curve_tag()))), 1.5),
        Case("PNG", "impossible chromaticities", noted, lambda: with_chunks(chunk(b"cHRM", bytes(32))), 0),
        Case("PNG", "broken off", Answer.DAMAGED, lambda: saved("PNG")[:200_000]),
        Case("PNG", "a hole of zeros", Answer.DAMAGED, damaged_pixels),
        Case("PNG", "transparent everywhere", Answer.INVISIBLE, lambda: clear("PNG")),
        Case("PNG", "for iOS alone (CgBI)", Answer.UNREAD, lambda: with_chunks(chunk(b"CgBI", bytes(4)))),
    ]  # fmt: skip


# --- TIFF


def tiff(values: NDArray[Any] | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    write: Any = tifffile.imwrite
    write(out, coffee() if values is None else values, **{"photometric": "rgb", "metadata": None, **options})
    return out.getvalue()


def pages(*of: tuple[NDArray[Any], dict[str, Any]], **options: Any) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out, **options) as writer:
        write: Any = writer.write
        for values, how in of:
            write(values, **{"photometric": "rgb", "metadata": None, **how})
    return out.getvalue()


def tagged(data: bytes, tag: int, old: int, new: int) -> bytes:
    """One short value of a little-endian TIFF's first directory changed."""
    before, after = (struct.pack("<HHIHH", tag, 3, 1, value, 0) for value in (old, new))
    assert before in data
    return data.replace(before, after)


@functools.cache
def of_strips(compression: int, encode: Callable[[Image.Image], bytes]) -> bytes:
    """A TIFF of four strips, each of which is a picture."""
    parts = [encode(picture().crop((0, top, 600, top + 100))) for top in range(0, 400, 100)]
    at, offsets = 8, list[int]()
    for part in parts:
        offsets.append(at)
        at += len(part)
    lists = at
    bits = struct.pack("<3H", 8, 8, 8)
    body = b"".join(parts) + struct.pack("<8I", *offsets, *map(len, parts)) + bits
    tags = [
        (256, 3, 1, 600),
        (257, 3, 1, 400),
        (258, 3, 3, lists + 32),
        (259, 3, 1, compression),
        (262, 3, 1, 2),
    ]
    tags += [(273, 4, 4, lists), (277, 3, 1, 3), (278, 3, 1, 100), (279, 4, 4, lists + 16)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + directory


def packed(bits: int, *, deflated: bool = False) -> bytes:
    """RGB of an odd depth."""
    values = coffee().astype(np.uint32) * ((1 << bits) - 1) // 255
    planes = ((values[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
    strip = np.packbits(planes.reshape(400, -1), axis=1).tobytes()
    strip = zlib.compress(strip) if deflated else strip
    tags = [
        (256, 3, 1, 600),
        (257, 3, 1, 400),
        (258, 3, 3, 8 + len(strip)),
        (259, 3, 1, 8 if deflated else 1),
    ]
    tags.append((262, 3, 1, 2))
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 400), (279, 4, 1, len(strip))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return (
        struct.pack("<2sHI", b"II", 42, 14 + len(strip))
        + strip
        + struct.pack("<3H", bits, bits, bits)
        + directory
    )


def palette(scale: int) -> bytes:
    image = in_palette(256)
    table = np.array(image.getpalette(), np.uint16).reshape(-1, 3).T * scale
    return tiff(np.asarray(image), photometric="palette", colormap=table)


def lab16() -> bytes:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    moved = ImageCms.profileToProfile(picture(), srgb, lab, outputMode="LAB")
    assert moved is not None
    stored = np.frombuffer(moved.tobytes(), np.uint8).reshape(400, 600, 3).astype(np.uint16) << 8
    return tiff(stored, photometric="cielab")


def cmyk_alpha() -> bytes:
    inks = np.asarray(picture().convert("CMYK"))
    return tiff(
        np.dstack([inks, np.full((400, 600), 200, np.uint8)]), photometric="separated", extrasamples=[2]
    )


def webp(image: Image.Image | None = None) -> bytes:
    return saved("WEBP", image, lossless=True)


def jpeg2000(image: Image.Image | None = None) -> bytes:
    return saved("JPEG2000", image, irreversible=False, no_jp2=True)


def jpegxl(image: Image.Image | None = None, *, exact: bool = True) -> bytes:
    import pillow_jxl  # noqa: F401 # pyright: ignore[reportMissingTypeStubs, reportUnusedImport] (Pillow can save it then)

    # A tenth of the time that its own third-highest effort takes, for a few per cent more bytes of the same kind.
    return saved("JXL", image, effort=3, **({"lossless": True} if exact else {"quality": 90}))


PACKED: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved("TIFF", compression="jpeg", quality=95),
    "JPEG in the old way": lambda: old_jpeg(saved("JPEG", quality=90), 600, 400),
    "JPEG in the old way, found by its strip": lambda: old_jpeg(jpeg(), 600, 400, by_tag=False),
    "LZW": lambda: saved("TIFF", compression="tiff_lzw"),
    "deflate": lambda: saved("TIFF", compression="tiff_adobe_deflate"),
    "deflate of 12 bits": lambda: packed(12, deflated=True),
    "PackBits": lambda: saved("TIFF", compression="packbits"),
    "WebP": lambda: of_strips(50001, webp),
    "JPEG 2000": lambda: of_strips(34712, jpeg2000),
    "JPEG XL": lambda: of_strips(50002, jpegxl),
}


def tiffs() -> list[Case]:
    read, small, huge = Answer.READ, coffee()[::5, ::5], np.ones((1500, 1000), bool)
    whole = (coffee(), dict[str, Any]())
    both = ((small, {"subifds": 1, "subfiletype": 1}), whole)
    return [
        Case("TIFF", "plain", read, tiff, 0),
        Case("TIFF", "a thumbnail first", read, lambda: pages((small, {"subfiletype": 1}), whole), 0),
        Case("TIFF", "a small picture first, unmarked", read, lambda: pages((small, {}), whole), 0),
        Case("TIFF", "BigTIFF, big-endian, a thumbnail first", read,
             lambda: pages((small, {"subfiletype": 1}), whole, bigtiff=True, byteorder=">"), 0),
        Case("TIFF", "the photo in a sub-directory", read, lambda: pages(*both), 0),
        Case("TIFF", "a page of text behind it", read, lambda: pages(whole, (huge, {"photometric": "minisblack"})), 0),
        Case("TIFF", "a mask behind it", read,
             lambda: pages(whole, (np.full((900, 800), 255, np.uint8), {"photometric": 4})), 0),
        Case("TIFF", "several photos of one size", Answer.NOTED, lambda: pages(whole, (coffee()[::-1], {})), 0),
        Case("TIFF", "palette", read, lambda: palette(257), 6),
        Case("TIFF", "palette of 8-bit values", read, lambda: palette(1), 6),
        Case("TIFF", "12 bits per channel", read, lambda: packed(12), 0.6),
        Case("TIFF", "10 bits per channel", read, lambda: packed(10), 0.6),
        Case("TIFF", "16 bits per channel", read, lambda: tiff(coffee().astype(np.uint16) * 257), 0),
        Case("TIFF", "floating point", read, lambda: tiff((coffee() / 255).astype(np.float32)), 0.6),
        Case("TIFF", "CMYK with alpha", read, cmyk_alpha, 1),
        Case("TIFF", "CIE Lab of 16 bits", read, lab16, 3),
        Case("TIFF", "JPEG 2000", read, lambda: of_strips(34712, jpeg2000), 0),
        Case("TIFF", "JPEG XL", read, lambda: of_strips(50002, jpegxl), 0),
        Case("TIFF", "WebP", read, lambda: of_strips(50001, webp), 0),
        Case("TIFF", "JPEG", read, lambda: saved("TIFF", compression="jpeg", quality=95), 2),
        Case("TIFF", "JPEG in the old way", read, lambda: old_jpeg(saved("JPEG", quality=90), 600, 400), 4),
        Case("TIFF", "Zstandard", read, lambda: saved("TIFF", compression="zstd"), 0),
        *(
            Case("TIFF", f"{name}, {what} in one of its strips", Answer.DAMAGED,
                 lambda m=make, f=filling: with_bad_strip(m(), f))
            for name, make in PACKED.items()
            for what, filling in (("zeros", bytes), ("other data", JUNK))
            if filling is bytes or name not in ("WebP", "JPEG 2000")  # which have no sums
        ),
        Case("TIFF", "uncompressed, its end never written", Answer.DAMAGED, lambda: never_written(tiff(), 0.501)),
        Case("TIFF", "LERC (read with the extra `tiff`)", Answer.UNREAD, lambda: tagged(tiff(), 259, 1, 34887)),
        Case("TIFF", "an unknown compression", Answer.UNREAD, lambda: tagged(tiff(), 259, 1, 60000)),
        Case("TIFF", "unknown colours", Answer.UNREAD, lambda: tagged(tiff(coffee().astype(np.uint16)), 262, 2, 10)),
        Case("TIFF", "transparent everywhere", Answer.INVISIBLE, lambda: clear("TIFF")),
        Case("TIFF", "broken off", Answer.DAMAGED, lambda: saved("TIFF", compression="tiff_lzw")[:200_000]),
    ]  # fmt: skip


# --- bitmaps and the rest


def bitmap(header: int, bits: int = 24, *, alpha: int = 0, reserved: int = 0, masks: bool = False) -> bytes:
    height, width = 400, 600
    below = coffee()[::-1, :, ::-1]
    stored = below if bits == 24 else np.dstack([below, np.full((height, width), alpha, np.uint8)])
    if header == 12:
        head = struct.pack("<I4H", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, 3 if masks else 0, 0, 0, 0, 0, 0)[
            :header
        ]
        colours = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) if masks else b""
        head = (head + colours).ljust(header, b"\0")
    start = 14 + len(head)
    return b"BM" + struct.pack("<3I", start + stored.nbytes, reserved, start) + head + stored.tobytes()


HEIC = Path(__file__).parents[1] / "reliability" / "fuzz" / "seeds" / "astronaut.heic"
HOLED: list[tuple[str, str, Callable[[], bytes]]] = [
    ("WebP", "lossless", webp),
    ("WebP", "lossy", lambda: saved("WEBP", quality=90)),
    ("AVIF", "plain", lambda: saved("AVIF", quality=90, speed=10)),
    ("HEIC", "plain", HEIC.read_bytes),
    ("JPEG XL", "lossless", jpegxl),
    ("JPEG XL", "lossy", lambda: jpegxl(exact=False)),
    ("JPEG 2000", "bare", jpeg2000),
]


def others() -> list[Case]:
    read, invisible = Answer.READ, Answer.INVISIBLE
    makers = {12: "OS/2", 16: "OS/2", 24: "OS/2", 64: "OS/2", 40: "Windows", 108: "Windows", 124: "Windows"}
    return [
        *(
            Case("BMP", f"{maker}, header of {size} bytes", read, functools.partial(bitmap, size), 0)
            for size, maker in makers.items()
        ),
        Case("BMP", "reserved fields in use", read, lambda: bitmap(40, reserved=0x00100010), 0),
        Case("BMP", "alpha 0 everywhere (opaque)", read, lambda: bitmap(124, 32, masks=True), 0),
        Case("BMP", "alpha", read, lambda: bitmap(124, 32, alpha=128, masks=True), 0),
        Case("BMP", "broken off", Answer.DAMAGED, lambda: bitmap(40)[:300_000]),
        Case("BMP", "its end never written", Answer.DAMAGED, lambda: never_written(bitmap(40), 0.501)),
        Case("GIF", "plain", read, lambda: saved("GIF", in_palette(256)), 6),
        Case("GIF", "broken off", Answer.DAMAGED, lambda: saved("GIF", in_palette(256))[:90_000]),
        Case("WebP", "lossless", read, webp, 0),
        Case("WebP", "lossy", read, lambda: saved("WEBP", quality=90), 6),
        *(
            Case(kind, f"{variant}, {what}", Answer.DAMAGED, lambda m=make, f=filler: f(m()))
            for kind, variant, make in HOLED
            for what, filler in (("a hole of zeros", overwritten), ("its end never written", never_written))
        ),
        Case("WebP", "transparent everywhere", invisible, lambda: clear("WEBP", lossless=True, exact=True)),
        Case("WebP", "broken off", Answer.DAMAGED, lambda: webp()[:100_000]),
        Case("AVIF", "plain", read, lambda: saved("AVIF", quality=90, speed=10), 6),
        Case("HEIC", "plain", read, HEIC.read_bytes),
        Case("HEIC", "broken off", Answer.DAMAGED, lambda: HEIC.read_bytes()[:4000]),
        Case("AVIF", "cropped by its clean aperture", read, (FILES / "H11_clap.avif").read_bytes),
        Case("AVIF", "broken off", Answer.DAMAGED, lambda: saved("AVIF", quality=90, speed=10)[:20_000]),
        Case("JPEG XL", "lossless", read, jpegxl, 0),
        Case("JPEG XL", "lossy", read, lambda: jpegxl(exact=False), 6),
        Case("JPEG XL", "broken off", Answer.DAMAGED, lambda: jpegxl()[:100_000]),
        Case("JPEG 2000", "in its container", read, lambda: saved("JPEG2000", irreversible=False), 0),
        Case("JPEG 2000", "bare", read, jpeg2000, 0),
        Case("JPEG 2000", "broken off", Answer.DAMAGED, lambda: jpeg2000()[:100_000]),
        Case("Photoshop", "layers", Answer.UNREAD, lambda: b"8BPS" + bytes(50), None, "photo.psd"),
    ]  # fmt: skip


CASES = [*jpegs(), *pngs(), *tiffs(), *others()]
