"""Says from the network's answer whether there is a subject at all. Not for finding or cleaning it: see
matte.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.catalog import BUNDLED

# The rule. On an empty wall the network answers with haze: half-certain over large areas, nowhere certain.
# On a subject, however small, some pixels are certain. So the most certain 0.1 % of the pixels (102 of 320 x
# 320) decide: a subject has that many, and a lone hot pixel does not make one.
CERTAIN_SHARE: Final = 0.001

# Measured with cutout-s at 320 px, asked once or averaged with its mirrored look, on the 596 validation
# photos, 302 crops of them that the subject overflows, and 140 pictures without a subject. At 0.97 none of
# the photos is refused (the lowest reaches 0.9705) and 5 of the overflowing crops; 67 or 68 of 70 made studio
# sweeps and textures are recognised, 5 of 6 brick walls, lawns and gravel paths, and a quarter to a half of
# the rooms and house fronts, which may well be subjects. At 0.985 all walls and lawns are, but up to 1 photo
# and 12 crops are lost: refusing a subject is worse.
CERTAIN: Final = 0.97

# Other networks are less sure of themselves: of 60 photos with a subject the least certain answer of u2netp was
# .934, on a close-up that of IS-Net .946.
CERTAIN_OF_OTHERS: Final = 0.9

# Where a few pixels are certain but they are less than this share of everything that is not plainly
# background, the answer is haze with a bright spot. No subject of the same photos is below 0.136.
LEAST_CRISP: Final = 0.1
CRISP: Final = 0.9
NOT_BACKGROUND: Final = 0.1


class Reading(NamedTuple):
    """How a network's answer is to be read.

    certain: how sure its surest pixels must be for a subject, 0..1.
    haze_gain: from 1 up, how firmly areas it left undecided are decided; see `haze.clear_haze`.
    """

    certain: float
    haze_gain: float


# The gain: see models/training/NOTES.md. Other networks may mean glass by a flat half, so theirs is left alone.
OF_BUNDLED: Final = Reading(CERTAIN, 1.5)
OF_OTHERS: Final = Reading(CERTAIN_OF_OTHERS, 1.0)


def reading_of(model: str) -> Reading:
    """Calibrated for the bundled network, careful with any other."""
    return OF_BUNDLED if model == BUNDLED else OF_OTHERS


def has_subject(alpha: NDArray[np.float32], certain: float = CERTAIN) -> bool:
    """Whether the network found something to cut out.

    Args:
        alpha: float32 (h, w) in 0..1, the network's answer at its own scale, before any refinement.
        certain: from `reading_of` the network that answered.

    Returns:
        False on empty walls, sweeps and plain textures; True as soon as 0.1 % of the pixels are certain.
    """
    if alpha.size == 0:
        return False
    count = max(1, round(alpha.size * CERTAIN_SHARE))
    surest = np.partition(alpha, alpha.size - count, axis=None)[-count]
    if surest < certain:
        return False
    touched = np.count_nonzero(alpha > NOT_BACKGROUND)
    return bool(np.count_nonzero(alpha > CRISP) >= LEAST_CRISP * touched)
