"""A photo as a network is shown it: at the network's own size, as normalised planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.decoding.colour import Convert
from cutoutd.models.matting.canvas import one_number_each
from cutoutd.models.networks.catalog import ModelSpec

# Rows and columns are dropped until this many remain per input pixel; then Pillow averages those properly.
# With 4 a 24-megapixel photo costs 20 ms, not 160, and differs from a full average by 2 of 255 on noise.
SAMPLES_PER_PIXEL = 4
# A photo's reduced copy is shown in its place where it has so many samples per input pixel: it is an average already,
# of all pixels, and small.
ENOUGH_SAMPLES = 1.25


def enough(pictures: Sequence[NDArray[np.uint8]], side: int) -> NDArray[np.uint8]:
    """The first picture that has samples enough for an input of that side, else the last."""
    enough = (one for one in pictures if min(one.shape[:2]) >= ENOUGH_SAMPLES * side)
    return next(enough, pictures[-1])


def fit_to_input(
    rgb: NDArray[np.uint8], spec: ModelSpec, to_srgb: Convert | None = None
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The photo at the network's size, in sRGB if `to_srgb` leads there from its own space.

    Returns:
        uint8 (s, s, 3), and (height, width) of the part that is photo, from the top left; all when squashed.
    """
    side = spec.input_size
    height, width = rgb.shape[:2]
    if spec.fit == "squash":
        return shrink(rgb, side, side, spec, to_srgb), (side, side)
    scale = side / max(height, width)
    inner_h, inner_w = max(1, round(height * scale)), max(1, round(width * scale))
    fill = np.array([round(mean * 255) for mean in spec.mean], dtype=np.uint8)
    canvas = np.empty((side, side, 3), dtype=np.uint8)
    canvas[:] = fill  # becomes zero after the mean is taken off: nothing to see there
    canvas[:inner_h, :inner_w] = shrink(rgb, inner_h, inner_w, spec, to_srgb)
    return canvas, (inner_h, inner_w)


def shrink(
    rgb: NDArray[np.uint8], height: int, width: int, spec: ModelSpec, to_srgb: Convert | None = None
) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) brought to (height, width, 3), enlarged if need be; in sRGB before anything is averaged."""
    if spec.resample == "lanczos":
        rgb = rgb if to_srgb is None else to_srgb(rgb)
        return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))
    step_y = max(1, rgb.shape[0] // (height * SAMPLES_PER_PIXEL))
    step_x = max(1, rgb.shape[1] // (width * SAMPLES_PER_PIXEL))
    thin = _picked(rgb, slice(step_y // 2, None, step_y), slice(step_x // 2, None, step_x))
    # The last sample may stand for less than a whole step; the box keeps the picture from growing by as much.
    box = (0, 0, min(rgb.shape[1] / step_x, thin.shape[1]), min(rgb.shape[0] / step_y, thin.shape[0]))
    if to_srgb is None:
        image = Image.frombytes("RGB", thin.shape[::-1], thin, "raw", "RGBX")
    else:
        image = Image.fromarray(
            to_srgb(np.ascontiguousarray(thin.view(np.uint8).reshape(*thin.shape, 4)[..., :3]))
        )
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))


def _picked(rgb: NDArray[np.uint8], rows: slice, columns: slice) -> NDArray[np.uint32]:
    """Some rows and columns of uint8 (H, W, 3), one number a pixel, as in `one_number_each`.

    Pixels as wholes of three bytes take three times as long, and channel by channel twice that.
    """
    if rgb.strides[1:] != (3, 1) or rgb.strides[0] < 3 * rgb.shape[1]:
        rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    overlapping: NDArray[np.uint8] = as_strided(rgb, (height, width, 4), rgb.strides, writeable=False)
    numbers = overlapping[rows, columns].view("<u4")[..., 0]
    picked = np.empty(numbers.shape, "<u4")
    picked[:-1] = numbers[:-1]
    # Behind the last row no byte may be left to read.
    last = range(height)[rows][-1]
    picked[-1:] = one_number_each(rgb[last : last + 1], 0, 1)[:, columns]
    return picked


def to_planes(resized: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.float32]:
    """uint8 (s, s, 3) → float32 (3, s, s), normalised as the network was trained.

    A table per channel: 256 values, computed in double precision and rounded once.
    """
    brightest = 255.0 if spec.normalise == "255" else max(float(resized.max()), 1e-6)
    values = np.arange(256, dtype=np.float64) / brightest
    planes = np.empty((3, *resized.shape[:2]), dtype=np.float32)
    for channel, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
        table = ((values - mean) / std).astype(np.float32)
        np.take(table, resized[..., channel], out=planes[channel])
    return planes
