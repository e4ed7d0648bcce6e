"""Straight-alpha pixels at another size, colour weighted by alpha while it is filtered; knows no canvas and no order.

A few rows at a time, as products of small matrices: whole planes of floats would leave the cache between two steps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting.parallel import side_by_side
from cutoutd.models.matting.resample import CUBIC_A, Run
from cutoutd.models.planes import Plane
from cutoutd.models.rendering.rows import Samples

# Bicubic, not Lanczos: it has no second ripple, so a hard edge leaves no faint ring of alpha outside the
# subject and a white background stays 255.
_SUPPORT: Final = 2.0
# Rows and columns of the result that are worked out at once, where nothing is reduced; fewer where each reads more.
_ROWS, _COLUMNS, _LEAST = 32, 64, 8
# Weights kept for the next photo, which mostly has the same size: two sizes of two deliverables.
_CACHED: Final = 8
# Below a quarter of a level alpha rounds to 0, and the pixel is erased.
_FAINTEST: Final = np.float32(0.25)

Span = tuple[float, float]


def rescaled(
    colour: Samples,
    alpha: NDArray[np.uint8],
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    threads: int = 1,
) -> tuple[Samples, NDArray[np.uint8]]:
    """The part `box` of a picture at another size.

    In floating point: in 8 bits the filter's overshoot at an edge would be cut off in alpha but not in colour, and low
    alphas would lose their colour to rounding.

    Args:
        colour: (H, W, 3), uint8 or uint16; what it is where alpha is 0 does not count.
        alpha: uint8 (H, W).
        size: width and height of the result.
        box: left, top, right and bottom in pixels and their fractions, within the picture.
        threads: how many may work on rows; the result is the same for any number.

    Returns:
        Colour (h, w, 3) of the given dtype, 0 where nothing is near, and alpha uint8 (h, w).
    """
    down = _runs(size[1], (box[1], box[3]), alpha.shape[0], _ROWS)
    across = _runs(size[0], (box[0], box[2]), alpha.shape[1], _COLUMNS)
    out_alpha = np.zeros((size[1], size[0]), np.uint8)
    out_colour: Any = np.zeros((size[1], size[0], 3), colour.dtype)

    def fill(run: Run) -> None:
        _fill(out_colour[run.rows], out_alpha[run.rows], colour[run.inputs], alpha[run.inputs], run, across)

    side_by_side(fill, down, threads)
    return out_colour, out_alpha


def _fill(
    out_colour: Any, out_alpha: NDArray[np.uint8], colour: Any, alpha: Any, run: Run, across: tuple[Run, ...]
) -> None:
    """Some rows of the result from the rows that they read."""
    used = np.flatnonzero(np.maximum.reduce(alpha, axis=0))
    if not used.size:
        return
    first, last = int(used[0]), int(used[-1]) + 1
    planes = np.empty((4, alpha.shape[0], last - first), np.float32)
    planes[3] = alpha[:, first:last]
    for channel in range(3):
        np.multiply(colour[:, first:last, channel], planes[3], out=planes[channel])
    lowered = np.matmul(run.weights, planes).reshape(4 * len(run.weights), -1)
    seen = [step for step in across if step.inputs.start < last and step.inputs.stop > first]
    narrow = np.empty((len(lowered), seen[-1].rows.stop - seen[0].rows.start), np.float32)
    for step in seen:
        start, stop = max(first, step.inputs.start), min(last, step.inputs.stop)
        here = slice(step.rows.start - seen[0].rows.start, step.rows.stop - seen[0].rows.start)
        weights = step.weights[:, start - step.inputs.start : stop - step.inputs.start]
        narrow[:, here] = lowered[:, start - first : stop - first] @ weights.T
    columns = slice(seen[0].rows.start, seen[-1].rows.stop)
    *shades, weight = narrow.reshape(4, len(run.weights), -1)
    share = np.reciprocal(np.maximum(weight, _FAINTEST))
    for channel, shade in enumerate(shades):
        out_colour[:, columns, channel] = _rounded(shade * share, out_colour.dtype)
    out_alpha[:, columns] = _rounded(weight, out_alpha.dtype)


def _rounded(values: Plane, kind: Any) -> NDArray[Any]:
    """Whole numbers of a kind, cut to its range; overwrites the values."""
    values += np.float32(0.5)
    return np.clip(values, 0, np.float32(np.iinfo(kind).max), out=values).astype(kind)


@lru_cache(maxsize=_CACHED)
def _runs(length: int, span: Span, limit: int, at_once: int) -> tuple[Run, ...]:
    """One axis of the result: `length` pixels from a span of `limit` ones.

    Each pixel is a mean around its place, weighted by a cubic that is as wide as the reduction.
    """
    scale = (span[1] - span[0]) / length
    wide = max(1.0, scale)
    centres = span[0] + (np.arange(length) + 0.5) * scale
    firsts = np.maximum(0, np.floor(centres - _SUPPORT * wide + 0.5).astype(np.int64))
    ends = np.minimum(limit, np.floor(centres + _SUPPORT * wide + 0.5).astype(np.int64))
    at_once = max(_LEAST, int(at_once / wide))
    found: list[Run] = []
    for start in range(0, length, at_once):
        rows = slice(start, min(start + at_once, length))
        inputs = slice(int(firsts[rows][0]), int(ends[rows][-1]))
        taps = np.arange(inputs.start, inputs.stop)
        inside = (taps >= firsts[rows, None]) & (taps < ends[rows, None])
        weights = np.where(inside, _cubic((taps + 0.5 - centres[rows, None]) / wide), 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
        found.append(Run(rows, inputs, weights.astype(np.float32)))
    return tuple(found)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight of a sample at a distance, in samples of the coarser picture."""
    x, a = np.abs(distance), CUBIC_A
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < _SUPPORT, far, 0.0))
