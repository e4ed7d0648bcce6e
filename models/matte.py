"""From the network's scale to the photo's: alpha at full resolution and the subject's colour at its edge.

Not for finding the subject (segmenter.py), and not for what one order makes of it (render.py).
Full-size arithmetic happens only in tiles that the edge band touches; all others are copied or left zero.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cutoutd.models import foreground, guided
from cutoutd.models.resample import (
    Plane,
    Span,
    dilate,
    grid_step,
    onto_grid,
    reduced,
    spans,
    upsample,
)

Engine = Literal["plain", "guided", "learned"]

# Samples along the longer side of the coefficient grid; below that, detail of the guide is lost.
GRID_LEAST = 400
# Full-size tiles: small enough that flat ones are common, large enough that calls do not dominate.
TILE = 128
# How far beyond half-transparent samples the photo may still move the edge, in model-scale samples.
BAND_REACH = 1.5
# A network's blurred answer is never quite sure: 2 % of it is background, 98 % subject. A precise one only
# suffers rounding: half of an 8-bit step.
UNSURE, PRECISE = 0.02, 0.002


def refine(
    alpha: NDArray[np.float32], photo: NDArray[np.uint8], *, engine: Engine = "guided"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Brings a model-scale alpha to the photo's resolution and takes the background out of its edge colours.

    Args:
        alpha: float32 (h, w) in 0..1, any size, covering the whole photo (squashed is fine).
        photo: uint8 (H, W, 3), sRGB.
        engine: "plain" only resamples, "guided" follows the photo's edges with a colour guided filter,
            "learned" does so with the bundled refiner network.

    Returns:
        alpha uint8 (H, W) and colour uint8 (H, W, 3): colour is the photo's own RGB where alpha is 255,
        0 where alpha is 0, and the estimated foreground colour in between.
    """
    shape = (photo.shape[0], photo.shape[1])
    alpha = np.asarray(alpha, np.float32)
    trust = guided.trust(alpha, max(shape) / max(alpha.shape))
    # A precise alpha is kept block by block, which takes a grid finer than the alpha's own.
    least = max(alpha.shape) if trust.mean() > 0.5 else 2 * max(alpha.shape)
    step = grid_step(shape, max(GRID_LEAST, least))
    guide = reduced(photo, step)
    grid = (guide.shape[1], guide.shape[2])
    trust = onto_grid(trust, shape, grid, step)
    coarse = _flatten(onto_grid(alpha, shape, grid, step), trust)
    if engine == "plain":
        planes, band = _resampled(coarse)
    else:
        planes, band = _guided(coarse, guide, trust, alpha, (shape[0] / step, shape[1] / step))
    at_grid = np.clip(guided.apply(planes, guide), 0.0, 1.0)
    colours = foreground.spread_colours(guide, at_grid)
    return _compose(photo, planes, band, colours, step)


def _flatten(alpha: Plane, trust: Plane) -> Plane:
    """Stretches the alpha so that flat areas are exactly flat; only slightly where it is precise already."""
    low = np.float32(PRECISE) + np.float32(UNSURE - PRECISE) * trust
    return np.clip((alpha - low) / (1.0 - 2.0 * low), 0.0, 1.0)


def _resampled(coarse: Plane) -> tuple[Plane, NDArray[np.bool_]]:
    """The alpha alone as coefficients, and the band where it is not flat."""
    planes = np.zeros((4, *coarse.shape), np.float32)
    planes[3] = coarse
    return planes, dilate((coarse > 0.0) & (coarse < 1.0) | _steps(coarse), 2)


