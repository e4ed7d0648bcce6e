"""The colour guided filter at reduced scale: how an edge in the alpha follows the edge in the photo.

Not for full-size work: it returns local linear coefficients that `matte.py` applies tile by tile.
Sources: He, Sun, Tang, "Guided Image Filtering" (2013); He, Sun, "Fast Guided Filter" (2015).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.matting.resample import blocks, box_mean, dilate, span, upsample
from cutoutd.models.planes import Plane

# Window radius in samples of the model-scale alpha (before upsampling). Large windows and a small
# epsilon win by far for soft network alphas (benchmarks/edges.py).
RADIUS = 16.0
EPSILON = 1e-5
# The same for an alpha that is precise already: the photo only says where inside a sample the edge runs.
PRECISE_RADIUS = 4.0
PROJECTIONS = 3  # rounds of giving each sample its mean back; clipping disturbs it again a little
# Averaging over windows flattens the alpha; this much steeper about one half gives the truth back.
CONTRAST = 1.1
# Residual variance below which windows count alike.
VOTE_FLOOR = 1e-2
# Slopes of an alpha at its edges, per sample of its own (the sharpest tenth counts). Averaged from the truth it has
# 0.83 and more, made by a threshold and blurred by half a sample 0.78 and less: between these trust goes over.
SHARPEST_PERCENT, PRECISE = 90.0, (0.77, 0.84)
# What a network calls 2 % is background, 98 % subject, and no edge. Nearly all that a precise alpha has below that is
# exactly 0.
UNSURE, SETTLED = np.float32(0.02), (0.80, 0.95)
# The same for the neighbourhood of one sample, where hair and corners make all slopes smaller.
PRECISE_NEARBY = (0.74, 0.86)
# From here on an alpha can be called sharp, and may be soft on purpose somewhere: its median slope is then less than
# half of its sharpest. Made by a threshold it is two thirds and more.
SHARP_ENOUGH, UNIFORM = (0.38, 0.46), (0.50, 0.70)
# The slope in the middle of an ideal edge times the standard deviation of its blur; blocks as wide as three of these
# give the fit the same blur as the alpha, and a window of three blocks to each side is the least to fit in.
STEP_SLOPE, BLOCK_PER_BLUR, WINDOW_LEAST = 0.4, 3.0, 3.0
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
    moments = np.empty((14, *alpha.shape), np.float32)
    moments[:3], moments[3] = centred, a
    np.multiply(r, centred, out=moments[4:7])
    np.multiply(g, centred[1:], out=moments[7:9])
    np.multiply(b, b, out=moments[9])
    np.multiply(moments[:4], a, out=moments[10:])
    mr, mg, mb, ma, rr, rg, rb, gg, gb, bb, ra, ga, ba, aa = box_mean(moments, radius)
    eps = np.float32(EPSILON if epsilon is None else epsilon)
    rr, gg, bb = rr - mr * mr + eps, gg - mg * mg + eps, bb - mb * mb + eps
    rg, rb, gb = rg - mr * mg, rb - mr * mb, gb - mg * mb
    ra, ga, ba = ra - mr * ma, ga - mg * ma, ba - mb * ma
    aa = np.maximum(aa - ma * ma, 0.0)
    sr, sg, sb = _solved(rr, gg, bb, rg, rb, gb, ra, ga, ba, eps)
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


def _solved(
    rr: Plane,
    gg: Plane,
    bb: Plane,
    rg: Plane,
    rb: Plane,
    gb: Plane,
    ra: Plane,
    ga: Plane,
    ba: Plane,
    eps: np.float32,
) -> tuple[Plane, Plane, Plane]:
    """The slopes of a regression at every sample: (covariance of r, g, b)⁻¹ · (their covariance with alpha).

    By elimination (L·D·Lᵀ), not by cofactors: where the channels go together, in black and white photos, what is
    left of those after cancellation is noise in single precision, and the slopes were several times too large.
    """
    l_rg, l_rb = rg / rr, rb / rr
    d_g = np.maximum(gg - l_rg * rg, eps)  # never less but for rounding: eps was added to each variance
    rest = gb - l_rg * rb
    l_gb = rest / d_g
    d_b = np.maximum(bb - l_rb * rb - l_gb * rest, eps)
    y_g = ga - l_rg * ra
    sb = (ba - l_rb * ra - l_gb * y_g) / d_b
    sg = y_g / d_g - l_gb * sb
    sr = ra / rr - l_rg * sg - l_rb * sb
    return np.asarray(sr, np.float32), np.asarray(sg, np.float32), np.asarray(sb, np.float32)


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
    result[3] += missing_means(apply(planes, guide), alpha, (0.0, 0.0, covered[1], covered[0]))
    return result


def missing_means(fine: Plane, alpha: Plane, box: tuple[float, float, float, float]) -> Plane:
    """What must be added to a finer alpha (gh, gw), then clipped, so that its means are `alpha` (h, w) again.

    Args:
        fine: float32 (gh, gw).
        alpha: float32 (h, w), the samples to keep.
        box: left, top, right and bottom of what they cover in `fine`; nothing is added beyond.
    """
    size = (alpha.shape[1], alpha.shape[0])
    (left, right), columns = _inside(box[0], box[2], fine.shape[1], size[0])
    (top, bottom), rows = _inside(box[1], box[3], fine.shape[0], size[1])
    inner = (rows.stop - rows.start, columns.stop - columns.start)
    shift = np.zeros_like(fine)
    for _ in range(PROJECTIONS):
        now = Image.fromarray(np.clip(fine + shift, 0.0, 1.0))
        missing = Image.fromarray(
            alpha - np.asarray(now.resize(size, Image.Resampling.BOX, box=box), np.float32)
        )
        back = missing.resize(inner[::-1], Image.Resampling.BILINEAR, box=(left, top, right, bottom))
        shift[rows, columns] += np.asarray(back, np.float32)
    return shift


def _inside(start: float, stop: float, length: int, samples: int) -> tuple[tuple[float, float], slice]:
    """The whole grid samples that coarse samples over start..stop cover, and where they lie among those.

    The last of a grid may be covered in part, at the photo's end; then it counts.
    """
    first, last = math.ceil(start), length if stop > length - 1 else math.floor(stop)
    each = (stop - start) / samples
    return ((first - start) / each, samples if last == length else (last - start) / each), slice(first, last)


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
    """Where a neighbour in alpha, float32 (h, w), differs by more than half: edges without half-tones, bool."""
    found = np.zeros(alpha.shape, np.bool_)
    down = np.abs(np.diff(alpha, axis=0)) > 0.5
    across = np.abs(np.diff(alpha, axis=1)) > 0.5
    found[:-1] |= down
    found[1:] |= down
    found[:, :-1] |= across
    found[:, 1:] |= across
    return found


class Steepness(NamedTuple):
    """How fast an alpha changes along its edges, per sample of its own.

    nearby: the steepest slope around every sample, averaged along the edge, float32 (h, w).
    sharpest: of the sharpest tenth of the edge; 1 is an edge between two samples, 0 stands for no edge at all.
    typical: of the median edge sample.
    settled: how much of what is nearly 0 is exactly 0, a share.
    """

    nearby: Plane
    sharpest: float
    typical: float
    settled: float


def steepness(alpha: Plane) -> Steepness:
    """Measures an alpha, float32 (h, w) in 0..1, at its own scale."""
    down, across = np.abs(np.diff(alpha, axis=0)), np.abs(np.diff(alpha, axis=1))
    slope = np.zeros_like(alpha)
    slope[1:] = np.maximum(slope[1:], down)
    slope[:-1] = np.maximum(slope[:-1], down)
    slope[:, 1:] = np.maximum(slope[:, 1:], across)
    slope[:, :-1] = np.maximum(slope[:, :-1], across)
    steepest = dilate((slope * np.float32(255)).astype(np.uint8), 2)
    nearby = steepest.astype(np.float32) * np.float32(1 / 255)
    band = (alpha > UNSURE) & (alpha < 1.0 - UNSURE) | (slope > 0.5)
    inside = nearby[band]
    weighted, weight = box_mean(np.stack([nearby * band, band.astype(np.float32)]), 6)
    averaged = weighted / (weight + np.float32(1e-6))
    settled = float((alpha == 0.0).sum() / max(1, (alpha < UNSURE).sum()))
    if not inside.size:
        return Steepness(averaged, 0.0, 0.0, settled)
    sharpest = float(np.percentile(inside, SHARPEST_PERCENT))
    return Steepness(averaged, sharpest, float(np.median(averaged[band])), settled)


def trust(measured: Steepness, enlargement: float) -> Plane:
    """How far to follow the photo's edges rather than the alpha's own: 0 for a precise alpha, else 1.

    Args:
        measured: the alpha's edges.
        enlargement: the photo's longer side divided by the alpha's.

    Returns:
        float32 (h, w), 0..1.
    """
    by_size = min(1.0, max(0.0, (enlargement - SAME_SIZE) / (SMALLER - SAME_SIZE)))
    if by_size == 0.0:
        return np.zeros_like(measured.nearby)
    local = 1.0 - _smooth_step(measured.nearby, *PRECISE_NEARBY)
    sharpest = np.float32(measured.sharpest)
    # An alpha that can be sharp somewhere means it where it is soft: defocus, motion, glass. One that was made
    # by a threshold has the same slope nearly everywhere.
    uniform = _smooth_step(np.float32(measured.typical / max(measured.sharpest, 1e-6)), *UNIFORM)
    soft_on_purpose = _smooth_step(sharpest, *SHARP_ENOUGH) * (1.0 - uniform)
    precise = np.maximum(_smooth_step(sharpest, *PRECISE), soft_on_purpose)
    # What a network is unsure of is soft as well, but not on purpose. It gives itself away: its background is
    # never exactly 0.
    precise *= _smooth_step(np.float32(measured.settled), *SETTLED)
    return np.float32(by_size) * np.minimum(local, 1.0 - precise)


def block(measured: Steepness, scale: float) -> int:
    """The side of the blocks that `fitted` averages, in grid samples: as wide as the alpha's edges are blurred.

    Args:
        measured: the alpha's edges.
        scale: grid samples per sample of the alpha.
    """
    blur = STEP_SLOPE / max(measured.sharpest, STEP_SLOPE / RADIUS)
    most = max(1, int(RADIUS * scale / WINDOW_LEAST))
    return min(max(1, round(BLOCK_PER_BLUR * blur * scale)), most)


def fitted(guide: Plane, alpha: Plane, scale: float, side: int) -> tuple[Plane, Plane]:
    """`coefficients` from means over blocks, at every sample of the grid again.

    A blurred alpha and the sharp photo disagree about every hair, and a regression answers with slopes too
    flat. Averaged as widely as the alpha is blurred, both tell the same; what is linear in a mixture stays
    so in its means.

    Args:
        guide: float32 (3, h, w), 0..1.
        alpha: float32 (h, w), 0..1.
        scale: grid samples per sample of the network's alpha.
        side: samples along a block's side, from `block`.
    """
    rough = blocks(guide, side)
    means = blocks(alpha[None], side)[0]
    planes, fit = coefficients(rough, means, max(2, round(RADIUS * scale / side)))
    if side == 1:
        return planes, fit
    (h, w), (rows, columns) = alpha.shape, means.shape
    wide = upsample(np.concatenate([planes, fit[None]]), span(0, h, rows, side), span(0, w, columns, side))
    return wide[:4], wide[4]


def _smooth_step(value: Plane | np.float32, low: float, high: float) -> Plane:
    t = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)
