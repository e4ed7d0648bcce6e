"""Says from the network's answer whether there is a subject at all. Not for finding or cleaning it: see
matte.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.networks.catalog import BUNDLED

# The rule. On an empty wall the network answers with haze: half-certain over large areas, nowhere certain.
# On a subject, however small, some pixels are certain. So the most certain 0.1 % of the pixels (102 of 320 x
# 320) decide: a subject has that many, and a lone hot pixel does not make one.
CERTAIN_SHARE: Final = 0.001

# Measured with the bundled networks as the product asks them, `python -m cutoutd.models.training.certainty --every 4`:
# of 149 photos with a subject the least certain reaches 0.961, of 149 crops that it fills or overflows 0.858. All 120
# made studio sweeps and textures stay at nothing, and of 54 rooms and house fronts, which may well be subjects, 43 are
# refused (44 at 0.9). A photo refused is a photo lost to its owner; an empty one is seen and thrown away.
CERTAIN: Final = 0.85

# Other networks are less sure of themselves: of 60 photos with a subject the least certain answer of u2netp was
# .934, on a close-up that of IS-Net .946.
CERTAIN_OF_OTHERS: Final = 0.9

# Where a few pixels are certain but they are less than this share of everything that is not plainly background, the
# answer is haze with a bright spot: rooms above the first limit have 0.019 and 0.004, the least of the views 0.106.
LEAST_CRISP: Final = 0.02
CRISP: Final = 0.8
NOT_BACKGROUND: Final = 0.1


class Reading(NamedTuple):
    """How a network's answer is to be read.

    certain: how sure its surest pixels must be for a subject, 0..1.
    decides: whether areas it left undecided are decided; see `haze.settled`.
    """

    certain: float
    decides: bool


# Other networks may mean glass by a flat half, so theirs is left alone.
OF_BUNDLED: Final = Reading(CERTAIN, decides=True)
OF_OTHERS: Final = Reading(CERTAIN_OF_OTHERS, decides=False)


def reading_of(model: str) -> Reading:
    """Calibrated for the bundled networks, careful with any other."""
    return OF_BUNDLED if model in BUNDLED else OF_OTHERS


def surest(alpha: NDArray[np.float32]) -> float:
    """The least certain of the most certain 0.1 % of the pixels of alpha float32 (h, w), not empty: 0..1."""
    count = _thousandth(alpha)
    return float(np.partition(alpha, alpha.size - count, axis=None)[-count])


def is_certain(alpha: NDArray[np.float32], limit: float) -> bool:
    """Whether `surest` reaches a limit; nothing has to be put in order for that."""
    return bool(np.count_nonzero(alpha >= limit) >= _thousandth(alpha))


def _thousandth(alpha: NDArray[np.float32]) -> int:
    return max(1, round(alpha.size * CERTAIN_SHARE))


def has_subject(alpha: NDArray[np.float32], certain: float = CERTAIN) -> bool:
    """Whether the network found something to cut out.

    Args:
        alpha: float32 (h, w) in 0..1, the network's answer at its own scale, before any refinement.
        certain: from `reading_of` the network that answered.

    Returns:
        False on empty walls, sweeps and plain textures; True as soon as 0.1 % of the pixels are certain.
    """
    if alpha.size == 0 or not is_certain(alpha, certain):
        return False
    touched = np.count_nonzero(alpha > NOT_BACKGROUND)
    return bool(np.count_nonzero(alpha > CRISP) >= LEAST_CRISP * touched)