def _guided(
    coarse: Plane, guide: Plane, trust: Plane, alpha: Plane, covered: tuple[float, float]
) -> tuple[Plane, NDArray[np.bool_]]:
    """Coefficients of alpha = a·RGB + b at every grid sample, and the band where they are not constant.

    Args:
        coarse: the alpha on the grid, float32 (gh, gw).
        guide: the photo on the grid, float32 (3, gh, gw).
        trust: how far to follow the photo, float32 (gh, gw): 1 for a blurred alpha, 0 for a precise one.
        alpha: the alpha at its own scale, float32 (h, w).
        covered: rows and columns of the grid that the photo fills (the last block may be partial).
    """
    planes, flat_band = _resampled(coarse)
    scale = max(coarse.shape) / max(alpha.shape)
    if max(covered) <= guided.SAME_SIZE * max(alpha.shape):
        return planes, flat_band
    band = dilate((coarse > 0.0) & (coarse < 1.0) | _steps(coarse), max(2, round(BAND_REACH * scale)))
    in_band = trust[band]
    if not in_band.size:
        return planes, flat_band
    fitted = np.zeros_like(planes)
    if in_band.max() > 0.0:
        followed, _ = guided.coefficients(guide, coarse, max(2, round(guided.RADIUS * scale)))
        followed *= np.float32(guided.CONTRAST)
        followed[3] += np.float32(0.5 - 0.5 * guided.CONTRAST)
        fitted += trust * followed
    if in_band.min() < 1.0:
        kept, _ = guided.coefficients(guide, coarse, max(2, round(guided.PRECISE_RADIUS * scale)))
        fitted += (1.0 - trust) * guided.keep_means(kept, guide, alpha, covered)
    return planes + band * (fitted - planes), dilate(band, 2)


def _steps(alpha: Plane) -> NDArray[np.bool_]:
    """Where a neighbour differs by more than half: an edge with no half-transparent sample in it."""
    steps = np.zeros(alpha.shape, np.bool_)
    down = np.abs(np.diff(alpha, axis=0)) > 0.5
    across = np.abs(np.diff(alpha, axis=1)) > 0.5
    steps[:-1] |= down
    steps[1:] |= down
    steps[:, :-1] |= across
    steps[:, 1:] |= across
    return steps


def _compose(
    photo: NDArray[np.uint8], planes: Plane, band: NDArray[np.bool_], colours: Plane, step: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Fills full-size alpha and colour, tile by tile."""
    h, w = photo.shape[:2]
    alpha = np.zeros((h, w), np.uint8)
    colour = np.zeros((h, w, 3), np.uint8)
    rows = spans(h, band.shape[0], step, TILE)
    columns = spans(w, band.shape[1], step, TILE)
    for row in rows:
        for column in columns:
            window = np.s_[row.start : row.stop, column.start : column.stop]
            support = np.s_[row.grid_start : row.grid_stop, column.grid_start : column.grid_stop]
            if not band[support].any():
                if planes[3][support][0, 0] >= 0.5:
                    alpha[window] = 255
                    colour[window] = photo[window]
                continue
            tile_alpha = _tile_alpha(photo[window], planes, row, column)
            alpha[window] = tile_alpha
            colour[window] = _tile_colour(photo[window], tile_alpha, colours, row, column)
    return alpha, colour


def _tile_alpha(pixels: NDArray[np.uint8], planes: Plane, row: Span, column: Span) -> NDArray[np.uint8]:
    """a·RGB + b at every pixel of one tile, as uint8."""
    slopes = upsample(planes, row, column)
    value = slopes[3]
    for channel in range(3):
        value += slopes[channel] * (pixels[:, :, channel] * np.float32(1 / 255))
    return (np.clip(value, 0.0, 1.0) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _tile_colour(
    pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], colours: Plane, row: Span, column: Span
) -> NDArray[np.uint8]:
    """The photo where opaque, zero where transparent, the subject's colour in between."""
    colour = pixels * (alpha == 255)[:, :, None]
    between = np.flatnonzero((alpha > 0) & (alpha < 255))
    if between.size:
        spread = upsample(colours, row, column).reshape(6, -1)[:, between].T
        flat = pixels.reshape(-1, 3)[between]
        colour.reshape(-1, 3)[between] = foreground.unmix(
            flat, alpha.reshape(-1)[between], spread[:, :3], spread[:, 3:]
        )
    return colour
