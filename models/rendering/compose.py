"""Moves, scales and layers straight-alpha pixels without fringes; decides nothing and encodes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.rendering import rows
from cutoutd.models.rendering.layout import Box, Placement
from cutoutd.models.rendering.rescale import rescaled
from cutoutd.models.rendering.rows import Samples

_FILTER = Image.Resampling.BICUBIC  # as in `rescale`


def subject_box(alpha: NDArray[np.uint8]) -> Box | None:
    """The smallest box that holds everything with alpha, uint8 (H, W), above 0, or None where nothing has."""
    rows = np.flatnonzero(alpha.any(axis=1))
    if rows.size == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(np.maximum.reduce(alpha[top:bottom], axis=0))
    return Box(int(columns[0]), top, int(columns[-1]) + 1, bottom)


def placed(
    colour: Samples, alpha: NDArray[np.uint8], placement: Placement, threads: int = 1
) -> tuple[Samples, NDArray[np.uint8]]:
    """The subject on its canvas: colour (H, W, 3) of the given dtype, alpha uint8 (H, W), 0 in free room.

    Unscaled pixels are copied bit for bit; scaled ones are resampled with their colour weighted by alpha, so
    that what is invisible never bleeds into what is seen. The result is the same for any number of threads.
    """
    if placement.is_identity and placement.source == Box(0, 0, alpha.shape[1], alpha.shape[0]):
        return colour, alpha
    width, height = placement.canvas
    out_alpha = np.zeros((height, width), np.uint8)
    out_colour: Any = np.zeros((height, width, 3), colour.dtype)
    visible = _visible(placement)
    if visible is None:
        return out_colour, out_alpha
    here = np.s_[visible.top : visible.bottom, visible.left : visible.right]
    if not placement.is_scaled:
        x, y = placement.source.left - placement.target.left, placement.source.top - placement.target.top
        there = np.s_[visible.top + y : visible.bottom + y, visible.left + x : visible.right + x]
        out_alpha[here], out_colour[here] = alpha[there], colour[there]
        return out_colour, out_alpha
    size = (visible.width, visible.height)
    seen = _seen(placement, visible)
    out_colour[here], out_alpha[here] = rescaled(colour, alpha, size, seen, threads)
    return out_colour, out_alpha


def _visible(placement: Placement) -> Box | None:
    """The part of the canvas that the target covers, or None where it lies wholly beyond."""
    (width, height), target = placement.canvas, placement.target
    box = Box(max(0, target.left), max(0, target.top), min(width, target.right), min(height, target.bottom))
    return box if box.width > 0 and box.height > 0 else None


def _seen(placement: Placement, visible: Box) -> tuple[float, float, float, float]:
    """The part of the photo that lands on `visible`: left, top, right, bottom in pixels and their fractions."""
    source, target = placement.source, placement.target
    scale_x, scale_y = source.width / target.width, source.height / target.height
    return (
        source.left + (visible.left - target.left) * scale_x,
        source.top + (visible.top - target.top) * scale_y,
        source.left + (visible.right - target.left) * scale_x,
        source.top + (visible.bottom - target.top) * scale_y,
    )


def placed_mask(alpha: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """The alpha alone on its canvas, uint8 (H, W)."""
    if not placement.is_scaled:
        none = np.broadcast_to(np.zeros((), np.uint8), (*alpha.shape, 3))
        return placed(none, alpha, placement)[1]
    canvas = np.zeros(placement.canvas[::-1], np.uint8)
    visible = _visible(placement)
    if visible is None:
        return canvas
    source = placement.source
    left, top, right, bottom = _seen(placement, visible)
    visible_part = (
        max(0.0, left - source.left),
        max(0.0, top - source.top),
        min(right - source.left, source.width),
        min(bottom - source.top, source.height),
    )
    # Only what is seen is scaled: a small head brought to a large canvas would make the whole photo enormous.
    image = Image.fromarray(alpha[source.top : source.bottom, source.left : source.right])
    scaled = image.resize((visible.width, visible.height), _FILTER, box=visible_part, reducing_gap=2.0)
    canvas[visible.top : visible.bottom, visible.left : visible.right] = np.asarray(scaled)
    return canvas


def over_shadow(
    colour: Samples, alpha: NDArray[np.uint8], shadow: NDArray[np.uint8]
) -> tuple[Samples, NDArray[np.uint8]]:
    """The subject over a black shadow, still in straight alpha; opaque pixels keep their numbers.

    Porter and Duff's "over" with a black lower layer: alpha = a + s(1 − a), colour = c·a / alpha.
    """
    out_colour: Any = colour.copy()
    out_alpha = alpha.copy()
    for top, bottom in rows.strips(alpha.shape[0], alpha.shape[1] * 4):
        a, s = alpha[top:bottom], shadow[top:bottom]
        mixed = (s > 0) & (a < 255)
        if not mixed.any():
            continue
        a_in, s_in = a[mixed].astype(np.float32) / 255, s[mixed].astype(np.float32) / 255
        both = a_in + s_in * (1 - a_in)
        out_alpha[top:bottom][mixed] = (both * 255 + 0.5).astype(np.uint8)
        weight = (a_in / both)[:, np.newaxis]
        out_colour[top:bottom][mixed] = (colour[top:bottom][mixed] * weight + 0.5).astype(colour.dtype)
    return out_colour, out_alpha


def flattened(colour: Samples, alpha: NDArray[np.uint8], behind: NDArray[np.uint8]) -> Samples:
    """The subject over an opaque background: (H, W, 3) of the dtype of `colour`.

    Exact at both ends: alpha 255 gives the subject's numbers, alpha 0 the background's.

    Args:
        colour: (H, W, 3), uint8 or uint16.
        alpha: uint8 (H, W).
        behind: uint8 (3,) for one colour, or (H, W, 3).
    """
    out: Any = np.empty(colour.shape, colour.dtype)
    height, width = alpha.shape
    for top, bottom in rows.strips(height, width * 3 * colour.dtype.itemsize):
        # One colour is written out for a row: three numbers at a time would take as long as everything else.
        lower: Any = np.tile(behind, width).reshape(1, width, 3) if behind.ndim == 1 else behind[top:bottom]
        if colour.dtype == np.uint16:
            lower = lower.astype(np.uint16) * np.uint16(257)
        _flatten_strip(colour[top:bottom], alpha[top:bottom], lower, out[top:bottom])
    return out


def _flatten_strip(colour: Any, alpha: NDArray[np.uint8], lower: Any, out: Any) -> None:
    """c·a + b·(1 − a), rounded; most pixels are at one of the ends, where a mask of bits says it all.

    `lower` is (h, w, 3), or (1, w, 3) for rows that are all the same.
    """
    deep = colour.dtype == np.uint16
    mask: Any = np.empty_like(out)
    for k in range(3):
        mask[..., k] = alpha.astype(np.uint16) * np.uint16(257) if deep else alpha
    np.bitwise_and(colour, mask, out=out)
    np.invert(mask, out=mask)
    mask &= lower
    out |= mask
    band = np.flatnonzero(alpha - np.uint8(1) < np.uint8(254))
    if band.size:
        weight = (alpha.reshape(-1)[band].astype(np.float32) / 255)[:, np.newaxis]
        below = lower.reshape(-1, 3)[band if len(lower) == len(alpha) else band % alpha.shape[1]]
        mixed = colour.reshape(-1, 3)[band] * weight + below * (1 - weight) + 0.5
        out.reshape(-1, 3)[band] = mixed.astype(out.dtype)
