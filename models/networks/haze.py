"""Settles what the network left undecided over an area, and leaves its edges alone. Not for full-resolution edges.

Where a small network is unsure of a whole area it answers with a flat value between 0 and 1; nothing in the photo is
half there. An edge, hair or defocus crosses the same values on a short way. So an alpha's own local range tells the
two apart: flat values are pushed to one side, steep ones stay what they are. Which side, and how firmly, depends on the
photo: where the rest of the answer is sure, an area in doubt belongs to the subject more often than where it is not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from cutoutd.models.matting.resample import dilate
from cutoutd.models.networks.confidence import expected_overlap
from cutoutd.models.planes import Alpha

# Side of the window, in samples of the network's 320; an edge is two to four samples wide, and hair begins beside it.
WINDOW: Final = 7
# Local ranges: below the first all haze, above the second all edge.
FLAT, STEEP = 0.3, 0.6


class Firmness(NamedTuple):
    """How flat values are decided.

    parts: the value that becomes 0.5.
    gain: what the logit of a flat value is multiplied by, counted from there; 1 and parting at 0.5 change nothing.
    """

    parts: float
    gain: float


# The expected overlap of an answer in much doubt and of one that is sure, and how each is decided; between them, in
# between. Over whole areas the network says too much, and in photos that it does not understand far too much
# (models/training/NOTES.md, "Where haze parts, photo by photo").
DOUBTFUL: Final = (0.72, Firmness(0.78, 4.0))
SURE: Final = (0.95, Firmness(0.55, 10.0))


def firmness(overlap: float) -> Firmness:
    """How to decide an answer with this `confidence.expected_overlap`, 0..1."""
    (low, doubtful), (high, sure) = DOUBTFUL, SURE
    share = min(1.0, max(0.0, (overlap - low) / (high - low)))
    return Firmness(*(one + (other - one) * share for one, other in zip(doubtful, sure, strict=True)))


def settled(alpha: Alpha) -> Alpha:
    """A bundled network's alpha, float32 (h, w) in 0..1, with its undecided areas decided as befits the photo."""
    return clear_haze(alpha, firmness(expected_overlap(alpha)))


def clear_haze(alpha: Alpha, how: Firmness) -> Alpha:
    """The alpha with its undecided areas decided.

    Args:
        alpha: float32 (h, w) in 0..1, at the network's own scale.
        how: on which side of what a flat value falls, and how far.

    Returns:
        float32 (h, w) in 0..1; unchanged where the local range is above STEEP.
    """
    if alpha.size == 0:
        return alpha
    levels = (alpha * np.float32(255)).astype(np.uint8)
    highest, lowest = dilate(levels, WINDOW // 2), ~dilate(~levels, WINDOW // 2)
    spread = (highest - lowest).astype(np.float32)
    t = (spread * np.float32(1 / 255) - np.float32(FLAT)) * np.float32(1 / (STEEP - FLAT))
    t = t.clip(0.0, 1.0)
    edge = t * t * (3.0 - 2.0 * t)
    # The sigmoid of gain times the logit, written so that 0 and 1 stay exactly what they are.
    leaning = (alpha * np.float32(1 - how.parts)) ** np.float32(how.gain)
    against = ((1.0 - alpha) * np.float32(how.parts)) ** np.float32(how.gain)
    decided = leaning / (leaning + against)
    return np.asarray(edge * alpha + (1.0 - edge) * decided, np.float32)
