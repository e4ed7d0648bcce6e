"""The formats that Pillow reads: header facts, pixels, profile. Limits, turning and errors are `photo`'s."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any, Final

from PIL import Image, ImageChops, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import formats, tiff16
from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding.pixels import HDR_NOTE, HeaderFacts, Opened, split

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

# What a Pillow that some distribution built may lack; its own wheels have both.
_OPTIONAL: Final = {formats.AVIF: "avif", formats.WEBP: "webp"}

_ORIENTATION: Final = 0x0112


def header(data: bytes, kind: str) -> HeaderFacts:
    """Facts from the header alone; raises whatever the decoder raises, or PhotoError needs-decoder."""
    if kind in _OPTIONAL and not features.check(_OPTIONAL[kind]):
        raise PhotoError(
            Reason.NEEDS_DECODER,
            f"The installed Pillow was built without {kind}",
            None,
            "Install its wheel: pip install --force-reinstall --only-binary :all: pillow",
        )
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


def _is_deep(image: Any, data: bytes, kind: str) -> bool:
    if kind == formats.PNG:
        return data[24:25] == b"\x10"
    return isinstance(image, TiffImageFile) and tiff16.bits_per_channel(image) > 8


# --- pixels


def load(data: bytes, kind: str, *, want_16bit: bool = False) -> Opened:
    """Decode everything; raises whatever the decoder raises."""
    if kind == formats.JPEG:
        _refuse_unfinished(data)
    image = _READERS[kind](io.BytesIO(data))
    icc = _profile(image, data, kind)
    note = _hdr_note(data, kind) if "icc_profile" not in image.info else ""
    image.load()
    turn = _orientation(image, data, kind)
    low: Image.Image | None = None
    deep = _is_deep(image, data, kind)
    # Pillow compares a 16-bit PNG's one transparent colour with the wrong bytes, or not at all.
    key = image.info.pop("transparency", None) if deep and kind == formats.PNG else None
    if deep and (want_16bit or key is not None):
        low = tiff16.low_bytes(data, kind)
    picture, alpha = split(image)
    if key is not None and low is not None:
        alpha = tiff16.all_but(key, picture, low)
    if tiff16.is_negative(image):
        picture = ImageChops.invert(picture)
        low = None if low is None else ImageChops.invert(low)  # 65535 - x is 255 - x in either byte
    return Opened(picture, alpha, turn, icc, _dpi(image), low, (note,))


def _refuse_unfinished(data: bytes) -> None:
    """A JPEG whose end is still empty space: a program reserved the space and has not written it all.

    The decoder would fill the rest with grey and say nothing. 64 zeros never occur in JPEG's entropy coding
    of a picture; a complete file may be padded, but then the end marker stands before the padding.
    """
    if data.endswith(bytes(64)) and data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) < 0:
        raise OSError("image file is truncated")


# --- what else the file says


def _profile(image: Image.Image, data: bytes, kind: str) -> bytes | None:
    """The ICC profile, or one made from the other ways in which files name their colour space."""
    icc = image.info.get("icc_profile")
    if isinstance(icc, bytes) and icc:
        return icc
    if kind in (formats.AVIF, formats.PNG):
        found = _code_points(data, kind)
        return None if found is None else profiles.cicp_icc(*found)
    exif = image.info.get("exif", b"")
    # Cameras set to Adobe RGB say so by an EXIF interoperability index of R03, often without a profile.
    if kind == formats.JPEG and isinstance(exif, bytes) and b"R03\0" in exif:
        try:
            return profiles.adobe_rgb_icc() if image.getexif().get_ifd(0xA005).get(1) == "R03" else None
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
    return HDR_NOTE if found is not None and profiles.is_hdr(found[1]) else ""


def _dpi(image: Any) -> tuple[float, float] | None:
    value: Any = image.info.get("dpi", (0, 0))
    try:
        x, y = float(value[0]), float(value[1])
    except (TypeError, ValueError, LookupError, ArithmeticError):
        return None
    # Below 10 the field holds an aspect ratio or nothing; no printer or scanner reaches 20,000.
    return (x, y) if all(math.isfinite(v) and 10 <= v <= 20_000 for v in (x, y)) else None
