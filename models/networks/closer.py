"""A second look from nearby: which part of a photo is worth one, and how its answer joins the first.

Not for running the network (segmenter.py). A subject that fills a third of the frame gets a third of the network's
pixels; shown alone it gets all of them, and what confused the network beside it is gone. Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from cutoutd.models.planes import Alpha

# What the first looks give this much may be subject, and belongs to the part.
POSSIBLE: Final = 0.3
# Room around it: this share of its own side, and this share of the photo's.
MARGIN, FRAME_MARGIN = 0.12, 0.02
# A part of nearly the whole photo shows nothing new.
LARGEST_SHARE: Final = 0.72
# Fewer samples than this across, at the network's 320, and there is nothing to see.
LEAST_SAMPLES: Final = 8
# Answers are averaged as logits, where "certain" outweighs "perhaps"; beyond these a look is as sure as it can be.
SURE: Final = np.float32(0.001)


class Part(NamedTuple):
    """A rectangle of the photo in shares of its sides, 0..1."""

    top: float
    bottom: float
    left: float
    right: float

    def pixels(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of the part in a picture of that size; at least one each."""
        top, left = int(self.top * height), int(self.left * width)
        bottom, right = int(np.ceil(self.bottom * height)), int(np.ceil(self.right * width))
        return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def worth_a_look(alpha: Alpha) -> Part | None:
    """The part around everything that may be subject, or None where that is nothing or nearly the whole photo.

    Args:
        alpha: float32 (h, w) in 0..1, the first looks' answer, covering the whole photo.
    """
    part = around(alpha, POSSIBLE, MARGIN, FRAME_MARGIN)
    if part is None or (part.bottom - part.top) * (part.right - part.left) >= LARGEST_SHARE:
        return None
    return part


def around(alpha: Alpha, possible: float, margin: float, frame_margin: float = 0.0) -> Part | None:
    """The rectangle around everything above `possible`, or None where that is hardly anything.

    Args:
        alpha: float32 (h, w) in 0..1, covering the whole photo.
        possible: 0..1.
        margin: room around it, a share of its own side ...
        frame_margin: ... and a share of the photo's.
    """
    above = alpha > possible
    sides: list[tuple[float, float]] = []
    for axis, length in ((1, alpha.shape[0]), (0, alpha.shape[1])):
        found = np.flatnonzero(above.any(axis))
        if len(found) < LEAST_SAMPLES:
            return None
        first, last = found[0] / length, (found[-1] + 1) / length
        room = margin * (last - first) + frame_margin
        sides.append((max(0.0, first - room), min(1.0, last + room)))
    return Part(*sides[0], *sides[1])


def joined(looks: Sequence[Alpha], near: Alpha | None = None, part: Part | None = None) -> Alpha:
    """The mean of several looks as logits, with a nearby look where it saw something.

    Args:
        looks: float32 (h, w) in 0..1 each, of the whole photo.
        near: float32 (h', w') in 0..1, the look at `part`; None: there was none.
        part: where `near` lies.

    Returns:
        float32 (h, w) in 0..1.
    """
    total = np.add.reduce([as_logit(look) for look in looks])
    count = np.float32(len(looks))
    if near is None or part is None:
        return as_alpha(total / count)
    window = part.pixels(*total.shape)
    rows, columns = total[window].shape
    shrunk = Image.fromarray(near).resize((columns, rows), Image.Resampling.BOX)
    mean = total / count
    mean[window] = (total[window] + as_logit(np.asarray(shrunk, np.float32))) / (count + 1)
    return as_alpha(mean)


def stretched(answer: Alpha, shape: tuple[int, ...]) -> Alpha:
    """An answer float32 (h, w) at another (height, width), bilinear; the same array where it has that already."""
    if answer.shape == shape:
        return answer
    image = Image.fromarray(np.ascontiguousarray(answer))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32)


def as_logit(alpha: Alpha) -> Alpha:
    """Alpha 0..1 to its logit, held in beyond SURE."""
    held = np.clip(alpha, SURE, 1 - SURE)
    return np.asarray(np.log(held / (1 - held)), np.float32)


def as_alpha(logit: Alpha) -> Alpha:
    """Back to SURE .. 1 - SURE; never exactly 0 or 1, which the matte stage takes for a mask drawn by hand."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)), np.float32)
