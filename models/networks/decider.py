"""A second stage that decides: what in a first answer is subject, told from the part of the photo around it.

Not for running networks (segmenter.py). The network is bundled (`decider.onnx`, trained by `training.decider` on what
cutout-m got wrong); it sees a part of the photo from nearby and what the looks before said of it. In the manner of
CascadePSP (Cheng and others, 2020): refine a mask by a network that is shown it. Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.networks.closer import Part, around, as_alpha, as_logit, stretched
from cutoutd.models.planes import Alpha

Planes = NDArray[np.float32]
# Some inputs, {"photo": float32 (1, 3, SIDE, SIDE), "hints": float32 (1, 1, SIDE, SIDE)}, to as many answers, float32
# (SIDE, SIDE) in 0..1.
Ask = Callable[[list[dict[str, Planes]]], Sequence[Alpha]]

# Of what it is shown, in pixels; it was trained at this size.
SIDE: Final = 256
# What the first answer gives this much may be subject; room around it in shares of its own side. What lies beyond stays
# as it is.
POSSIBLE: Final = 0.1
MARGIN: Final = 0.12
# How much of the answer is its own: the mean, as logits, of both.
SHARE: Final = 0.7
# The hint is a logit, held where no answer is surer, in units of four: what the network was trained on.
HINT_SURE: Final = 0.002
HINT_SCALE: Final = np.float32(4)


def part_to_decide(first: Alpha) -> Part | None:
    """The part around everything that may be subject, in whole samples of `first`; None: nothing is.

    Args:
        first: float32 (h, w) in 0..1, covering the whole photo.
    """
    part = around(first, POSSIBLE, MARGIN)
    if part is None:
        return None
    height, width = first.shape
    rows, columns = part.pixels(height, width)
    return Part(
        rows.start / height,
        min(1.0, rows.stop / height),
        columns.start / width,
        min(1.0, columns.stop / width),
    )


def decided(
    first: Alpha,
    part: Part,
    planes: Planes,
    ask: Ask,
    share: float = SHARE,
    *,
    mirrored: bool = True,
) -> Alpha:
    """The first answer with what the second stage says of one part of it.

    Args:
        first: float32 (h, w) in 0..1.
        part: from `part_to_decide`.
        planes: float32 (3, SIDE, SIDE), that part of the photo, normalised as for the first network.
        ask: the deciding network.
        share: how much of the answer is its own.
        mirrored: whether it is shown the part's mirror image too, and what it says of both averaged.

    Returns:
        float32 (h, w) in 0..1; beyond the part as it was.
    """
    rows, columns = part.pixels(*first.shape)
    hint = _hint(stretched(first[rows, columns], (SIDE, SIDE)))
    feed = {"photo": planes[np.newaxis], "hints": hint[np.newaxis, np.newaxis]}
    if mirrored:
        image = {name: np.ascontiguousarray(each[..., ::-1]) for name, each in feed.items()}
        plain, other = ask([feed, image])
        answer = as_alpha((as_logit(plain) + as_logit(other[:, ::-1])) * np.float32(0.5))
    else:
        (answer,) = ask([feed])
    logits = as_logit(first)
    inside = logits[rows, columns]
    own = as_logit(stretched(answer, inside.shape))
    logits[rows, columns] = inside * np.float32(1 - share) + own * np.float32(share)
    return as_alpha(logits)


def _hint(answer: Alpha) -> Alpha:
    held = answer.clip(HINT_SURE, 1 - HINT_SURE)
    return np.asarray(np.log(held / (1 - held)), np.float32) / HINT_SCALE
