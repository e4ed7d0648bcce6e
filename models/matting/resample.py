"""Small separable resampling: interpolation matrices, tile grids, windows; not for decoding or encoding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.matting.parallel import side_by_side
from cutoutd.models.planes import Plane

_Level = TypeVar("_Level", np.bool_, np.uint8)

# Catmull-Rom: interpolating (a constant stays that constant) and the sharpest of the usual cubics.
CUBIC_A = -0.5
# Bytes that several passes find in the cache again: a fifth of it takes half as long again, four times as much twice.
IN_CACHE = 1_000_000
RUN_ROWS = 64  # rows that are interpolated at once: 32 were as quick on tiles of 256, 128 slower
# Axes of photos whose weights are kept for the next photo, which mostly has the same size: six for each of two sizes
# that take turns, of 24 megapixels 1 MB each.
CACHED_AXES = 12
STRIP_ROWS = 96  # of 6,000 RGB pixels: they and their sums stay within a second-level cache
# Blocks up to this side have sums of 8-bit samples that 16 bits hold.
NARROW_SUMS = 16


class Run(NamedTuple):
    """A few neighbouring rows of a span, with the inputs that they read and their weights."""

    rows: slice
    inputs: slice
    weights: Plane


@dataclass(frozen=True)
class Span:
    """Rows or columns of one tile: full-size range, the grid range that feeds it, and its weights.

    weights: float32 (stop - start, grid_stop - grid_start); every row sums to 1.
    firsts, ends: per row of the weights, the range outside of which they are zero; both only ever grow.
    """

    start: int
    stop: int
    grid_start: int
    grid_stop: int
    weights: Plane
    firsts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def part(self, inner: slice) -> Span:
        """A run of these rows or columns, counted from the span's first; it reads no more of the grid."""
        first, end = int(self.firsts[inner.start]), int(self.ends[inner.stop - 1])
        return Span(
            self.start + inner.start,
            self.start + inner.stop,
            self.grid_start + first,
            self.grid_start + end,
            self.weights[inner, first:end],
            self.firsts[inner] - first,
            self.ends[inner] - first,
        )

    def runs(self) -> Iterator[Run]:
        """The rows in runs that read little of the grid each: most weights of a tile are zero."""
        for start in range(0, len(self.weights), RUN_ROWS):
            stop = min(start + RUN_ROWS, len(self.weights))
            inputs = slice(self.firsts[start], self.ends[stop - 1])
            yield Run(slice(start, stop), inputs, self.weights[start:stop, inputs])


def cubic_weights(positions: NDArray[np.float64], length: int) -> tuple[NDArray[np.int64], Plane]:
    """The four taps of a Catmull-Rom interpolation, clamped at the borders.

    Args:
        positions: where to sample, in units of input samples (0 is the centre of the first).
        length: how many input samples there are.

    Returns:
        Tap indices int64 (n, 4) inside 0..length-1, and weights float32 (n, 4) that sum to 1.
    """
    base = np.floor(positions)
    t = (positions - base)[:, None]
    distance = np.abs(t - np.array([-1.0, 0.0, 1.0, 2.0]))
    a = CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    taps = base.astype(np.int64)[:, None] + np.arange(-1, 3)
    return np.clip(taps, 0, length - 1), weights.astype(np.float32)


def tap_matrix(taps: NDArray[np.int64], weights: Plane) -> tuple[int, int, Plane]:
    """Taps int64 (n, 4) and their weights as a dense matrix over just the input range that they read.

    Returns:
        (first input index, one past the last, weights float32 (n, last - first)).
    """
    first, last = int(taps.min()), int(taps.max()) + 1
    matrix = np.zeros((len(taps), last - first), np.float32)
    rows = np.arange(len(taps))
    for k in range(taps.shape[1]):
        matrix[rows, taps[:, k] - first] += weights[:, k]  # a row is met once per tap
    return first, last, matrix


def span(start: int, stop: int, grid: int, step: int) -> Span:
    """Pixels start..stop of one axis, each interpolated from a grid of pitch `step`."""
    taps, weights = cubic_weights((np.arange(start, stop) + 0.5) / step - 0.5, grid)
    first, last, matrix = tap_matrix(taps, weights)
    return Span(start, stop, first, last, matrix, taps.min(1) - first, taps.max(1) + 1 - first)


