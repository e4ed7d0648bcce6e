"""Foreground colour in the edge band: the subject's own colour, without the background mixed into it.

Not for pixels that are opaque in the photo, which keep its colour. Local colours of subject and background are spread
over a weighted pyramid (the idea of multi-level estimation, Germer et al. 2020), and each half-transparent
pixel is then corrected so that both colours explain what the photo shows (as in blur fusion, Forte 2021).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting.parallel import both
from cutoutd.models.planes import Plane

# How strongly the coarser level speaks where this level has nothing certain to say.
COARSER_WEIGHT = 0.05
# Only nearly opaque samples say what the subject's colour is: alpha to this power.
CERTAINTY_POWER = 20
# Keeps the correction from trusting a photo pixel against both spread colours when alpha is uncertain.
CORRECTION_DAMPING = 0.2


def spread_colours(guide: Plane, alpha: Plane, certainty: int = CERTAINTY_POWER, threads: int = 1) -> Plane:
    """Subject and background colour at every sample of the grid.

    Args:
        guide: float32 (3, h, w), 0..1.
        alpha: float32 (h, w), 0..1.
        certainty: how fast a sample's say falls with its alpha; unset: what gives the least fringe.
        threads: with 2, both are spread at once.

    Returns:
        float32 (6, h, w): subject RGB, then background RGB.
    """
    spread = np.empty((6, *alpha.shape), np.float32)
    both(
        lambda: _pull_push(guide, _power(alpha, certainty), spread[:3]),
        lambda: _pull_push(guide, _power(1.0 - alpha, certainty), spread[3:]),
        threads,
    )
    return spread


def _power(values: Plane, exponent: int) -> Plane:
    """Values to a whole power of 1 or more, by squaring: NumPy's own takes ten times as long."""
    if exponent == 1:
        return values
    half = _power(values, exponent // 2)
    return half * half * values if exponent % 2 else half * half


def _pull_push(colour: Plane, weight: Plane, out: Plane) -> None:
    """Weighted colours averaged down a pyramid, then filled in from coarse to fine."""
    first = np.empty((4, *weight.shape), np.float32)
    np.multiply(colour, weight, out=first[:3])
    first[3] = weight
    levels = [first]
    while min(levels[-1].shape[1:]) > 2:
        levels.append(_halve(levels[-1]))
    total = levels[-1].sum(axis=(1, 2), keepdims=True)
    filled: Plane = total[:3] / (total[3:] + np.float32(1e-6))
    coarser = np.float32(COARSER_WEIGHT)
    for level in reversed(levels):
        target = out if level is first else np.empty((3, *level.shape[1:]), np.float32)
        if filled.shape[1:] == (1, 1):
            target[:] = filled
        else:
            _double(filled, target)
        target *= coarser
        target += level[:3]
        target *= 1 / (level[3] + coarser)
        filled = target


def _halve(planes: Plane) -> Plane:
    """Means of 2x2 blocks; an odd last row or column is repeated."""
    for axis in (1, 2):
        near = np.moveaxis(planes, axis, 0)
        pairs = len(near) // 2
        half = [-(-side // 2) if one == axis else side for one, side in enumerate(planes.shape)]
        halved = np.empty(half, np.float32)
        out = np.moveaxis(halved, axis, 0)
        np.add(near[0 : 2 * pairs : 2], near[1::2], out=out[:pairs])
        if len(near) % 2:
            np.multiply(near[-1], np.float32(2), out=out[-1])
        planes = halved
    planes *= np.float32(0.25)
    return planes


def _double(planes: Plane, out: Plane) -> None:
    """Twice the size by linear interpolation between block centres, as far as `out` has rows and columns.

    Across first: what lies apart in memory is slow to write, and there are half as many rows then.
    """
    wide = np.empty((*planes.shape[:2], out.shape[2]), np.float32)
    for axis, target in ((2, wide), (1, out)):
        near, fine = np.moveaxis(planes, axis, 0), np.moveaxis(target, axis, 0)
        near_part, far_part = near * np.float32(0.75), near * np.float32(0.25)
        even, odd = fine[0::2], fine[1::2]
        np.add(near_part[1:], far_part[:-1], out=even[1:])
        np.add(near_part[:1], far_part[:1], out=even[:1])
        np.add(near_part[: len(odd)][:-1], far_part[1 : len(odd)], out=odd[:-1])
        beyond = min(len(odd), len(near) - 1)
        np.add(near_part[len(odd) - 1], far_part[beyond], out=odd[-1])
        planes = wide


def unmix(shades: Plane, alpha: NDArray[np.uint8], near: Plane) -> NDArray[np.uint8]:
    """The subject's colour wherever it is mixed with the background's.

    The colours F' and B' nearest to the spread ones that also give the photo's pixel when mixed by alpha:
    one damped step of a least-squares problem with a closed solution.

    Args:
        shades: the photo's RGB in planes, float32 (3, h, w), 0..255.
        alpha: uint8 (h, w); of no meaning where it is 0.
        near: spread subject RGB, then background RGB, float32 (6, h, w), 0..255.

    Returns:
        uint8 (3, h, w).
    """
    a = alpha * np.float32(1 / 255)
    rest = np.float32(1.0) - a
    step = a * a
    rest *= rest
    step += rest
    step += np.float32(CORRECTION_DAMPING)
    np.divide(a, step, out=step)
    own, behind = near[:3], near[3:]
    # own + step · (shade - behind - a · (own - behind)), in place: fresh arrays would leave the cache.
    mixed = own - behind
    mixed *= a
    colour = shades - behind
    colour -= mixed
    colour *= step
    colour += own
    colour += np.float32(0.5)
    return np.clip(colour, np.float32(0), np.float32(255), out=colour).astype(np.uint8)
