"""Each format's way into Pillow: header facts, pixels, orientation and profile; limits and errors are `photo`'s."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models import colour, formats

# The decoders by class: no registry, so nothing else that Pillow can read (EPS would run Ghostscript) is
# ever tried, and a JPEG with a second picture inside is still just its first.
_READERS: Final[dict[str, Callable[[io.BytesIO], Image.Image]]] = {
    formats.JPEG: JpegImageFile,
    formats.PNG: PngImageFile,
    formats.WEBP: WebPImageFile,
    formats.TIFF: TiffImageFile,
    formats.BMP: BmpImageFile,
    formats.GIF: GifImageFile,
    formats.AVIF: AvifImageFile,
}

_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Strips of about this many pixels stay in the processor's cache between crop, conversion and copy
# (24 megapixels: 30 ms; the whole picture at once takes 95 ms).
_STRIP_PIXELS: Final = 400_000


class HeaderFacts(NamedTuple):
    """Width and height upright, the orientation still to apply, bits per channel, transparency announced."""

    width: int
    height: int
    orientation: int
    bits: int
    has_alpha: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded picture before turning and colour conversion.

    image: Pillow image of mode RGB, L, CMYK or LAB, as stored. alpha: mode L, same size, or None.
    orientation: EXIF orientation 1..8 still to apply to both. rgb16: uint16 (H, W, 3), already upright.
    """

    image: Image.Image
    alpha: Image.Image | None
    orientation: int
    icc: bytes | None
    dpi: tuple[float, float] | None
    rgb16: NDArray[np.uint16] | None = None
    notes: tuple[str, ...] = ()


# --- headers


def header(data: bytes, kind: str) -> HeaderFacts:
    """Facts from the header alone; raises whatever the decoder raises."""
    if kind == formats.HEIF:
        from cutoutd.models import heif

        return heif.header(data)
    image = _READERS[kind](io.BytesIO(data))
    turn = _orientation(image, data, kind)
    width, height = image.size
    if turn >= 5 and kind != formats.TIFF:  # Pillow gives the upright size of a TIFF, and turns it itself
        width, height = height, width
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return HeaderFacts(width, height, turn, 16 if _is_deep(image, data, kind) else 8, has_alpha)


def _orientation(image: Image.Image, data: bytes, kind: str) -> int:
    if kind == formats.PNG and "exif" not in image.info:
        # Asking Pillow would decode the picture, to find an eXIf chunk that lies behind the pixels.
        for name, at, length in formats.png_chunks(data):
            if name == b"eXIf":
                image.info["exif"] = data[at : at + length]
        if "exif" not in image.info:
            return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 (damaged EXIF never costs a photo: it is shown as it was stored)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_deep(image: Image.Image, data: bytes, kind: str) -> bool:
    if kind == formats.PNG:
        return data[24:25] == b"\x10"
    if isinstance(image, TiffImageFile):
        bits = image.tag_v2.get(258, (1,))
        return max(bits if isinstance(bits, tuple) else (bits,)) >= 16
    return False


# --- pixels


def load(data: bytes, kind: str, *, want_16bit: bool = False) -> Opened:
    """Decode everything; raises whatever the decoder raises."""
    if kind == formats.HEIF:
        from cutoutd.models import heif

        return heif.load(data)
    if kind == formats.JPEG:
        _refuse_unfinished(data)
    image = _READERS[kind](io.BytesIO(data))
    icc = _profile(image, data, kind)
    note = _hdr_note(data, kind) if "icc_profile" not in image.info else ""
    image.load()
    turn = _orientation(image, data, kind)
    deep: NDArray[np.uint16] | None = None
    if want_16bit and _is_deep(image, data, kind):
        from cutoutd.models import tiff16

        deep = tiff16.low_bytes(data, kind, turn)
    picture, alpha = split(image)
    return Opened(picture, alpha, turn, icc, _dpi(image), deep, (note,))


def _refuse_unfinished(data: bytes) -> None:
    """A JPEG whose end is still empty space: a program reserved the space and has not written it all.

    The decoder would fill the rest with grey and say nothing. 64 zeros never occur in JPEG's entropy coding
    of a picture; a complete file may be padded, but then the end marker stands before the padding.
    """
    if data.endswith(bytes(64)) and data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) < 0:
        raise OSError("image file is truncated")


def split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours (mode RGB, L, CMYK or LAB) and transparency (mode L, or None if opaque everywhere)."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image)
    if image.mode in ("RGB", "L", "CMYK", "LAB") and "transparency" not in image.info:
        return image, None
    if image.mode == "1" and "transparency" not in image.info:
        return image.convert("L"), None
    if image.mode in ("RGBA", "LA"):
        full = image
    elif image.mode in ("La", "RGBa"):
        full = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    elif image.mode == "PA" or "transparency" in image.info:
        full = image.convert("RGBA")
    else:
        return image.convert("RGB"), None  # P, YCbCr, HSV
    alpha = full.getchannel("A")
    return full.convert("L" if full.mode == "LA" else "RGB"), None if alpha.getextrema() == (
        255,
        255,
    ) else alpha


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and 32-bit grey by its high byte; float grey with 1.0 as white, or its maximum if that is more."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    numbers = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(numbers.max(initial=0.0))
    if image.mode == "F":
        white = max(top, 1.0)
    else:
        white = next(full for full in (255.0, 65535.0, 2.0**31) if top <= full)
    return Image.fromarray((np.clip(numbers / white, 0, 1) * 255 + 0.5).astype(np.uint8))


