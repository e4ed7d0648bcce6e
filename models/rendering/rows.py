"""Rows of pixels as encoders want them: interleaved, erased where nothing shows; knows no file format."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting.canvas import one_number_each

Samples = NDArray[np.uint8] | NDArray[np.uint16]

_LEAST_SEEN: Final = np.uint32(1 << 24)


def channels(colour: Samples, alpha: Samples | None) -> int:
    """Samples per pixel: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
    return (1 if colour.ndim == 2 else colour.shape[2]) + (alpha is not None)


def interleave(colour: Samples, alpha: Samples | None, out: NDArray[Any]) -> None:
    """Write colour and alpha side by side into `out`, with every sample 0 wherever alpha is 0.

    Erasing here, in the last step before any encoder, is what makes "no background under alpha 0" true
    whatever the steps before did.

    Args:
        colour: (h, w, 3) or (h, w), uint8 or uint16.
        alpha: (h, w) of the same dtype, or None.
        out: C-contiguous (h, w, channels), of the same size and kind (byte order may differ).
    """
    if alpha is not None and out.dtype == np.uint8 and colour.ndim == 3:
        rgb: NDArray[Any] = colour
        number_each(out)[:] = one_number_each(rgb, 0, rgb.shape[0])
        out[..., 3] = alpha
        erase_hidden(out)
        return
    planes = [colour] if colour.ndim == 2 else [colour[..., k] for k in range(colour.shape[2])]
    for k, plane in enumerate(planes if alpha is None else [*planes, alpha]):
        out[..., k] = plane
    if alpha is None:
        return
    # One multiplication per pixel instead of one per sample: a pixel seen as a single unsigned number.
    pixel = np.dtype(f"u{out.dtype.itemsize * out.shape[2]}")
    whole = out.view(pixel)[..., 0]
    np.multiply(whole, alpha != 0, out=whole)


def number_each(rgba: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """RGBA uint8 (h, w, 4), C-contiguous, seen as one number per pixel: alpha is its uppermost byte."""
    return rgba.view("<u4")[..., 0]


def erase_hidden(rgba: NDArray[np.uint8]) -> bool:
    """Makes every byte 0 wherever alpha is 0, in RGBA uint8 (h, w, 4), C-contiguous; whether anything is left."""
    whole = number_each(rgba)
    seen = whole >= _LEAST_SEEN
    if seen.all():  # the inside of a subject: nothing to write
        return True
    np.multiply(whole, seen, out=whole)
    return bool(seen.any())


def rgba_image_array(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole picture interleaved, uint8 (h, w, 4), made in strips that stay in the processor's cache."""
    height, width = alpha.shape
    out = np.empty((height, width, 4), np.uint8)
    for top, bottom in strips(height, width * 4):
        interleave(colour[top:bottom], alpha[top:bottom], out[top:bottom])
    return out


# A strip's source, interleaved and filtered rows together stay within a common 2 to 4 MiB of cache.
STRIP_BYTES = 1 << 20


def strips(height: int, row_bytes: int) -> list[tuple[int, int]]:
    """Row ranges (top, bottom) of about STRIP_BYTES each, covering the picture in order."""
    rows = max(1, STRIP_BYTES // max(1, row_bytes))
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]
