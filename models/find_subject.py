"""Where a photo's subject is: the network's answer for the whole photo or one region, with the user's own points.

It decides what is shown to the network and whether what it answers is a subject; the outline is `matting/`'s business.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.lengths import parse_roi
from cutoutd.config.matte import Matte
from cutoutd.models.decoding.colour import Convert, to_srgb
from cutoutd.models.decoding.photo import Photo
from cutoutd.models.networks.confidence import Confidence, confidence
from cutoutd.models.networks.fixups import corrected
from cutoutd.models.networks.haze import settled
from cutoutd.models.networks.strays import tidied
from cutoutd.models.networks.subject import OF_BUNDLED, Reading, has_subject
from cutoutd.models.planes import Plane
from cutoutd.models.rendering.layout import Box


class Sees(Protocol):
    """Anything that finds the subject: in production `cutoutd.models.networks.segmenter.Segmenter`."""

    def alpha(
        self,
        rgb: NDArray[np.uint8],
        *,
        lone: bool = True,
        to_srgb: Convert | None = None,
        reduced: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.float32]:
        """RGB uint8 (H, W, 3), which `to_srgb` brings to sRGB → alpha float32 (h, w) in 0..1 at the model's scale.

        `reduced` is the same photo averaged over blocks, where that is at hand.
        """
        ...


class Found(NamedTuple):
    """Where the subject is, as the network sees it.

    alpha: float32 (h, w) in 0..1, at the network's own scale.
    box: the part of the photo that it covers, beyond which nothing belongs to the subject; None: all of it.
    confidence: how likely it is right; None where the network is not one of ours, or nothing was looked for.
    """

    alpha: NDArray[np.float32]
    box: Box | None = None
    confidence: Confidence | None = None


def find_subject(
    photo: Photo,
    segmenter: Sees,
    matte: Matte,
    *,
    lone: bool = True,
    reading: Reading = OF_BUNDLED,
    fixes: Fixes = NOTHING_FIXED,
    work: Plane | None = None,
) -> Found:
    """The network's alpha, of the region of interest alone where the settings name one; it is shown sRGB.

    `work` is the photo from `matte.work_copy`, where that was made already.

    Raises:
        PhotoError: no subject was found and the settings do not pass such photos on, or `fixes` cannot be followed.
    """
    box = region(matte.roi, photo.rgb.shape[1], photo.rgb.shape[0])
    seen = photo.rgb if box is None else photo.rgb[inside(box)]

    def look(rgb: NDArray[np.uint8], reduced: NDArray[np.uint8] | None = None) -> NDArray[np.float32]:
        """The network's answer."""
        return segmenter.alpha(rgb, lone=lone, to_srgb=to_srgb(photo.icc), reduced=reduced)

    alpha = look(seen, None if work is None or box is not None else _levels(work))
    if fixes:
        height, width = photo.rgb.shape[:2]
        part = (0, 0, width, height) if box is None else (box.left, box.top, box.width, box.height)
        alpha = settled(alpha) if reading.decides else alpha
        alpha = corrected(alpha, fixes, (height, width), part, seen, look)
    if not has_subject(alpha, reading.certain):
        if matte.no_subject == "pass":
            return Found(np.ones_like(alpha))
        if fixes.keep:  # a crumb around a point is no cutout, and the advice to set one is no help
            raise PhotoError(
                Reason.NO_SUBJECT,
                "Around the points that were set too little stands out for a subject",
                fix="Nothing was written. Set more points with --keep x,y, or give a mask with --mask.",
            )
        raise PhotoError(
            Reason.NO_SUBJECT,
            "No subject stands out in this photo",
            fix="Nothing was written. Where there is one, say so with --keep x,y, --roi or --mask, for `cutoutd redo` "
            'or `once`. To hand such photos on unchanged, set no_subject = "pass"; to try a larger model, see '
            "`cutoutd models list`.",
        )
    judged = confidence(alpha) if reading == OF_BUNDLED else None
    if reading.decides:
        # What a point keeps is 1 from there on.
        wanted = alpha >= 1.0 if fixes.keep else None
        alpha = tidied(alpha, wanted) if matte.keep == "auto" else settled(alpha)
    return Found(alpha, box, judged)


def _levels(planes: Plane) -> NDArray[np.uint8]:
    """Planes float32 (3, h, w) in 0..1 as a picture uint8 (h, w, 3)."""
    picture = np.empty((*planes.shape[1:], 3), np.uint8)
    for channel, plane in enumerate(planes):  # each stays in the cache: a third of the time of all at once
        picture[..., channel] = (plane * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return picture


def region(roi: str, width: int, height: int) -> Box | None:
    """The region of interest in whole pixels, at least 8 px wide and high, or None for all."""
    lengths = parse_roi(roi)
    if not lengths:
        return None
    sides = (width, height, width, height)
    edges = [
        round(one.value * side / 100) if one.percent else round(one.value)
        for one, side in zip(lengths, sides, strict=True)
    ]
    left, top = max(0, min(edges[0], width - 8)), max(0, min(edges[1], height - 8))
    right, bottom = min(width, max(edges[2], left + 8)), min(height, max(edges[3], top + 8))
    return Box(left, top, right, bottom)


def inside(box: Box) -> tuple[slice, slice]:
    """A region as rows and columns of a picture."""
    return slice(box.top, box.bottom), slice(box.left, box.right)
