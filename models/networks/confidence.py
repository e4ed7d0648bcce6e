"""How likely a cutout is right, told from the network's answer alone, and in words why it may not be.

Not for deciding whether there is a subject at all (subject.py). A pure function of one plane; no mask is needed.

The network's alphas are honest chances: where it says .7, seven of ten such pixels are subject. So the overlap with the
truth can be expected without knowing it: what is taken for subject counts as far as it is sure, what is left away as
far as it is not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting.controls import components
from cutoutd.models.networks.doubt import Doubt
from cutoutd.models.networks.subject import is_certain
from cutoutd.models.planes import Alpha

# Expected overlap, and the mean IoU that held-out photos with it really had (596 validation photos as the product
# answers them, in thirteen groups, those put together whose means did not rise).
CALIBRATION: Final = (
    (0.00, 0.00),
    (0.735, 0.601),
    (0.84, 0.694),
    (0.878, 0.768),
    (0.907, 0.852),
    (0.928, 0.876),
    (0.944, 0.903),
    (0.951, 0.912),
    (0.964, 0.949),
    (0.976, 0.975),
    (0.983, 0.981),
    (1.00, 0.99),
)
# Below this expected IoU a person should look: of the photos whose IoU is below .8 it catches 75 %, and flags 16 % of
# the others (596 held-out photos, both halves apart: 78 and 16 %, 72 and 16 %).
REVIEW_BELOW: Final = 0.88

# Half-tones as a share of the subject, from which they are given as the reason.
HAZY: Final = 0.15
HALF_TONES: Final = (0.1, 0.9)
# Share of the frame's pixels that the subject takes up.
TOUCHED: Final = 0.03
# A photo with a subject below this share of it was seen in few pixels.
SMALL: Final = 0.02
# Separate pieces of at least this share of the largest are subjects of their own. They are a reason and not a cause: of
# photos with two that are sure otherwise, one in twenty is wrong, as of all (504 held-out photos, 20 of them such).
SECOND: Final = 0.25
# Pieces are told apart where the answer falls below this.
APART: Final = 0.35
# The surest pixels of an ordinary answer lie above this (all but one of 596 held-out photos); below it there may be no
# subject at all, whatever the overlap says.
CERTAIN: Final = 0.97


class Confidence(NamedTuple):
    """What to expect of one cutout.

    iou: the expected overlap with the truth, 0..1, calibrated on held-out photos; None where nobody can say, since a
        network that is not ours answered, or nothing was looked for.
    review: whether a person should look at it.
    reasons: why, the weightiest first; empty where `review` is False.
    """

    iou: float | None
    review: bool
    reasons: tuple[Doubt, ...] = ()


def confidence(alpha: Alpha) -> Confidence:
    """Judge one answer of a bundled network.

    Args:
        alpha: float32 (h, w) in 0..1, at the network's own scale, before anything is decided or redrawn.
    """
    taken = alpha > 0.5
    if not taken.any():
        return Confidence(0.0, review=True, reasons=(Doubt.FAINT,))
    expected, real = zip(*CALIBRATION, strict=True)
    iou = float(np.interp(expected_overlap(alpha), expected, real))
    if iou >= REVIEW_BELOW and is_certain(alpha, CERTAIN):
        return Confidence(iou, review=False)
    return Confidence(iou, review=True, reasons=_reasons(alpha, taken))


def with_doubt(judged: Confidence, doubt: Doubt) -> Confidence:
    """The same for a photo that somebody should look at for another reason too, which comes first."""
    return judged._replace(review=True, reasons=(doubt, *judged.reasons))


def expected_overlap(alpha: Alpha) -> float:
    """The IoU (0..1) of `alpha > 0.5` with a truth of which every alpha is the chance; 0 where none is above."""
    taken = alpha > 0.5
    sure, missed = float(alpha[taken].sum(dtype=np.float64)), float(alpha[~taken].sum(dtype=np.float64))
    both = np.count_nonzero(taken) + missed
    return sure / both if both > 0 else 0.0


def _reasons(alpha: Alpha, taken: NDArray[np.bool_]) -> tuple[Doubt, ...]:
    area = int(np.count_nonzero(taken))
    half = (alpha > HALF_TONES[0]) & (alpha < HALF_TONES[1])
    inside, beside = np.count_nonzero(half & taken) / area, np.count_nonzero(half & ~taken) / area
    frame = np.concatenate([taken[0], taken[-1], taken[:, 0], taken[:, -1]])
    found = [
        (not is_certain(alpha, CERTAIN), Doubt.FAINT),
        (inside > HAZY and inside >= beside, Doubt.INSIDE),
        (beside > HAZY, Doubt.BESIDE),
        (inside > HAZY and inside < beside, Doubt.INSIDE),
        (_several(alpha), Doubt.TWO),
        (area < SMALL * alpha.size, Doubt.SMALL),
        (float(frame.mean()) > TOUCHED, Doubt.FRAME),
    ]
    named = tuple(doubt for applies, doubt in found if applies)
    return named or (Doubt.OUTLINE,)


def _several(alpha: Alpha) -> bool:
    """Whether more than one large piece stands for itself."""
    labels = components(alpha > APART, diagonal=True)
    sizes = np.sort(np.bincount(labels[alpha > 0.5])[1:])
    return len(sizes) > 1 and bool(sizes[-2] >= SECOND * sizes[-1])
