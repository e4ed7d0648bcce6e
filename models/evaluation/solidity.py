"""What a retoucher would touch up by hand: haze inside and outside, thin parts cut to pieces. Pure functions.

Not for how near an outline is (scores.py). "Away from the edge" is further than 2 % of the photo's diagonal from the
true outline, in a square window; the frame of the photo is no outline here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cutoutd.models.evaluation.scores import TRIMAP_GREY, eroded, is_trimap
from cutoutd.models.planes import Alpha, Mask

# Of the photo's diagonal; the same band as boundary IoU's.
AWAY_SHARE: Final = 0.02
# A half-tone is neither of both to the eye: from here to here.
HALF_TONES: Final = (0.1, 0.9)
# Corners of a pixel's surroundings, clockwise from above: (down, right).
_AROUND: Final = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


class Solidity(Struct, frozen=True):
    """One alpha beside one mask; shares 0..1, nan where the mask has no such place.

    Args:
        not_solid: of the subject away from the edge, the share with alpha below .9.
        half_tones: half-tones (.1 to .9) away from the edge, inside or outside, per pixel of subject.
        leftovers: alpha of .1 and more outside, away from the edge, per pixel of subject.
        skeleton: of the mask's skeleton, the share with alpha above .5: thin parts count as much as thick ones.
    """

    not_solid: float
    half_tones: float
    leftovers: float
    skeleton: float


def solidity(alpha: Alpha, mask: NDArray[np.uint8]) -> Solidity:
    """Judge one answer.

    Args:
        alpha: float32 (H, W) in 0..1, already at the mask's size.
        mask: uint8 (H, W); above 128 is subject; in a trimap 128 is not judged, and counts as edge.

    Raises:
        ValueError: the shapes differ.
    """
    if alpha.shape != mask.shape:
        raise ValueError(f"alpha {alpha.shape} and mask {mask.shape} differ in size")
    truth = mask > TRIMAP_GREY
    outside = mask < TRIMAP_GREY if is_trimap(mask) else ~truth
    area = int(np.count_nonzero(truth))
    if not area:
        return Solidity(*(float("nan"),) * 4)
    radius = max(1, round(AWAY_SHARE * float(np.hypot(*mask.shape))))
    inner, outer = (eroded(one, radius, frame_is_edge=False) for one in (truth, outside))
    low, high = HALF_TONES
    half = (alpha >= low) & (alpha < high) & (inner | outer)
    return Solidity(
        not_solid=share_of(alpha < high, inner),
        half_tones=float(np.count_nonzero(half) / area),
        leftovers=float(np.count_nonzero((alpha >= low) & outer) / area),
        skeleton=share_of(alpha > 0.5, thinned(truth)),
    )


def share_of(found: Mask, among: Mask) -> float:
    """The share of `among` that is `found`, both bool (H, W): 0..1; nan where `among` is empty."""
    count = int(np.count_nonzero(among))
    return float(np.count_nonzero(found & among) / count) if count else float("nan")


def mean_solidity(each: list[Solidity]) -> Solidity:
    """Means over photos, each over those where it exists."""

    def mean(name: str) -> float:
        """Of one measure over those that have it; NaN where none has."""
        values = [value for one in each if not np.isnan(value := float(getattr(one, name)))]
        return float(np.mean(values)) if values else float("nan")

    return Solidity(**{name: mean(name) for name in Solidity.__struct_fields__})


def thinned(mask: Mask) -> Mask:
    """The skeleton: one pixel wide and connected (Zhang and Suen 1984). bool (H, W) in and out."""
    image = np.pad(mask, 1)
    while True:
        before = int(np.count_nonzero(image))
        for first_half in (True, False):
            image[1:-1, 1:-1] &= ~_removable(image, first_half=first_half)
        if int(np.count_nonzero(image)) == before:
            return image[1:-1, 1:-1].copy()


def _removable(image: Mask, *, first_half: bool) -> Mask:
    """The pixels that one half of a round may take away without breaking a line."""
    height, width = image.shape
    p = [
        image[1 + down : height - 1 + down, 1 + right : width - 1 + right].astype(np.uint8)
        for down, right in _AROUND
    ]
    count = sum(p[1:], p[0])
    changes = sum(((1 - p[k]) & p[(k + 1) % 8] for k in range(1, 8)), (1 - p[0]) & p[1])
    north, east, south, west = p[0], p[2], p[4], p[6]
    if first_half:
        sides = (north & east & south == 0) & (east & south & west == 0)
    else:
        sides = (north & east & west == 0) & (north & south & west == 0)
    return np.asarray(image[1:-1, 1:-1] & (count >= 2) & (count <= 6) & (changes == 1) & sides)
