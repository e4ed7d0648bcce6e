"""What Pillow cannot hold: the low bytes of 16-bit files, and TIFFs of float or separate-plane pixels."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.installing import pip_install
from cutoutd.models.decoding import formats, ifd, refusals, tiffdeep, tiffpacked
from cutoutd.models.decoding.pixels import HeaderFacts, Opened, combine, split

_SIGNED: Final = 2
_SEPARATE: Final = 2
_WHITE_IS_ZERO: Final = 0
_SEPARATED, _ICC_LAB = 5, 9
_LABS: Final = (8, _ICC_LAB)
# TIFF photometric interpretation: how many colour channels it has. Grey, RGB, CMYK and Lab.
_CHANNELS: Final = {0: 1, 1: 1, 2: 3, 5: 4, 8: 3, 9: 3}
_MANY: Final = 255
PREMULTIPLIED, _STRAIGHT = 1, 2  # TIFF ExtraSamples that are alpha
_BIG_ENDIAN_BIGTIFF: Final = b"MM\0+"  # Pillow takes its numbers for those of a small one

_EXPORT: Final = "Export it as an 8-bit or 16-bit TIFF without compression, or as PNG."
_EXPORT_RGB: Final = "Convert it to RGB, then export it as TIFF or PNG."
# Pixels whose colours are divided by their alpha at once: 8 bytes each in between.
_STRIP_PIXELS: Final = 400_000

_NATIVE: Final = "L" if sys.byteorder == "little" else "B"
_OTHER_END: Final = {"L": "B", "B": "L", "N": "B" if _NATIVE == "L" else "L"}


# --- the low bytes of files that Pillow opens


def low_bytes(data: bytes, kind: str) -> Image.Image | None:
    """The lower eight bits of a 16-bit grey or RGB file, in the mode in which Pillow gives the upper ones.

    Pillow reduces 16-bit colours by taking the upper byte of each value. Told that the values are in the
    other byte order, it takes the lower one instead, through the same decoder, whatever the compression.
    None where that is impossible (CMYK, premultiplied alpha, grey with alpha, compressed separate planes).
    """
    image: Any = (PngImageFile if kind == formats.PNG else TiffImageFile)(io.BytesIO(data))
    if image.mode.startswith("I;16"):
        image.load()
        return Image.fromarray((np.asarray(image) & 255).astype(np.uint8))
    separate = kind == formats.TIFF and image.tag_v2.get(ifd.PLANAR, 1) == _SEPARATE
    if image.mode not in ("RGB", "RGBA") or separate:
        return None
    tiles: list[Any] = []
    for tile in image.tile:
        rawmode = tile.args if isinstance(tile.args, str) else tile.args[0]
        name, _, order = rawmode.partition(";16")
        if name not in ("RGB", "RGBA", "RGBX") or order not in _OTHER_END:
            return None
        swapped = f"{name};16{_OTHER_END[order]}"
        tiles.append(tile._replace(args=swapped if isinstance(tile.args, str) else (swapped, *tile.args[1:])))
    image.tile = tiles
    image.load()
    return image.convert("RGB")


def all_but(key: int | tuple[int, ...], high: Image.Image, low: Image.Image) -> Image.Image | None:
    """Transparency of a picture in which one 16-bit grey or RGB value is transparent.

    Args:
        key: that value, one number or three, 0..65535.
        high: the upper bytes, mode L or RGB.
        low: the lower ones, likewise.

    Returns:
        Mode L, 0 where that value is and 255 elsewhere; None if no pixel has it.
    """
    same = combine(np.asarray(high), np.asarray(low)) == np.array(key, np.uint16)
    hidden = same if same.ndim == 2 else same.all(axis=-1)
    return Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)) if hidden.any() else None


# --- files that Pillow refuses, or reads wrongly


def is_needed(data: bytes) -> bool:
    """True for a TIFF that Pillow cannot open, or opens as garbage: separate planes of 16 bits, or with more channels
    than colours, uncompressed (grey with alpha always); grey of 32 bits without a sign, whose upper half it takes for
    negative; grey of less with a sign: where its black is, nobody can say.
    """
    if data.startswith(_BIG_ENDIAN_BIGTIFF):
        return True
    try:
        image: Any = TiffImageFile(io.BytesIO(data))
    except SyntaxError as exc:
        # The second: it has fewer letters than the file has planes.
        return "pixel mode" in str(exc) or isinstance(exc.__cause__, IndexError)
    bits, signed = bits_per_channel(image), _most(image.tag_v2.get(ifd.SAMPLE_FORMAT, (1,))) == _SIGNED
    if image.mode in ("L", "I") and signed != (bits == 32) and (signed or image.mode == "I"):
        return True
    if image.tag_v2.get(ifd.PLANAR, 1) != _SEPARATE:
        return False
    channels = _CHANNELS.get(image.tag_v2.get(ifd.PHOTOMETRIC, 0), _MANY)
    more = image.tag_v2.get(ifd.SAMPLES, 1) > channels
    return (more and channels == 1) or ((more or bits > 8) and image.tag_v2.get(ifd.COMPRESSION, 1) == 1)


def bits_per_channel(image: Any) -> int:
    """The most bits that a channel of an opened TIFF has."""
    return _most(image.tag_v2.get(ifd.BITS, (1,)))


def _most(values: Any) -> int:
    return int(np.max(values))


def is_negative(image: Any) -> bool:
    """True for an opened picture that Pillow gives as a negative: a TIFF whose 0 is white, unless in 8 bits."""
    return (
        isinstance(image, TiffImageFile)
        and image.mode in ("I;16", "F")
        and image.tag_v2.get(ifd.PHOTOMETRIC) == _WHITE_IS_ZERO
    )


def first_page(data: bytes) -> Any:
    """The first picture as tifffile has it."""
    import tifffile

    # It reports every oddity of a file through logging; what matters reaches us as an exception.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile.TiffFile(io.BytesIO(data), name="photo").pages.first


def header(data: bytes) -> HeaderFacts:
    """Facts of a TIFF for which `is_needed`."""
    page = first_page(data)
    width, height = _whole(page.imagewidth), _whole(page.imagelength)
    way_up = turn(page)
    if way_up >= 5:
        width, height = height, width
    bits = 8 if _most(page.bitspersample) <= 8 else 16
    return HeaderFacts(width, height, way_up, bits, has_alpha=alpha_kind(page) is not None)


def load(data: bytes) -> Opened:
    """Decode a TIFF for which `is_needed`. White is 1.0 for floats, or their maximum if more.

    Raises:
        PhotoError: unreadable, for colour spaces and compressions that no reader here knows.
    """
    page = first_page(data)
    meaning, samples = _whole(page.photometric), _whole(page.samplesperpixel)
    channels = _CHANNELS.get(meaning)
    if channels is None:
        what = "The colours of this TIFF are of a kind that cutoutd does not read"
        raise PhotoError(Reason.UNREADABLE, what, None, _EXPORT_RGB)
    if page.ndim not in (2, 3) or samples > 8:
        raise refusals.not_read("TIFF", f"{samples} channels", _EXPORT)
    stored = _stored(data, page)
    if (
        stored.shape[:2] != (page.imagelength, page.imagewidth)
        or not channels <= stored.shape[2] <= channels + 4
    ):
        raise refusals.not_read("TIFF", f"pixels of shape {stored.shape}", _EXPORT)
    kind = alpha_kind(page) if stored.shape[2] > channels else None
    alpha = None if kind is None else _sixteen(stored[:, :, channels])
    if meaning in _LABS:
        return _opened(page, _lab(stored[:, :, :3], meaning), alpha)
    # Apart, because floats that go beyond 1.0 lower the colours and not their alpha.
    values = _sixteen(stored[:, :, :channels])
    if alpha is not None and kind == PREMULTIPLIED:
        values = _straight(values, alpha)
    if meaning == _SEPARATED:
        inks = np.ascontiguousarray((values >> 8).astype(np.uint8))
        return _opened(page, Image.fromarray(inks, "CMYK"), alpha)
    if meaning == _WHITE_IS_ZERO:
        values = 65535 - values
    high, low = (values >> 8).astype(np.uint8), (values & 255).astype(np.uint8)
    picture, _ = split(_image(high, channels))
    return _opened(page, picture, alpha, _image(low, channels))


def _opened(
    page: Any, picture: Image.Image, alpha: NDArray[np.uint16] | None, low: Image.Image | None = None
) -> Opened:
    seen = None if alpha is None else Image.fromarray((alpha >> 8).astype(np.uint8))
    seen = None if seen is None or seen.getextrema() == (255, 255) else seen
    icc = page.iccprofile
    return Opened(picture, seen, turn(page), icc if isinstance(icc, bytes) else None, None, low)


def _stored(data: bytes, page: Any) -> NDArray[Any]:
    """The pixels as they are stored, (H, W, samples)."""
    if tiffpacked.is_packed(page):
        return tiffpacked.unpacked(data, page)
    try:
        stored: NDArray[Any] = np.asarray(page.asarray())
    except (ValueError, ImportError) as exc:
        # Zstandard comes with Python from 3.14 on; before, its absence is an import that fails.
        if isinstance(exc, ValueError) and "imagecodecs" not in str(exc):
            raise
        if tiffdeep.is_unpacked_here(page):
            return tiffdeep.unpacked(data, page)
        fix = f"{_EXPORT} Or install more decoders: {pip_install('imagecodecs')}"
        raise refusals.not_read("TIFF", "compressed, at this depth", fix) from exc
    if stored.ndim == 3 and page.planarconfig == _SEPARATE:
        stored = np.moveaxis(stored, 0, -1)
    return stored[:, :, None] if stored.ndim == 2 else stored


def _lab(stored: NDArray[Any], meaning: int) -> Image.Image:
    """CIE Lab of 8 or 16 bits with the upper byte of each value, in the form that Pillow takes."""
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise refusals.not_read("TIFF", f"Lab colours of type {stored.dtype}", _EXPORT_RGB)
    shift = 8 * (stored.dtype.itemsize - 1)
    upper = (np.ascontiguousarray(stored).view(f"u{stored.dtype.itemsize}") >> shift).astype(np.uint8)
    if meaning == _ICC_LAB:  # its a and b are not signed but shifted by half
        upper[:, :, 1:] ^= 128
    return Image.frombytes("LAB", (stored.shape[1], stored.shape[0]), upper.tobytes())


def _image(values: NDArray[np.uint8], channels: int) -> Image.Image:
    return Image.fromarray(
        np.ascontiguousarray(values[:, :, :channels] if channels == 3 else values[:, :, 0])
    )


def _straight(colours: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Colours (H, W, C) that were stored multiplied by their alpha (H, W), as they were before."""
    out = np.empty_like(colours)
    rows = max(1, _STRIP_PIXELS // colours.shape[1])
    for top in range(0, len(colours), rows):
        here = np.s_[top : top + rows]
        share = np.maximum(alpha[here], 1).astype(np.uint32)[:, :, np.newaxis]
        # 65535 · 65535 + 32767 still fits into 32 bits.
        whole = (colours[here] * np.uint32(65535) + share // 2) // share
        out[here] = np.minimum(whole, 65535)
    return out


def _sixteen(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Any integer or float pixels as uint16 over its full range."""
    if values.dtype == np.uint16:
        return values
    if values.dtype.kind == "f":
        numbers = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        white = max(float(numbers.max(initial=0.0)), 1.0)
        return (np.clip(numbers / white, 0, 1) * 65535 + 0.5).astype(np.uint16)
    if values.dtype == np.uint8:
        return values.astype(np.uint16) * 257
    if values.dtype == np.uint32:
        top = int(values.max(initial=0))
        # Programs that count in whole numbers write 8 or 16 bits in 32.
        return (values * 257 if top <= 255 else values if top <= 65535 else values >> 16).astype(np.uint16)
    raise PhotoError(Reason.UNREADABLE, f"TIFF pixels of type {values.dtype} cannot be read", None, _EXPORT)


def _whole(value: Any) -> int:
    """A tag's number; a damaged file may hold a list or a text in its place."""
    if not isinstance(value, int):
        raise OSError(f"invalid tag value {value!r:.40}")
    return int(value)


def turn(page: Any) -> int:
    """Orientation 1..8 of a picture of `first_page`."""
    tag = page.tags.get(ifd.ORIENTATION)
    value = 1 if tag is None else tag.value
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


def alpha_kind(page: Any) -> int | None:
    """ExtraSamples of the first extra channel if it is transparency."""
    extra = page.extrasamples
    return int(extra[0]) if extra and int(extra[0]) in (PREMULTIPLIED, _STRAIGHT) else None