@lru_cache(maxsize=CACHED_AXES)
def tiles(length: int, grid: int, step: int, tile: int, margin: int = 0) -> tuple[tuple[Span, int], ...]:
    """Cuts `length` full-size pixels into tiles, each with its interpolation from a grid of pitch `step`.

    Each is widened by `margin` pixels where there are any, and comes with how far the tile lies inside.
    """
    result: list[tuple[Span, int]] = []
    for start in range(0, length, tile):
        first = max(0, start - margin)
        result.append((span(first, min(start + tile + margin, length), grid, step), start - first))
    return tuple(result)


def whole_axis(length: int, grid: int, step: int) -> Span:
    """All pixels of one axis, each interpolated from a grid of pitch `step`; kept for the next photo of that size."""
    return tiles(length, grid, step, length)[0][0]


def clip01(values: NDArray[Any]) -> Plane:
    """float32, cut to 0..1."""
    return np.asarray(np.clip(values, 0.0, 1.0), np.float32)


def upsample(planes: Plane, row: Span, column: Span) -> Plane:
    """Grid planes float32 (c, gh, gw) at the full-size pixels of one tile: float32 (c, th, tw)."""
    part = planes[:, row.grid_start : row.grid_stop, column.grid_start : column.grid_stop]
    channels, gh, gw = part.shape
    # Across first, in one product for all channels; the planes that come out lie whole in memory.
    wide = (part.reshape(channels * gh, gw) @ column.weights.T).reshape(channels, gh, -1)
    out = np.empty((channels, len(row.weights), wide.shape[2]), np.float32)
    for run in row.runs():
        np.matmul(run.weights, wide[:, run.inputs], out=out[:, run.rows])
    return out


def onto_grid(
    alpha: Plane,
    shape: tuple[int, int],
    grid: tuple[int, int],
    step: int,
    part: tuple[slice, slice] = np.s_[:, :],
) -> Plane:
    """An alpha that covers a whole photo, sampled at the centres of the photo's `step`-sized blocks.

    Args:
        alpha: float32 (h, w), 0..1.
        shape: the photo's (height, width) in pixels.
        grid: rows and columns of blocks, ceil(shape / step).
        step: block size in pixels.
        part: the rows and columns of the grid that are wanted; unset: all.

    Returns:
        float32, `grid` or its part, clipped to 0..1.
    """
    h, w = alpha.shape
    if h > shape[0] or w > shape[1]:  # more samples than the photo has: average, or fine detail aliases
        fitted = Image.fromarray(alpha).resize((min(w, shape[1]), min(h, shape[0])), Image.Resampling.BOX)
        alpha = np.asarray(fitted, np.float32)
        h, w = alpha.shape
    ys = np.minimum((np.arange(grid[0])[part[0]] + 0.5) * step, shape[0]) * h / shape[0] - 0.5
    xs = np.minimum((np.arange(grid[1])[part[1]] + 0.5) * step, shape[1]) * w / shape[1] - 0.5
    y0, y1, down = tap_matrix(*cubic_weights(ys, h))
    x0, x1, across = tap_matrix(*cubic_weights(xs, w))
    sampled = down @ alpha[y0:y1, x0:x1] @ across.T
    return clip01(sampled)


