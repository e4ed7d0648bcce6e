"""Foreground colour in the edge band: the subject's own colour, without the background mixed into it.

Not for pixels that are opaque in the photo, which keep its colour. Local colours of subject and background are spread
over a weighted pyramid (the idea of multi-level estimation, Germer et al. 2020), and each half-transparent
pixel is then corrected so that both colours explain what the photo shows (as in blur fusion, Forte 2021).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting.resample import Plane

# How strongly the coarser level speaks where this level has nothing certain to say.
COARSER_WEIGHT = 0.05
# Only nearly opaque samples say what the subject's colour is: alpha to this power.
CERTAINTY_POWER = 20
# Keeps the correction from trusting a photo pixel against both spread colours when alpha is uncertain.
CORRECTION_DAMPING = 0.2


def spread_colours(guide: Plane, alpha: Plane, certainty: int = CERTAINTY_POWER) -> Plane:
    """Subject and background colour at every sample of the grid.

    Args:
        guide: float32 (3, h, w), 0..1.
        alpha: float32 (h, w), 0..1.
        certainty: how fast a sample's say falls with its alpha; unset: what gives the least fringe.

    Returns:
        float32 (6, h, w): subject RGB, then background RGB.
    """
    subject = _pull_push(guide, alpha**certainty)
    background = _pull_push(guide, (1.0 - alpha) ** certainty)
    return np.concatenate([subject, background])


def _pull_push(colour: Plane, weight: Plane) -> Plane:
    """Weighted colours averaged down a pyramid, then filled in from coarse to fine."""
    levels = [np.concatenate([colour * weight, weight[None]])]
    while min(levels[-1].shape[1:]) > 2:
        levels.append(_halve(levels[-1]))
    top = levels[-1]
    total = top.sum(axis=(1, 2), keepdims=True)
    filled = np.broadcast_to(total[:3] / (total[3:] + np.float32(1e-6)), (3, *top.shape[1:]))
    for level in reversed(levels):
        if filled.shape[1:] != level.shape[1:]:
            filled = _double(filled, level.shape[1:])
        filled = (level[:3] + np.float32(COARSER_WEIGHT) * filled) / (level[3] + np.float32(COARSER_WEIGHT))
    return filled


def _halve(planes: Plane) -> Plane:
    """Means of 2x2 blocks; an odd last row or column is repeated."""
    _, h, w = planes.shape
    if h % 2 or w % 2:
        planes = np.pad(planes, ((0, 0), (0, h % 2), (0, w % 2)), mode="edge")
    rows = planes[:, 0::2] + planes[:, 1::2]
    return np.asarray((rows[:, :, 0::2] + rows[:, :, 1::2]) * 0.25, np.float32)


def _double(planes: Plane, shape: tuple[int, ...]) -> Plane:
    """Twice the size by linear interpolation between block centres, cut to `shape`."""
    for axis, length in ((1, shape[0]), (2, shape[1])):
        near = np.moveaxis(planes, axis, 0)
        size = list(planes.shape)
        size[axis] *= 2
        wide = np.empty(size, np.float32)
        even, odd = np.moveaxis(wide, axis, 0)[0::2], np.moveaxis(wide, axis, 0)[1::2]
        near_part = near * np.float32(0.75)
        far_part = near * np.float32(0.25)
        np.add(near_part[1:], far_part[:-1], out=even[1:])
        np.add(near_part[:1], far_part[:1], out=even[:1])
        np.add(near_part[:-1], far_part[1:], out=odd[:-1])
        np.add(near_part[-1:], far_part[-1:], out=odd[-1:])
        planes = wide.take(range(length), axis) if length < size[axis] else wide
    return planes


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
