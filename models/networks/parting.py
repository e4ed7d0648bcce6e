"""Parts what hangs together in the network's answer: at its narrowest place, or where the photo's colours change.

Not for choosing what goes (fixups.py). Pure functions of planes at the answer's scale, and only run where somebody
asked for it by a point.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting.controls import components
from cutoutd.models.planes import Mask, Plane

Cell = tuple[int, int]

# How far a neck may be narrowed until it parts, in samples of the answer; each is tried in turn.
NECKS: Final = (1, 2, 3, 4, 6, 8, 11, 15, 20)
# Below this an answer does not hold two things together.
HOLDS: Final = 0.5
# The cost of a step: of any, of a colour as far as black from white, and of one through what is hardly there.
STEP, COLOUR, FAINT = 0.003, 1.0, 0.3
_AROUND: Final = ((-1, 0), (1, 0), (0, -1), (0, 1))


def at_a_neck(alpha: Plane, colours: Plane, cell: Cell, most: float, least: int) -> Mask | None:
    """The part around a cell that only a neck joins to the rest, or None where there is no neck.

    Args:
        alpha: float32 (h, w) in 0..1.
        colours: float32 (h, w, 3) in 0..1, the photo at that scale.
        cell: row and column in the part.
        most: the largest share of the answer's sum that may be a part, 0..1.
        least: what is left on each side of the neck has at least so many samples.
    """
    whole = alpha >= HOLDS
    reached = _thickness(whole, max(NECKS))
    # Narrowed, a part is no larger than whole; to find out how large it is whole takes long.
    largest = most * float(alpha.sum(dtype=np.float64))
    for neck in NECKS:
        labels = components(reached > neck, diagonal=False)
        own = _nearest_label(labels, cell, neck + 2)
        if not own:
            return None
        sizes = np.bincount(labels.ravel())
        others = [label for label in range(1, len(sizes)) if label != own and sizes[label] >= least]
        if sizes[own] < least or not others or sizes[own] > largest:
            continue
        part = nearer(alpha, colours, np.argwhere(labels == own), np.argwhere(np.isin(labels, others)))
        if float(alpha[part].sum(dtype=np.float64)) <= largest:
            return part
    return None


def nearer(
    alpha: Plane, colours: Plane, ones: Iterable[Iterable[int]], others: Iterable[Iterable[int]]
) -> Mask:
    """What lies nearer to some cells than to others, along ways through the subject and through like colours.

    Args:
        alpha: float32 (h, w) in 0..1; below .05 there is no way.
        colours: float32 (h, w, 3) in 0..1, the photo at that scale.
        ones: rows and columns of the first cells.
        others: of the second.
    """
    height, width = int(alpha.shape[0]), int(alpha.shape[1])
    cost = np.full(alpha.size, np.inf)
    first = np.zeros(alpha.size, np.bool_)
    heap: list[tuple[float, int, bool]] = []
    for cells, is_first in ((ones, True), (others, False)):
        heap += [(0.0, int(row) * width + int(column), is_first) for row, column in cells]
    heapq.heapify(heap)
    there: list[bool] = _listed((alpha >= 0.05).ravel())
    faint: list[float] = _listed((STEP + FAINT * (1.0 - alpha)).ravel())
    across = _differences(colours, axis=1)
    down = _differences(colours, axis=0)
    while heap:
        so_far, here, is_first = heapq.heappop(heap)
        if so_far >= cost[here]:
            continue
        cost[here], first[here] = so_far, is_first
        row, column = divmod(here, width)
        for y, x in _AROUND:
            if not (0 <= row + y < height and 0 <= column + x < width):
                continue
            other = here + y * width + x
            if there[other] and np.isinf(cost[other]):
                change = down[min(row, row + y)][column] if y else across[row][min(column, column + x)]
                heapq.heappush(heap, (so_far + faint[other] + COLOUR * change, other, is_first))
    return first.reshape(alpha.shape)


def _differences(colours: Plane, axis: int) -> list[list[float]]:
    """Between neighbours along an axis: the largest of the three channels."""
    return _listed(np.abs(np.diff(colours, axis=axis)).max(axis=2))


def _listed(values: NDArray[Any]) -> list[Any]:
    """Python's own numbers: a heap of them is five times as fast as one of NumPy's."""
    return values.tolist()


def _thickness(mask: Mask, most: int) -> NDArray[np.int32]:
    """How many times a mask can be narrowed by one sample before each place is gone, at most so many."""
    found = mask.astype(np.int32)
    for _ in range(most):
        wide = np.pad(mask, 1, mode="edge")  # the frame of the photo narrows nothing
        mask = mask & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        if not mask.any():
            break
        found += mask
    return found


def _nearest_label(labels: NDArray[np.int32], cell: Cell, reach: int) -> int:
    """The label at a cell, or the nearest one within so many samples; 0 where there is none."""
    if labels[cell]:
        return int(labels[cell])
    rows, columns = np.nonzero(labels)
    if not len(rows):
        return 0
    far = (rows - cell[0]) ** 2 + (columns - cell[1]) ** 2
    place = int(far.argmin())
    return int(labels[rows[place], columns[place]]) if far[place] <= reach**2 else 0