def reduced(photo: NDArray[np.uint8], step: int, threads: int = 1) -> Plane:
    """The photo averaged over `step`-sized blocks: float32 (c, ceil(H/step), ceil(W/step)), 0..1.

    Sums are whole numbers, so that no order of adding changes a mean.

    Args:
        photo: uint8 (H, W, c).
        step: block size in pixels.
        threads: how many strips are averaged at once.
    """
    height, width, channels = photo.shape
    result = np.empty((channels, -(-height // step), -(-width // step)), np.float32)
    # Partial blocks at the far edges have fewer pixels.
    rows, columns = (np.minimum(step, side - _positions(side)[::step]) for side in (height, width))
    brightest = np.multiply.outer(rows, columns).astype(np.float32) * np.float32(255)
    kind = np.uint16 if step <= NARROW_SUMS else np.uint32
    strip = step * max(1, STRIP_ROWS // step)

    def average(top: int) -> None:
        """One strip: down first, row by row, and then across, one channel at a time."""
        down = _sums(photo[top : top + strip].reshape(-1, width * channels), step, 1, kind)
        here = slice(top // step, top // step + len(down))
        for channel in range(channels):
            across = _sums(down[:, channel:].T, step * channels, channels, kind)
            np.divide(across.T, brightest[here], out=result[channel, here])

    side_by_side(average, range(0, height, strip), threads)
    return result


def _sums(lines: NDArray[Any], block: int, apart: int, kind: type[np.uint16 | np.uint32]) -> NDArray[Any]:
    """Of each `block` lines the sum of every line that is a multiple of `apart` from its first; of the last, a part."""
    total = lines[::block].astype(kind)
    for start in range(apart, block, apart):
        more = lines[start::block]
        total[: len(more)] += more
    return total


def window_sums(x: Plane, radius: int, axis: int) -> Plane:
    """Sums over a sliding window of 2*radius+1 along one axis; the window shrinks at the borders.

    Sums of 1, 2, 4, 8 … neighbours are made from each other, and the window from those that are the binary digits
    of its width. Unlike with running sums no rounding error grows along the axis.
    """
    width, length = 2 * radius + 1, x.shape[axis]

    def part(start: int, stop: int) -> tuple[slice, ...]:
        """A range along the axis, all of the others."""
        return tuple(slice(start, stop) if one == axis else slice(None) for one in range(x.ndim))

    def twice(sums: Plane, size: int) -> Plane:
        """Sums of twice as many neighbours, from those of `size`."""
        return sums[part(0, -size)] + sums[part(size, sums.shape[axis])]

    doubled = np.zeros([side + 2 * radius * (one == axis) for one, side in enumerate(x.shape)], x.dtype)
    doubled[part(radius, radius + length)] = x

    result = doubled[part(0, length)].copy()  # the width is odd: its lowest digit is 1
    size, done = 1, 1
    while 2 * size <= width:
        doubled = twice(doubled, size)
        size *= 2
        if width & size:
            result += doubled[part(done, done + length)]
            done += size
    return result


def box_mean(planes: Plane, radius: int) -> Plane:
    """Means over a square window of 2*radius+1 that shrinks at the borders; float32 (c, h, w)."""
    result = np.empty_like(planes)
    counts = _counts(planes.shape[1], radius)[:, None] * _counts(planes.shape[2], radius)
    # So many planes at a time: few calls, and none leaves the cache.
    together = max(1, IN_CACHE // max(1, planes[0].nbytes))
    for first in range(0, len(planes), together):
        some = np.s_[first : first + together]
        np.divide(window_sums(window_sums(planes[some], radius, 1), radius, 2), counts, out=result[some])
    return result


def _positions(length: int) -> NDArray[np.int64]:
    return np.arange(length, dtype=np.int64)


def _counts(length: int, radius: int) -> Plane:
    position = _positions(length)
    return (np.minimum(position + radius, length - 1) - np.maximum(position - radius, 0) + 1).astype(
        np.float32
    )


def blocks(planes: Plane, side: int) -> Plane:
    """Means over side x side blocks, partial at the far edges: float32 (c, ceil(h/side), ceil(w/side))."""
    if side == 1:
        return planes
    for axis in (1, 2):
        whole = planes.shape[axis] // side * side
        every = [slice(None)] * 3
        parts = list[Plane]()
        for k in range(side):
            every[axis] = slice(k, whole, side)
            parts.append(planes[tuple(every)])
        total = parts[0] + parts[1]
        for part in parts[2:]:
            total += part
        total *= np.float32(1 / side)
        if whole < planes.shape[axis]:
            every[axis] = slice(whole, None)
            rest = planes[tuple(every)].mean(axis=axis, keepdims=True, dtype=np.float32)
            total = np.concatenate([total, rest], axis)
        planes = total
    return planes


def dilate(values: NDArray[_Level], radius: int) -> NDArray[_Level]:
    """The greatest value in a square window of 2*radius+1 that shrinks at the borders: a mask grows by `radius`."""
    if radius <= 0:
        return values
    for _ in range(2):  # along one axis, then, turned over, along the other
        grown = np.zeros((values.shape[0] + 2 * radius, values.shape[1]), values.dtype)
        grown[radius:-radius] = values
        covered, window = 1, 2 * radius + 1
        while covered < window:
            step = min(covered, window - covered)
            grown = np.maximum(grown[:-step], grown[step:])
            covered += step
        values = np.ascontiguousarray(grown.T)
    return values


def grid_step(shape: tuple[int, int], least: int) -> int:
    """The largest whole block size that leaves at least `least` blocks along the longer side, or 1."""
    return max(1, math.floor(max(shape) / max(1, least)))
