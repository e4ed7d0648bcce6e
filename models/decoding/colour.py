"""From the colour space a photo is in to the one asked for: which conversion, and which profile to embed.

Not for profiles as bytes (`icc`), the pixels' layout (`opening`) or what is written into files
(`daemon.render`). Conversions run in LittleCMS through Pillow, relative colorimetric with black point
compensation, which is what photo editors do by default.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image, ImageCms

from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding import pixels

Colour = Literal["srgb", "keep-profile", "display-p3"]
Transform = Callable[[Image.Image], Image.Image]
Convert = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

_FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION
_INTENT: Final = ImageCms.Intent.RELATIVE_COLORIMETRIC

# Which pixels a profile of that colour space can describe. Grey pixels under an RGB profile are seen in the
# wild: they are the neutral colours of that space.
_DESCRIBES: Final = {b"RGB ": ("RGB", "L"), b"GRAY": ("L",), b"CMYK": ("CMYK",)}


class Plan(Struct, frozen=True):
    """How the pixels of one photo reach the wanted space.

    transform: takes a Pillow image of the mode planned for, gives one of mode RGB; None: nothing to do.
    icc: the profile to embed in the cutout, or None for sRGB, which needs none.
    note: what was ignored or could not be done, as a sentence; empty if all is as asked.
    """

    transform: Transform | None
    icc: bytes | None
    note: str = ""

    @property
    def keeps_numbers(self) -> bool:
        """True if RGB or grey pixels come out with the very numbers they had, grey in three equal channels."""
        return self.transform is None or self.transform is _plain


def plan(icc: bytes | None, mode: str, colour: Colour) -> Plan:
    """Decide what to do with a photo of Pillow mode `mode` ("RGB", "L", "CMYK", "LAB") that carries `icc`.

    A broken or unfitting profile never fails a photo: it is ignored, and the note says so.
    """
    target, embed = (profiles.srgb_icc(), None)
    if colour == "display-p3":
        target = embed = profiles.display_p3_icc()
    if mode == "LAB":
        return Plan(_converter(None, "LAB", target), embed)
    if icc is None or (mode != "CMYK" and profiles.looks_like_srgb(icc)):
        return Plan(_from_srgb(mode, target, embed), embed)
    header = profiles.header_of(icc)
    if header is None or mode not in _DESCRIBES.get(header.space, ()):
        note = "The colour profile is damaged or of another kind: it was ignored."
        return Plan(_from_srgb(mode, target, embed), embed, note)
    if colour == "keep-profile" and mode == "RGB":
        kept = profiles.rebuild(icc)
        if kept is not None and is_usable(kept):
            return Plan(None, kept)
    convert = _converter(icc, mode, target)
    if convert is None:
        note = "The colour profile is damaged: it was ignored."
        return Plan(_from_srgb(mode, target, embed), embed, note)
    note = "Only profiles for RGB can be kept: converted to sRGB." if colour == "keep-profile" else ""
    return Plan(convert, embed, note)


def to_srgb(icc: bytes | None) -> Convert | None:
    """How pixels of a photo that `plan` gave this profile reach sRGB: uint8 (h, w, 3) in and out.

    None for sRGB itself; ValueError for a profile that `plan` gives to no photo. Pixel by pixel the numbers are those
    of the same photo planned for "srgb"; from Display P3, which lies between, they may differ by the rounding.
    """
    if icc is None:
        return None
    transform = _converter(icc, "RGB", profiles.srgb_icc())
    if transform is None:
        raise ValueError("no profile that `plan` gives to a photo")
    return partial(pixels.converted, transform=transform)


def is_usable(icc: bytes) -> bool:
    """True if LittleCMS can convert RGB pixels from this profile."""
    return _converter(icc, "RGB", profiles.srgb_icc()) is not None


def _from_srgb(mode: str, target: bytes, embed: bytes | None) -> Transform | None:
    """The way of untagged pixels, which are sRGB by convention; CMYK first goes Pillow's plain way."""
    convert = None if embed is None else _converter(profiles.srgb_icc(), "RGB", target)
    if convert is None:
        return None if mode == "RGB" else _plain
    return lambda image: convert(_plain(image))


def _plain(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


# A shoot carries the same profile in every frame, and a CMYK table takes 0.1 s to prepare.
@lru_cache(maxsize=8)
def _converter(icc: bytes | None, mode: str, target: bytes) -> Transform | None:
    """From a profile (None: CIE Lab) to `target`; None if LittleCMS refuses the profile."""
    header = None if icc is None else profiles.header_of(icc)
    if mode == "L" and header is not None and header.space == b"RGB ":
        colour = _converter(icc, "RGB", target)
        return None if colour is None else lambda image: colour(_plain(image))
    try:
        module: Any = ImageCms  # createProfile is untyped
        source = module.createProfile("LAB") if icc is None else _profile(icc)
        flags = _FLAGS | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else 0)
        steps: Any = ImageCms.buildTransform(source, _profile(target), mode, "RGB", _INTENT, flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    convert: Transform = steps.apply
    return _by_table(convert) if mode == "L" else convert


def _by_table(convert: Transform) -> Transform:
    """Grey has 256 values: converting those exactly once is better and fifteen times faster."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    # Green carries most of the light; taking it for all three keeps greys free of rounding tints.
    table = list(convert(ramp).getchannel("G").tobytes())
    return lambda image: _plain(image.point(table))


def _profile(icc: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(icc))
