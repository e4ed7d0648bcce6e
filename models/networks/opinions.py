"""How often the bundled networks are asked about one photo: seldom where the first answer is sure, often where it is
not.

A pure function of one plane; the segmenter does the asking. What each further opinion is worth, by how much doubt the
first one left: models/training/NOTES.md, "As many opinions as the photo needs".
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from cutoutd.models.planes import Alpha

# The doubt of a first answer up to which the deciding network is asked once, of the photo as it is: more than half of
# all photos have less, and what it says of the mirror image moves their outlines by nothing that could be measured.
SURE: Final = 0.045
# From this much doubt on, one photo in seven, the first network is shown the mirror image too.
DOUBTFUL: Final = 0.1


class Opinions(NamedTuple):
    """What else is asked once the first network has answered.

    mirrored: the first network about the mirror image; the mean of both counts.
    decided_twice: whether the deciding network is asked about the mirror image too.
    """

    mirrored: bool
    decided_twice: bool


USUAL: Final = Opinions(mirrored=False, decided_twice=True)


def doubt_in(first: Alpha) -> float:
    """How much of an answer is undecided: what its values lack to the nearer of 0 and 1, as a share of its subject.

    Args:
        first: float32 (h, w) in 0..1.

    Returns:
        From 0; 1 where there is no subject.
    """
    subject = float(first.sum(dtype=np.float64))
    return float(np.minimum(first, 1 - first).sum(dtype=np.float64)) / subject if subject > 0 else 1.0


def opinions(first: Alpha) -> Opinions:
    """What else to ask about a photo of which this is the first answer, float32 (h, w) in 0..1."""
    doubt = doubt_in(first)
    if doubt <= SURE:
        return Opinions(mirrored=False, decided_twice=False)
    return USUAL if doubt < DOUBTFUL else Opinions(mirrored=True, decided_twice=True)
