"""TIFF: which of its pictures is the photo, and which reader can read it; no reader's own work.

`pillow` reads the usual ones, `tiff16` those of other depths and layouts; strips that are pictures themselves
(JPEG 2000, JPEG XL, WebP) are put together here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from cutoutd.config.installing import pip_install
from cutoutd.models.decoding import formats, gaps, ifd, jpegxl, pillow, refusals, tiff16, tiffstrips
from cutoutd.models.decoding.pixels import HeaderFacts, Opened, split

_TIFF: Final = "TIFF"
_NONE: Final = 1
_OLD_JPEG: Final = 6
# What Pillow's libtiff unpacks: none, fax, LZW, JPEG, deflate, PackBits, LZMA, Zstandard.
_OF_PILLOW: Final = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946, 34925, 50000))
_NAMES: Final = {34887: "LERC", 34892: "lossy DNG", 33007: "old JPEG", 34712: "JPEG 2000", 50002: "JPEG XL"}
_COLOUR_MAP: Final = 320
_YCBCR: Final = 6
# Pixels of a tile that may be larger than its picture, which fills a part of it.
_LEAST_TILE: Final = 1 << 20
# JPEG 2000 of luminance and colour differences, which its decoder takes for RGB.
_YCC: Final = (33003, 33004)
# Grey, RGB, YCbCr (which the pictures' own decoders turn into RGB).
_MEANINGS_OF_PICTURES: Final = (0, 1, 2, 6)


def header(data: bytes) -> HeaderFacts:
    """Facts of the main picture; raises what its reader raises."""
    data, _ = ifd.main_picture(data)
    first = next(iter(ifd.directories(data, first_only=True)), None)
    compression = _NONE if first is None else first.number(ifd.COMPRESSION, _NONE)
    if compression not in _OF_PILLOW or tiff16.is_needed(data):
        return tiff16.header(data)
    return pillow.header(data, formats.TIFF)


def load(data: bytes, *, want_16bit: bool = False) -> Opened:
    """Decode the main picture.

    Raises:
        PhotoError: damaged, or stored in a way that is not read; and whatever else its reader raises.
    """
    data, others = ifd.main_picture(data)
    first = next(iter(ifd.directories(data, first_only=True)), None)
    compression = _NONE if first is None else first.number(ifd.COMPRESSION, _NONE)
    if first is not None and first.number(ifd.FILL_ORDER, 1) != 1:
        data = tiffstrips.with_usual_bits(data, tiff16.first_page(data))
    if compression in _PICTURES:
        opened = _joined(data, _PICTURES[compression], of_ycc=compression in _YCC)
    elif compression not in _OF_PILLOW:
        opened = _by_extra(data, compression)
    elif tiff16.is_needed(data):
        tiffstrips.refuse_missing(tiff16.first_page(data))
        opened = tiff16.load(data)
    else:
        opened = _with_whole_colours(data, pillow.load(data, formats.TIFF, want_16bit=want_16bit))
        page = tiff16.first_page(data)
        if compression != _OLD_JPEG:  # one picture, wherever its strips are said to be
            tiffstrips.refuse_missing(page)
        tiffstrips.refuse_damaged(data, page)
    if not others:
        return opened
    note = f"The file holds {others + 1} pictures of this size: the first was taken."
    return Opened(
        opened.image,
        opened.alpha,
        opened.orientation,
        opened.icc,
        opened.dpi,
        opened.low,
        (*opened.notes, note),
    )


def _by_extra(data: bytes, compression: int) -> Opened:
    """Compressions that only the optional imagecodecs reads."""
    name = _NAMES.get(compression, f"compression {compression}")
    try:
        import imagecodecs  # noqa: F401 # pyright: ignore[reportMissingImports, reportUnusedImport] (an extra)
    except ImportError as exc:
        fix = f"{refusals.EXPORT} Or install more decoders: {pip_install('imagecodecs')}."
        raise refusals.not_read(_TIFF, name, fix) from exc
    return tiff16.load(data)


def _with_whole_colours(data: bytes, opened: Opened) -> Opened:
    """Some programs write palettes of 8 bits where TIFF has 16: taken literally, all colours are black."""
    image: Any = pillow.open_tiff(data)
    table = image.tag_v2.get(_COLOUR_MAP)
    if image.mode != "P" or table is None or max(table, default=0) > 255:
        return opened
    image.load()
    image.putpalette(bytes(np.array(table, np.uint8).reshape(3, -1).T.ravel()))
    colours, alpha = split(image)
    return Opened(colours, alpha, opened.orientation, opened.icc, opened.dpi, None, opened.notes)


# --- strips and tiles that are pictures


def _webp(data: bytes) -> Image.Image:
    return WebPImageFile(io.BytesIO(data))


class _Kind(NamedTuple):
    format: str
    opener: Callable[[bytes], Image.Image]


_JPEG_2000: Final = _Kind(formats.JPEG_2000, pillow.open_jpeg2000)
_WEBP: Final = _Kind(formats.WEBP, _webp)
_JPEG_XL: Final = _Kind(formats.JPEG_XL, jpegxl.open_image)
_PICTURES: Final = {
    33003: _JPEG_2000,
    33004: _JPEG_2000,
    33005: _JPEG_2000,
    34712: _JPEG_2000,
    34927: _WEBP,
    50001: _WEBP,
    50002: _JPEG_XL,
    52546: _JPEG_XL,
}


def _joined(data: bytes, kind: _Kind, *, of_ycc: bool) -> Opened:
    """Decode each strip or tile by itself and put it in its place."""
    page = tiff16.first_page(data)
    if (
        int(page.photometric) not in _MEANINGS_OF_PICTURES
        or page.ndim not in (2, 3)
        or page.planarconfig != 1
    ):
        raise refusals.not_read(_TIFF, "unusual colours in compressed strips")
    samples = int(page.samplesperpixel)
    if samples not in (1, 2, 3, 4) or int(np.max(page.bitspersample)) != 8:
        raise refusals.not_read(_TIFF, f"{samples} channels of {page.bitspersample} bits, compressed")
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples]
    width, height = int(page.imagewidth), int(page.imagelength)
    wide, high = (page.tilewidth, page.tilelength) if page.is_tiled else (width, page.rowsperstrip)
    columns, rows = -(-width // max(1, int(wide))), -(-height // max(1, int(high)))
    if len(page.dataoffsets) != columns * rows or len(page.databytecounts) != columns * rows:
        raise refusals.damaged(_TIFF, "its list of strips")
    whole = Image.new(mode, (width, height))
    for index, (at, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        strip = data[at : at + size]
        part = kind.opener(strip)
        left, top = index % columns * int(wide), index // columns * int(high)
        expected = min(int(wide), width - left), min(int(high), height - top)
        fits = expected[0] <= part.size[0] <= int(wide) and expected[1] <= part.size[1] <= int(high)
        if not fits or part.size[0] * part.size[1] > 4 * width * height + _LEAST_TILE:
            raise refusals.damaged(_TIFF, "a strip of another size")
        part.load()
        gaps.refuse(strip, kind.format, part)
        if part.mode == "RGB" and (of_ycc or (int(page.photometric) == _YCBCR and kind is _JPEG_2000)):
            part = Image.frombytes("YCbCr", part.size, part.tobytes())
        whole.paste(part if part.mode == mode else part.convert(mode), (left, top))
    if int(page.photometric) == 0:
        raise refusals.not_read(_TIFF, "a negative in compressed strips")
    meant = tiff16.alpha_kind(page)
    if meant == tiff16.PREMULTIPLIED and mode in ("LA", "RGBA"):
        whole = Image.frombytes(mode[:-1] + "a", whole.size, whole.tobytes()).convert(mode)
    colours, alpha = split(whole)
    if meant is None:
        alpha = None
    icc = page.iccprofile
    return Opened(colours, alpha, tiff16.turn(page), icc if isinstance(icc, bytes) else None, None)
