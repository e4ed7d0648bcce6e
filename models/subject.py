"""Says from the network's answer whether there is a subject at all. Not for finding or cleaning it: see matte.py."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# The rule. On an empty wall the network answers with haze: half-certain over large areas, nowhere certain. On a subject,
# however small, some pixels are certain. So the most certain 0.1 % of the pixels (102 of 320 x 320) decide: a subject
# has that many, and a lone hot pixel does not make one.
CERTAIN_SHARE: Final = 0.001

# Measured with cutout-s at 320 px on 596 photos with a subject (the validation photos) and 140 without: at 0.985 no
# photo with a subject is refused (the lowest of them reaches 0.991), and every studio sweep, plain texture, brick wall,
# lawn and gravel path without one is recognised, as are four in ten rooms and house fronts. From 0.993 up subjects are
# lost (2 of 596); at 0.97 one texture in ten passes for a subject.
CERTAIN: Final = 0.985

# Where a few pixels are certain but they are less than this share of everything that is not plainly background, the
# answer is haze with a bright spot. No subject of the same photos is below 0.178.
LEAST_CRISP: Final = 0.1
CRISP: Final = 0.9
NOT_BACKGROUND: Final = 0.1


def has_subject(alpha: NDArray[np.float32]) -> bool:
    """Whether the network found something to cut out.

    Args:
        alpha: float32 (h, w) in 0..1, the network's answer at its own scale, before any refinement.

    Returns:
        False on empty walls, sweeps and plain textures; True as soon as 0.1 % of the pixels are certain.
    """
    if alpha.size == 0:
        return False
    count = max(1, round(alpha.size * CERTAIN_SHARE))
    certain = np.partition(alpha, alpha.size - count, axis=None)[-count]
    if certain < CERTAIN:
        return False
    touched = np.count_nonzero(alpha > NOT_BACKGROUND)
    return bool(np.count_nonzero(alpha > CRISP) >= LEAST_CRISP * touched)