# --- copying out, turned and converted strip by strip


def upright_rgb(
    image: Image.Image, orientation: int, transform: Callable[[Image.Image], Image.Image] | None
) -> NDArray[np.uint8]:
    """uint8 (H, W, 3), C-contiguous, upright, through `transform` (mode of `image` → RGB) if there is one."""
    width, height = _upright_size(image, orientation)
    out = np.empty((height, width, 3), np.uint8)
    flat = memoryview(out.reshape(-1))
    for top, bottom, strip in _strips(image, orientation):
        ready = strip if transform is None else transform(strip)
        flat[top * width * 3 : bottom * width * 3] = ready.tobytes()
    return out


def upright_grey(image: Image.Image, orientation: int) -> NDArray[np.uint8]:
    """uint8 (H, W), C-contiguous, upright, of a mode L image."""
    width, height = _upright_size(image, orientation)
    out = np.empty((height, width), np.uint8)
    flat = memoryview(out.reshape(-1))
    for top, bottom, strip in _strips(image, orientation):
        flat[top * width : bottom * width] = strip.tobytes()
    return out


def _upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if orientation >= 5 else (width, height)


def _strips(image: Image.Image, orientation: int) -> Any:
    """Rows top to bottom of the upright picture as (first row, row after the last, Pillow image)."""
    width, height = _upright_size(image, orientation)
    rows = max(1, _STRIP_PIXELS // width)
    turn = _TURNS.get(orientation)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        # Where the strip lies in the stored picture: orientations 3, 4, 7, 8 … count from the other end.
        first, last = (height - bottom, height - top) if orientation in (3, 4, 7, 8) else (top, bottom)
        box = (first, 0, last, width) if orientation >= 5 else (0, first, width, last)
        strip = image.crop(box)
        yield top, bottom, strip if turn is None else strip.transpose(turn)


# --- what else the file says


def _profile(image: Image.Image, data: bytes, kind: str) -> bytes | None:
    """The ICC profile, or one made from the other ways in which files name their colour space."""
    icc = image.info.get("icc_profile")
    if isinstance(icc, bytes) and icc:
        return icc
    if kind in (formats.AVIF, formats.PNG):
        found = _code_points(data, kind)
        return None if found is None else colour.cicp_icc(*found)
    exif = image.info.get("exif", b"")
    # Cameras set to Adobe RGB say so by an EXIF interoperability index of R03, often without a profile.
    if kind == formats.JPEG and isinstance(exif, bytes) and b"R03\0" in exif:
        try:
            return colour.adobe_rgb_icc() if image.getexif().get_ifd(0xA005).get(1) == "R03" else None
        except Exception:  # noqa: BLE001 (damaged EXIF never costs a photo: it is sRGB then)
            return None
    return None


def _code_points(data: bytes, kind: str) -> tuple[int, int] | None:
    """H.273 colour primaries and transfer characteristics of an AVIF or a PNG, or None."""
    if kind == formats.AVIF:
        at = data.find(b"colrnclx", 0, 1 << 16)
        return (
            (int.from_bytes(data[at + 8 : at + 10], "big"), int.from_bytes(data[at + 10 : at + 12], "big"))
            if at >= 0
            else None
        )
    for name, at, length in formats.png_chunks(data):
        if name == b"IDAT":
            return None
        if name == b"cICP" and length == 4:
            return data[at], data[at + 1]
    return None


def _hdr_note(data: bytes, kind: str) -> str:
    found = _code_points(data, kind) if kind in (formats.AVIF, formats.PNG) else None
    return HDR_NOTE if found is not None and colour.is_hdr(found[1]) else ""


HDR_NOTE: Final = "An HDR photo: light brighter than paper white is clipped."


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    value = image.info.get("dpi")
    try:
        x, y = (float(v) for v in value) if isinstance(value, tuple) else (0.0, 0.0)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    # Below 10 the field holds an aspect ratio or nothing; no printer or scanner reaches 20,000.
    return (x, y) if all(math.isfinite(v) and 10 <= v <= 20_000 for v in (x, y)) else None


# --- what a decoder's complaint means

_MEANINGS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"truncated|not enough|end of (file|data)|unexpected eof|eof|too short|incomplete|no data",
        "The {} file is incomplete: it ends before the picture does",
    ),
    (r"DecompressionBomb|exceeds limit", "The {} file holds more pixels than its header says"),
    (
        r"broken data|corrupt|invalid|bad |checksum|crc|error -\d|decoder error|damaged",
        "The {} file is damaged",
    ),
    (
        r"cannot identify|not identified|no marker|unknown pixel mode|not supported|unsupported|unknown",
        "The {} file is of a kind that cannot be read, or it is damaged",
    ),
)


def in_words(kind: str, exc: Exception) -> str:
    """A sentence for a decoder's exception, its own words in brackets; no final full stop."""
    said = " ".join(str(exc).split())[:200]
    name = f"{type(exc).__name__} {said}"
    for pattern, sentence in _MEANINGS:
        if re.search(pattern, name, re.IGNORECASE):
            return sentence.format(kind) + (f" ({said})" if said else "")
    return f"The {kind} file is damaged" + (f" ({said or type(exc).__name__})")


def needs_heif() -> PhotoError:
    """HEIC without its decoder."""
    return PhotoError(
        Reason.NEEDS_DECODER,
        "The decoder for HEIC photos is missing",
        None,
        "Install it: pip install pi-heif",
    )
