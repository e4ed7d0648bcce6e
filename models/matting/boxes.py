"""Cuts a band into boxes, so that work with a margin around it sees few pixels twice; not for grids of tiles.

An edge is thin and runs anywhere: square tiles on a grid would be mostly margin and flat interior.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.int64]


class Box(NamedTuple):
    """Rows top..bottom and columns left..right, the last of each not included."""

    top: int
    bottom: int
    left: int
    right: int

    def times(self, ratio: int, shape: tuple[int, ...]) -> Box:
        """The same box on a grid `ratio` times as fine, of `shape` rows and columns."""
        bottom, right = min(self.bottom * ratio, shape[0]), min(self.right * ratio, shape[1])
        return Box(self.top * ratio, bottom, self.left * ratio, right)

    def widened(self, margin: int, shape: tuple[int, ...]) -> Box:
        """With a margin around it, as far as there are rows and columns."""
        return Box(
            max(0, self.top - margin),
            min(shape[0], self.bottom + margin),
            max(0, self.left - margin),
            min(shape[1], self.right + margin),
        )


def cut(
    band: NDArray[np.bool_], *, margin: float, call: float, largest: tuple[int, int] = (64, 256)
) -> list[Box]:
    """Boxes that cover the band once, cut wherever the pieces with their margins cost less than the whole.

    Args:
        band: bool (h, w).
        margin: samples that the work on a box sees beyond it on each side.
        call: what each box costs besides its samples, in samples.
        largest: rows and columns of a box at most.

    Returns:
        Disjoint boxes, each just as large as the band in it, the largest first: of several threads none waits for one
        that began its last box late. None for an empty band.
    """
    rows, columns = band.shape
    starts = [(y, x) for y in range(0, rows, largest[0]) for x in range(0, columns, largest[1])]
    coarse = (_fitted(band, _cell(band.shape, start, largest)) for start in reversed(starts))
    waiting, found = [box for box in coarse if box], list[Box]()
    while waiting:
        box = waiting.pop()
        own = (box.bottom - box.top + 2 * margin) * (box.right - box.left + 2 * margin)
        part = band[box.top : box.bottom, box.left : box.right]
        if own <= _least_of_two(part, margin) + call:
            found.append(box)
            continue
        down, row = _best_cut(part.T, margin)
        across, column = _best_cut(part, margin)
        if min(down, across) + call >= own:
            found.append(box)
            continue
        pieces = (
            (box._replace(right=box.left + column), box._replace(left=box.left + column))
            if across <= down
            else (box._replace(bottom=box.top + row), box._replace(top=box.top + row))
        )
        waiting += [piece for piece in (_fitted(band, each) for each in reversed(pieces)) if piece]
    return sorted(found, key=lambda box: (box.bottom - box.top) * (box.right - box.left), reverse=True)


def _cell(shape: tuple[int, ...], start: tuple[int, int], largest: tuple[int, int]) -> Box:
    (y, x), (rows, columns) = start, largest
    return Box(y, min(y + rows, shape[0]), x, min(x + columns, shape[1]))


def _fitted(band: NDArray[np.bool_], box: Box) -> Box | None:
    """The part of a box between the outermost samples of the band; None where there are none."""
    part = band[box.top : box.bottom, box.left : box.right]
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    if not len(rows):
        return None
    return Box(
        box.top + int(rows[0]),
        box.top + int(rows[-1]) + 1,
        box.left + int(columns[0]),
        box.left + int(columns[-1]) + 1,
    )


def _least_of_two(part: NDArray[np.bool_], margin: float) -> float:
    """What two pieces of a box cost at the very least, with their margins: a quick look that spares most searches.

    Together they hold the band, and their rows, and their columns, are all of those that the band touches.
    """
    sides = int(np.count_nonzero(part.any(0))) + int(np.count_nonzero(part.any(1)))
    return int(np.count_nonzero(part)) + 2 * margin * sides + 8 * margin**2


def _best_cut(part: NDArray[np.bool_], margin: float) -> tuple[float, int]:
    """The cheapest cut before a column: the samples of both pieces with their margins, and the column.

    Args:
        part: bool (h, w), the band in one box that fits it.
        margin: as for `cut`.
    """
    h, w = part.shape
    if w < 2:
        return np.inf, 0
    used: NDArray[np.bool_] = np.asarray(part.any(0), np.bool_)
    first: _Numbers = np.where(used, np.argmax(part, axis=0), np.int64(h))
    last: _Numbers = np.where(used, np.int64(h) - np.argmax(part[::-1], axis=0), np.int64(0))
    left = _areas(first, last, used, margin)[:-1]
    right = _areas(first[::-1], last[::-1], used[::-1], margin)[:-1][::-1]
    both = left + right
    best = int(both.argmin())
    return float(both[best]), best + 1


def _areas(first: _Numbers, last: _Numbers, used: NDArray[np.bool_], margin: float) -> NDArray[np.float64]:
    """Samples, with margins, of the fitted box around the columns up to each column."""
    height = np.maximum.accumulate(last) - np.minimum.accumulate(first)
    width = np.maximum.accumulate(np.where(used, np.arange(1, len(used) + 1), 0))
    return (height + 2 * margin) * (width + 2 * margin)
