"""Decoded pixels: what every decoder hands over, and how that becomes upright arrays strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

HDR_NOTE: Final = "An HDR photo: light brighter than paper white is clipped."

# How a stored picture gets upright, by its EXIF orientation.
TURNS: Final = {
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


class Opened(Struct, frozen=True):
    """A decoded picture before turning and colour conversion.

    image: Pillow image of mode RGB, L, CMYK or LAB, as stored; or uint8 (H, W, 3), C-contiguous RGB, which
    `upright_rgb` hands on without a copy where nothing is to be turned or converted. alpha: mode L, same size, or None.
    low: the lower eight bits of 16-bit values, same mode and size as image (RGB or L), or None.
    orientation: EXIF orientation 1..8 still to apply to all three. notes: sentences, possibly empty ones.
    """

    image: Image.Image | NDArray[np.uint8]
    alpha: Image.Image | None
    orientation: int
    icc: bytes | None
    dpi: tuple[float, float] | None
    low: Image.Image | None = None
    notes: tuple[str, ...] = ()

    @property
    def mode(self) -> str:
        """Pillow's name for the kind of pixels."""
        return self.image.mode if isinstance(self.image, Image.Image) else "RGB"


def plausible_dpi(x: float, y: float) -> tuple[float, float] | None:
    """Pixels per inch as they were found, or None where they cannot be that."""
    # Below 10 the field holds an aspect ratio or nothing; no printer or scanner reaches 20,000.
    return (x, y) if all(math.isfinite(v) and 10 <= v <= 20_000 for v in (x, y)) else None


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
    """16-bit and 32-bit grey by its high byte; float grey with white at 1.0, or its maximum if more."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    numbers = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(numbers.max(initial=0.0))
    # Whole numbers: the smallest usual range that holds them. Floats: 1.0, unless they go beyond it.
    fulls = (max(top, 1.0),) if image.mode == "F" else (255.0, 65535.0, 2.0**31)
    white = next(full for full in fulls if top <= full)
    return Image.fromarray((np.clip(numbers / white, 0, 1) * 255 + 0.5).astype(np.uint8))


def combine(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """uint16 (H, W, 3) or (H, W) from its upper and lower bytes."""
    whole = high.astype(np.uint16)
    whole <<= 8
    whole |= low
    return whole


# --- copying out, turned and converted strip by strip


def upright_rgb(
    image: Image.Image | NDArray[np.uint8],
    orientation: int,
    transform: Callable[[Image.Image], Image.Image] | None,
) -> NDArray[np.uint8]:
    """uint8 (H, W, 3), C-contiguous, upright, through `transform` (mode of `image` → RGB) if there is one."""
    if not isinstance(image, Image.Image) and orientation == 1 and transform is None:
        return image
    width, height = _upright_size(image, orientation)
    out = np.empty((height, width, 3), np.uint8)
    flat: Any = memoryview(cast("Any", out.reshape(-1)))
    for top, bottom, strip in _strips(image, orientation):
        ready = strip.convert("RGB") if transform is None else transform(strip)
        flat[top * width * 3 : bottom * width * 3] = ready.tobytes()
    return out


def converted(rgb: NDArray[np.uint8], transform: Callable[[Image.Image], Image.Image]) -> NDArray[np.uint8]:
    """uint8 (h, w, 3) through `transform` (RGB → RGB), C-contiguous; in strips, as Pillow holds 4 bytes a pixel."""
    out = np.empty(rgb.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // rgb.shape[1])
    for top in range(0, rgb.shape[0], rows):
        out[top : top + rows] = np.asarray(transform(Image.fromarray(rgb[top : top + rows])))
    return out


def upright_grey(image: Image.Image, orientation: int) -> NDArray[np.uint8]:
    """uint8 (H, W), C-contiguous, upright, of a mode L image."""
    width, height = _upright_size(image, orientation)
    out = np.empty((height, width), np.uint8)
    flat: Any = memoryview(cast("Any", out.reshape(-1)))
    for top, bottom, strip in _strips(image, orientation):
        flat[top * width : bottom * width] = strip.tobytes()
    return out


def _size(image: Image.Image | NDArray[np.uint8]) -> tuple[int, int]:
    return image.size if isinstance(image, Image.Image) else (image.shape[1], image.shape[0])


def _upright_size(image: Image.Image | NDArray[np.uint8], orientation: int) -> tuple[int, int]:
    width, height = _size(image)
    return (height, width) if orientation >= 5 else (width, height)


def _strips(
    image: Image.Image | NDArray[np.uint8], orientation: int
) -> Iterator[tuple[int, int, Image.Image]]:
    """Rows top to bottom of the upright picture as (first row, row after the last, Pillow image)."""
    width, height = _upright_size(image, orientation)
    rows = max(1, _STRIP_PIXELS // width)
    turn = TURNS.get(orientation)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        # Where the strip lies in the stored picture: orientations 3, 4, 7, 8 … count from the other end.
        first, last = (height - bottom, height - top) if orientation in (3, 4, 7, 8) else (top, bottom)
        box = (first, 0, last, width) if orientation >= 5 else (0, first, width, last)
        strip = image.crop(box) if isinstance(image, Image.Image) else _crop(image, box)
        yield top, bottom, strip if turn is None else strip.transpose(turn)


def _crop(pixels: NDArray[np.uint8], box: tuple[int, int, int, int]) -> Image.Image:
    left, top, right, bottom = box
    return Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
