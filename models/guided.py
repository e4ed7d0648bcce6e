"""The colour guided filter at reduced scale: how an edge in the alpha follows the edge in the photo.

Not for full-size work: it returns local linear coefficients that `matte.py` applies tile by tile.
Sources: He, Sun, Tang, "Guided Image Filtering" (2013); He, Sun, "Fast Guided Filter" (2015).
"""

from __future__ import annotations

import numpy as np

from cutoutd.models.resample import Plane, box_mean

# Window radius in samples of the model-scale alpha (before upsampling). Large windows and a small
# epsilon win by far for soft network alphas (benchmarks/edges.py).
RADIUS = 13.0
EPSILON = 1e-5


def coefficients(guide: Plane, alpha: Plane, radius: int, epsilon: float = EPSILON) -> tuple[Plane, Plane]:
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
    eps = np.float32(epsilon)
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


# Residual variance below which windows count alike.
VOTE_FLOOR = 1e-2


def apply(planes: Plane, guide: Plane) -> Plane:
    """a·RGB + b for float32 (4, h, w) coefficients and a (3, h, w) guide in 0..1; not clipped."""
    return planes[0] * guide[0] + planes[1] * guide[1] + planes[2] * guide[2] + planes[3]
