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
GRID_LEAST = 480
# Full-size tiles: small enough that flat ones are common, large enough that calls do not dominate.
TILE = 128
# A network is never quite sure: what it calls 2 % is background, 98 % is subject.
FLAT_LOW, FLAT_HIGH = 0.02, 0.98


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
    step = grid_step(shape, max(GRID_LEAST, max(alpha.shape)))
    guide = reduced(photo, step)
    grid = (guide.shape[1], guide.shape[2])
    coarse = onto_grid(np.asarray(alpha, np.float32), shape, grid, step)
    coarse = _flatten(coarse)
    planes, band = _planes(coarse, guide, engine, scale=max(grid) / max(alpha.shape))
    at_grid = np.clip(guided.apply(planes, guide), 0.0, 1.0)
    colours = foreground.spread_colours(guide, at_grid)
    return _compose(photo, planes, band, colours, step)


def _flatten(alpha: Plane) -> Plane:
    """Stretches FLAT_LOW..FLAT_HIGH to 0..1, so that flat areas are exactly flat."""
    return np.clip((alpha - np.float32(FLAT_LOW)) * np.float32(1 / (FLAT_HIGH - FLAT_LOW)), 0.0, 1.0)


def _planes(coarse: Plane, guide: Plane, engine: Engine, scale: float) -> tuple[Plane, NDArray[np.bool_]]:
    """Coefficients of alpha = a·RGB + b at every grid sample, and the band where they are not constant."""
    plain = np.zeros((4, *coarse.shape), np.float32)
    plain[3] = coarse
    band = (coarse > 0.0) & (coarse < 1.0)
    if engine == "plain":
        return plain, dilate(band, 2)
    band = dilate(band | _steps(coarse), max(2, round(1.5 * scale)))
    radius = max(2, round(guided.RADIUS * scale))
    fitted, fit = guided.coefficients(guide, coarse, radius)
    trust = trust_in_guide(coarse, fit, scale) * band
    return plain + trust * (fitted - plain), dilate(band, 2)


def trust_in_guide(coarse: Plane, fit: Plane, scale: float) -> Plane:
    """How far to follow the photo's edges instead of the alpha's own, 0..1 per sample."""
    return fit


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
