"""Finds a head from the outline of the alpha alone, for portraits of a set size; it recognises no faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.rendering.layout import Head

# Crown to chin measures about 1.4 times the width of a head with its hair (232 mm by 155 mm bare: 1.5), and about
# twice the width of the neck (115 mm), which hair does not change.
_HEIGHT_PER_WIDTH, _HEIGHT_PER_NECK = 1.4, 2.0
# What makes an outline that of a head. Of 460 masks of people, in full length and groups too, 90 % pass; of 690 of
# things, cats and flowers 9 to 14 % (the training photos).
_PROPORTIONS = 0.85, 1.8  # crown to chin, in widths of the head
# This far down, a round head is this wide; a box or a spike is not.
_NEAR_CROWN, _ROUNDNESS = (0.08, (0.3, 0.85))
_LEAST_NECK = 0.4  # in widths of the head; a stem is thinner
_SHOULDERS = 1.25  # times as wide as the head at least, soon below the neck
_LEAST_SHARE = 0.12, 0.09  # of the subject's width and height: a grown person measures seven and a half heads
# Rows are looked at no finer than this: the outline of a head needs no more, and 50 megapixels cost time.
_ROWS = 512


def find_head(alpha: NDArray[np.uint8]) -> Head | None:
    """The head of a portrait: the topmost part of the subject down to where the neck begins.

    Args:
        alpha: uint8 (H, W), the matte of one person, upright.

    Returns:
        Crown, chin and middle in pixels of `alpha`, or None where the outline is nothing like head and shoulders.
    """
    step = max(1, alpha.shape[0] // _ROWS)
    solid = alpha[::step, ::step] > 127
    rows = np.flatnonzero(solid.any(axis=1))
    if rows.size < 8:  # a handful of rows is no portrait
        return None
    crown = int(rows[0])
    widths, middles = _outline(solid, crown)
    head_width = _head_width(widths)
    if head_width is None:
        return None
    chin = _chin(widths, head_width)
    subject = (int(solid.any(axis=0).sum()), rows.size)
    if not _is_plausible(widths, head_width, chin, subject):
        return None
    middle = float(np.median(middles[: max(1, chin)]))
    return Head(crown=crown * step, chin=(crown + chin) * step, middle=(middle + 0.5) * step)


def _is_plausible(
    widths: NDArray[np.float64], head_width: float, chin: int, subject: tuple[int, int]
) -> bool:
    """Whether this outline is that of a head on a neck and shoulders.

    Args:
        widths: of the outline, row by row from the crown down.
        head_width: at the ears.
        chin: rows from crown to chin.
        subject: columns and rows of the whole subject.
    """
    ears = round(head_width * _HEIGHT_PER_WIDTH / 2)
    at_top = widths[min(widths.size - 1, round(chin * _NEAR_CROWN))] / head_width
    near = widths[ears : 3 * ears]
    wide = np.flatnonzero(near > _SHOULDERS * head_width)
    if not wide.size:
        return False
    neck, lower = near[: wide[0]].min(initial=head_width), widths[chin : chin + round(1.5 * chin)]
    return bool(
        _PROPORTIONS[0] <= chin / head_width <= _PROPORTIONS[1]
        and _ROUNDNESS[0] <= at_top <= _ROUNDNESS[1]
        and head_width >= _LEAST_SHARE[0] * subject[0]
        and chin >= _LEAST_SHARE[1] * subject[1]
        and neck >= _LEAST_NECK * head_width
        and lower.max(initial=0.0) >= _SHOULDERS * head_width
    )


def _outline(solid: NDArray[np.bool_], crown: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Width and middle, row by row from the crown down, of the run that hangs together with the crown."""
    centre = float(np.flatnonzero(solid[crown]).mean())
    widths: list[float] = []
    middles: list[float] = []
    for row in solid[crown:]:
        left, right = _run(row, centre)
        if right <= left:
            break
        centre = (left + right - 1) / 2
        widths.append(right - left)
        middles.append(centre)
    width = np.asarray(widths, np.float64)
    # Five rows smooth single strands of hair away without moving the neck.
    padded = np.pad(width, 2, mode="edge")
    return np.convolve(padded, np.ones(5) / 5, mode="valid"), np.asarray(middles, np.float64)


def _run(row: NDArray[np.bool_], centre: float) -> tuple[int, int]:
    """The unbroken run of True that holds `centre`, or else the nearest one: (start, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    if edges.size == 0:
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    distance = np.maximum(0, np.maximum(starts - centre, centre - (ends - 1)))
    nearest = int(np.argmin(distance))
    return int(starts[nearest]), int(ends[nearest])


def _head_width(widths: NDArray[np.float64]) -> float | None:
    """The width at the height of the ears: the first row that lies half a head below the crown."""
    depth = np.arange(1, widths.size + 1)
    reached = np.flatnonzero(depth >= widths * _HEIGHT_PER_WIDTH / 2)
    if reached.size == 0 or widths[reached[0]] < 4:
        return None
    return float(widths[: reached[0] + 1].max())


def _chin(widths: NDArray[np.float64], head_width: float) -> int:
    """Rows from crown to chin: from the neck where the outline shows one, else by proportion to the head."""
    ears = round(head_width * _HEIGHT_PER_WIDTH / 2)
    below = widths[ears : 3 * ears]
    shoulders = np.flatnonzero(below > 1.35 * head_width)
    below = below[: int(shoulders[0])] if shoulders.size else below
    if below.size == 0 or below.min() > 0.85 * head_width:  # long hair or a scarf: no neck to be seen
        return min(round(head_width * _HEIGHT_PER_WIDTH), widths.size)
    neck = float(below.min())
    narrow = ears + np.flatnonzero(below < 1.1 * neck)
    # The chin lies no higher than where the jaw meets the neck, and a high collar hides little of it.
    highest, lowest = float(narrow[0]), float(narrow[-1]) + 0.3 * neck
    return round(min(max(_HEIGHT_PER_NECK * neck, highest), lowest))
