"""Settles what the network left undecided over an area, and leaves its edges alone. Not for full-resolution edges.

Where a small network is unsure of a whole area it answers with a flat value between 0 and 1; nothing in the photo is
half there. An edge, hair or defocus crosses the same values on a short way. So an alpha's own local range tells the
two apart: flat values are pushed to the side they lean to, steep ones stay what they are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting.resample import dilate

# Side of the window, in samples of the network's 320; a network's edge is two to four samples wide.
WINDOW: Final = 5
# Where flat values part. Over whole areas the bundled networks say too much: those at .61 are subject as often as not
# (1,501 areas of held-out photos). Nearly there, so that little of the subject goes with the leftovers.
PIVOT: Final = 0.58
# Local ranges: below the first all haze, above the second all edge.
FLAT, STEEP = 0.3, 0.6


def clear_haze(alpha: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """The alpha with its undecided areas decided.

    Args:
        alpha: float32 (h, w) in 0..1, at the network's own scale.
        gain: what the logit of a flat value is multiplied by, counted from PIVOT, which becomes 0.5; 1 changes
            nothing.

    Returns:
        float32 (h, w) in 0..1; unchanged where the local range is above STEEP.
    """
    if gain == 1.0 or alpha.size == 0:
        return alpha
    levels = (alpha * np.float32(255)).astype(np.uint8)
    highest, lowest = dilate(levels, WINDOW // 2), ~dilate(~levels, WINDOW // 2)
    spread = (highest - lowest).astype(np.float32)
    t = (spread * np.float32(1 / 255) - np.float32(FLAT)) * np.float32(1 / (STEEP - FLAT))
    t = t.clip(0.0, 1.0)
    edge = t * t * (3.0 - 2.0 * t)
    # The sigmoid of gain times the logit, written so that 0 and 1 stay exactly what they are.
    leaning = (alpha * np.float32(1 - PIVOT)) ** np.float32(gain)
    against = ((1.0 - alpha) * np.float32(PIVOT)) ** np.float32(gain)
    decided = leaning / (leaning + against)
    return np.asarray(edge * alpha + (1.0 - edge) * decided, np.float32)
