"""Where full-size tiles are written: alpha and colour apart, or RGBA as an encoder wants it; works nothing out.

RGBA is composed with one number per pixel: three passes over single bytes would cost twice the time.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

Window = tuple[slice, slice]

_OPAQUE: Final = np.uint32(255 << 24)
_ONE_PIXEL: Final = np.dtype("<u4")


def one_number_each(rgb: NDArray[np.uint8], top: int, bottom: int) -> NDArray[np.uint32]:
    """Rows top..bottom of RGB as one number per pixel, uint32 (bottom - top, W).

    The numbers overlap: the lower three bytes are red, green and blue, the uppermost is the next pixel's and of no
    meaning. Nothing is copied but the last rows, behind which no byte is left to read.

    Args:
        rgb: uint8 (H, W, 3).
        top: the first row.
        bottom: the row after the last.
    """
    width = rgb.shape[1]
    if bottom < rgb.shape[0] and rgb.flags.c_contiguous:
        flat = rgb[top : bottom + 1].reshape(-1)
    else:
        flat = np.append(rgb[top:bottom], np.uint8(0))
    source: Any = flat
    return np.ndarray((bottom - top, width), _ONE_PIXEL, buffer=source, strides=(width * 3, 3))


class Canvas(Protocol):
    """A band of rows that is nowhere painted yet, all zero."""

    def opaque(self, window: Window) -> None:
        """A part that is the photo's own."""
        ...

    def mixed(self, window: Window, alpha: NDArray[np.uint8], own: NDArray[np.bool_]) -> None:
        """A part with alpha uint8 (h, w), in the photo's colour where `own`, so far black elsewhere."""
        ...

    def colour(self, window: Window, colour: NDArray[np.uint8]) -> None:
        """Colour uint8 (3, h, w) for pixels that are black so far; 0 wherever they are not."""
        ...


class Planes:
    """Alpha and colour apart.

    Args:
        photo: uint8 (h, W, 3), the same rows of the photo.
        alpha: uint8 (h, W), zero.
        colour: uint8 (h, W, 3), zero.
    """

    def __init__(self, photo: NDArray[np.uint8], alpha: NDArray[np.uint8], colour: NDArray[np.uint8]) -> None:
        self._photo, self._alpha, self._colour = photo, alpha, colour

    def opaque(self, window: Window) -> None:
        """As `Canvas`."""
        self._alpha[window] = 255
        self._colour[window] = self._photo[window]

    def mixed(self, window: Window, alpha: NDArray[np.uint8], own: NDArray[np.bool_]) -> None:
        """As `Canvas`."""
        self._alpha[window] = alpha
        # Masks of bits: selecting by truth values takes ten times as long.
        mask, photo, target = np.negative(own.view(np.uint8)), self._photo[window], self._colour[window]
        for channel in range(3):
            np.bitwise_and(photo[:, :, channel], mask, out=target[:, :, channel])

    def colour(self, window: Window, colour: NDArray[np.uint8]) -> None:
        """As `Canvas`."""
        target = self._colour[window]
        for channel in range(3):
            target[:, :, channel] |= colour[channel]


class Pixels:
    """RGBA.

    Args:
        photo: uint8 (H, W, 3), the whole photo.
        top: its first row that is painted.
        bottom: the row after the last.

    Attributes:
        rgba: uint8 (bottom - top, W, 4).
        alpha_sum: of all its pixels.
    """

    def __init__(self, photo: NDArray[np.uint8], top: int, bottom: int) -> None:
        self.rgba = np.zeros((bottom - top, photo.shape[1], 4), np.uint8)
        self.alpha_sum = 0
        self._whole: NDArray[np.uint32] = self.rgba.view(_ONE_PIXEL)[:, :, 0]
        self._photo = one_number_each(photo, top, bottom)

    def opaque(self, window: Window) -> None:
        """As `Canvas`."""
        target = self._whole[window]
        np.bitwise_or(self._photo[window], _OPAQUE, out=target)
        self.alpha_sum += 255 * target.size

    def mixed(self, window: Window, alpha: NDArray[np.uint8], own: NDArray[np.bool_]) -> None:
        """As `Canvas`."""
        np.copyto(self._whole[window], self._photo[window], where=own)
        self.rgba[:, :, 3][window] = alpha
        self.alpha_sum += int(alpha.sum(dtype=np.uint32))

    def colour(self, window: Window, colour: NDArray[np.uint8]) -> None:
        """As `Canvas`."""
        red, green, blue = colour
        packed = blue.astype(np.uint32)
        for lower in (green, red):
            packed <<= np.uint32(8)
            packed |= lower
        self._whole[window] |= packed
