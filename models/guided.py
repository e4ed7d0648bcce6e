"""The colour guided filter at reduced scale: how an edge in the alpha follows the edge in the photo.

Not for full-size work: it returns local linear coefficients that `matte.py` applies tile by tile.
Sources: He, Sun, Tang, "Guided Image Filtering" (2013); He, Sun, "Fast Guided Filter" (2015).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.resample import Plane, box_mean, dilate

# Window radius in samples of the model-scale alpha (before upsampling). Large windows and a small
# epsilon win by far for soft network alphas (benchmarks/edges.py).
RADIUS = 16.0
EPSILON = 1e-5
# The same for an alpha that is precise already: the photo only says where inside a sample the edge runs.
PRECISE_RADIUS = 4.0
PROJECTIONS = 3  # rounds of giving each sample its mean back; clipping disturbs it again a little
# Averaging over windows flattens the alpha; this much steeper about one half gives the truth back.
CONTRAST = 1.2
# Residual variance below which windows count alike.
VOTE_FLOOR = 1e-2
# Steepest slope near an edge, per model-scale sample. An alpha averaged from the truth has 0.7 and more at
# an ordinary edge, a network's blur of one sample has 0.4: between these two trust goes over.
BLURRED, SHARP = 0.40, 0.62
# The same for the sharpest tenth of the whole band.
SHARPEST_PERCENT, SHARPEST = 90.0, (0.44, 0.58)
# From a scale where the edge is already where it belongs: a small window.
CARRY_RADIUS, CARRY_EPSILON = 1, 3e-5
CARRY_REACH = 2 * CARRY_RADIUS  # samples around a tile that its averaged coefficients depend on
# An alpha of nearly the photo's own size needs no help.
SAME_SIZE, SMALLER = 1.05, 1.5


def coefficients(
    guide: Plane, alpha: Plane, radius: int, epsilon: float | None = None
) -> tuple[Plane, Plane]:
    """Local linear models alpha ≈ a·RGB + b, each averaged over the windows that cover a sample.

    Args:
        guide: float32 (3, h, w), 0..1.
        alpha: float32 (h, w), 0..1.
        radius: window radius in samples.
        epsilon: regularisation, in squared colour units.

    Returns:
        Coefficients float32 (4, h, w) (three slopes, one offset), and the fit float32 (h, w): the share
        of the alpha's variance that colour explains, 0..1; low where subject and background look alike.
    """
    centred = guide - np.float32(0.5)  # small numbers keep float32 running sums exact enough for epsilon
    r, g, b = centred
    a = alpha - np.float32(0.5)
    moments = np.stack([r, g, b, a, r * r, r * g, r * b, g * g, g * b, b * b, r * a, g * a, b * a, a * a])
    mr, mg, mb, ma, rr, rg, rb, gg, gb, bb, ra, ga, ba, aa = box_mean(moments, radius)
    eps = np.float32(EPSILON if epsilon is None else epsilon)
    rr, gg, bb = rr - mr * mr + eps, gg - mg * mg + eps, bb - mb * mb + eps
    rg, rb, gb = rg - mr * mg, rb - mr * mb, gb - mg * mb
    ra, ga, ba = ra - mr * ma, ga - mg * ma, ba - mb * ma
    aa = np.maximum(aa - ma * ma, 0.0)
    # The inverse of the symmetric 3x3 covariance through its cofactors.
    c00, c01, c02 = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c11, c12, c22 = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = np.maximum(rr * c00 + rg * c01 + rb * c02, eps**3)
    sr = (c00 * ra + c01 * ga + c02 * ba) / determinant
    sg = (c01 * ra + c11 * ga + c12 * ba) / determinant
    sb = (c02 * ra + c12 * ga + c22 * ba) / determinant
    offset = ma - sr * mr - sg * mg - sb * mb
    explained = sr * ra + sg * ga + sb * ba
    fit = np.clip(explained / (aa + np.float32(1e-4)), 0.0, 1.0)
    # A window whose colours do not explain the alpha says little about it: it votes with less weight.
    vote = 1.0 / (np.maximum(aa - explained, 0.0) + np.float32(VOTE_FLOOR))
    stack = np.stack([sr * vote, sg * vote, sb * vote, offset * vote, fit * vote, vote])
    means = box_mean(stack, radius)
    means[:5] /= means[5]
    slopes = means[:3]
    offset = means[3] + np.float32(0.5) - np.float32(0.5) * slopes.sum(0)
    return np.concatenate([slopes, offset[None]]), means[4]


def apply(planes: Plane, guide: Plane) -> Plane:
    """a·RGB + b for float32 (4, h, w) coefficients and a (3, h, w) guide in 0..1; not clipped."""
    return planes[0] * guide[0] + planes[1] * guide[1] + planes[2] * guide[2] + planes[3]


def keep_means(planes: Plane, guide: Plane, alpha: Plane, covered: tuple[float, float]) -> Plane:
    """Shifts the offsets so that the fine alpha, averaged over each model-scale sample, is that sample again.

    This is what lets the filter sharpen a good alpha without ever leaving it (iterative back-projection,
    Irani & Peleg 1991).

    Args:
        planes: coefficients float32 (4, gh, gw).
        guide: float32 (3, gh, gw).
        alpha: float32 (h, w), the samples to keep.
        covered: rows and columns of the grid that the photo fills.
    """
    result = planes.copy()
    result[3] += missing_means(apply(planes, guide), alpha, covered)
    return result


def missing_means(fine: Plane, alpha: Plane, covered: tuple[float, float]) -> Plane:
    """What must be added to a finer alpha (gh, gw), then clipped, so that its means are `alpha` (h, w) again."""
    size, box = (alpha.shape[1], alpha.shape[0]), (0.0, 0.0, covered[1], covered[0])
    rows, columns = fine.shape
    shift = np.zeros_like(fine)
    for _ in range(PROJECTIONS):
        now = Image.fromarray(np.clip(fine + shift, 0.0, 1.0))
        missing = alpha - np.asarray(now.resize(size, Image.Resampling.BOX, box=box), np.float32)
        back = Image.fromarray(missing).resize((columns, rows), Image.Resampling.BILINEAR)
        shift += np.asarray(back, np.float32)
    return shift


def carry(pixels: Plane, alpha: Plane) -> Plane:
    """Coefficients that carry an alpha drawn at this scale to a finer one, float32 (4, h, w).

    Args:
        pixels: the photo at the alpha's scale, float32 (3, h, w), 0..1.
        alpha: float32 (h, w), 0..1; exactly 0 or 1 where flat.
    """
    planes, _ = coefficients(pixels, alpha, CARRY_RADIUS, CARRY_EPSILON)
    uneven = (alpha > 0.0) & (alpha < 1.0) | steps(alpha)
    # Flat surroundings stay exactly flat: no texture of the photo may shine through there.
    near = dilate(uneven, CARRY_RADIUS)
    planes *= near
    planes[3] += np.where(near, np.float32(0.0), alpha)
    return planes


def steps(alpha: Plane) -> NDArray[np.bool_]:
    """Where a neighbour differs by more than half: an edge with no half-transparent sample in it."""
    found = np.zeros(alpha.shape, np.bool_)
    down = np.abs(np.diff(alpha, axis=0)) > 0.5
    across = np.abs(np.diff(alpha, axis=1)) > 0.5
    found[:-1] |= down
    found[1:] |= down
    found[:, :-1] |= across
    found[:, 1:] |= across
    return found


def trust(alpha: Plane, enlargement: float) -> Plane:
    """How far to follow the photo's edges rather than the alpha's own: 1 for blurred edges, 0 for sharp ones.

    Args:
        alpha: float32 (h, w), 0..1, at its own scale.
        enlargement: the photo's longer side divided by the alpha's.

    Returns:
        float32 (h, w), 0..1.
    """
    by_size = min(1.0, max(0.0, (enlargement - SAME_SIZE) / (SMALLER - SAME_SIZE)))
    if by_size == 0.0:
        return np.zeros_like(alpha)
    down, across = np.abs(np.diff(alpha, axis=0)), np.abs(np.diff(alpha, axis=1))
    slope = np.zeros_like(alpha)
    slope[1:] = np.maximum(slope[1:], down)
    slope[:-1] = np.maximum(slope[:-1], down)
    slope[:, 1:] = np.maximum(slope[:, 1:], across)
    slope[:, :-1] = np.maximum(slope[:, :-1], across)
    steepest = dilate((slope * np.float32(255)).astype(np.uint8), 2)
    nearby = steepest.astype(np.float32) * np.float32(1 / 255)
    band = ((alpha > 0.0) & (alpha < 1.0) | (slope > 0.5)).astype(np.float32)
    weighted, weight = box_mean(np.stack([nearby * band, band]), 6)
    sharpness = weighted / (weight + np.float32(1e-6))
    local = 1.0 - _smooth_step(sharpness, BLURRED, SHARP)
    inside = nearby[band > 0]
    # An alpha that can be sharp somewhere means it where it is soft: defocus, motion, glass.
    sharpest = np.percentile(inside, SHARPEST_PERCENT) if inside.size else 0.0
    overall = 1.0 - _smooth_step(np.float32(sharpest), *SHARPEST)
    return np.float32(by_size) * np.minimum(local, overall)


def _smooth_step(value: Plane | np.float32, low: float, high: float) -> Plane:
    t = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)
