"""Carries what points say of a photo to what looks like it around them; knows no regions and no network (fixups.py).

Algorithm: the random walker (L. Grady, "Random Walks for Image Segmentation", 2006) with the answer as prior
("Multilabel Random Walker Image Segmentation Using Prior Models", 2005). Each sample's chance is what a walker that
sets out there reaches first, points or the answer; it crosses the photo's edges seldom. Where a way of like colours
leads to a point, however long, the answer counts for less. Only run where somebody set a point.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.planes import Plane

Exact = NDArray[np.float64]
Cell = tuple[int, int]

# Longest side of the grid that is solved, that of our networks' answers; finer answers are changed by what it says.
SIDE: Final = 320
# How much less often an edge is crossed: by e per 1/100 of squared distance between two colours, 1/1000 at least.
CONTRAST, LEAST_CROSSING = 100.0, 0.001
# How much the answer counts beside one neighbour, far from any point and right at one.
TRUST, LEAST_TRUST = 0.01, 1e-7
# The length of a way at which a point's say has fallen to 1/e. A sample is a short way, and so is grain; a change of
# colour counts by its square, by itself where it is a tenth of black to white.
FAR, STEP, EDGE = 0.5, 0.002, 0.1
# Beyond this nothing is left of it.
FARTHEST: Final = 2.0 * FAR
# A point is a disc of this radius, in samples.
RADIUS: Final = 3
# Where a point has any say, what the walker decides otherwise is decided, but for a narrow rim, and so is haze that it
# sees differently; what was sure and stays on its side is left alone.
HAS_SAY, HAZE, DIFFERS, STEEPNESS = 0.05, 0.4, 0.1, 12.0
# A point is worth many times the neighbours around it.
_POINT: Final = 1e3
# What is left of any sample's equation; 400 steps of 100,000 samples take less than a second.
_TOLERANCE, _MOST_STEPS = 1e-4, 400


def carried(alpha: Plane, colours: Plane, keep: Sequence[Cell], remove: Sequence[Cell]) -> Plane:
    """The answer with the surroundings of each point decided as the point says.

    Args:
        alpha: float32 (h, w) in 0..1.
        colours: float32 (h, w, 3) in 0..1, the photo at that scale.
        keep: rows and columns of what belongs to the subject; exactly 1 around there afterwards.
        remove: of what does not.
    """
    if not keep and not remove:
        return alpha
    small, seen, scale = _reduced(alpha, colours)
    kept, removed = ([_scaled(cell, scale, small.shape) for cell in cells] for cells in (keep, remove))
    # Where the answer agrees with a point already, the point only holds on to it.
    to_keep = _loudest(seen, [cell for cell in kept if small[cell] < 0.5])
    to_remove = _loudest(seen, [cell for cell in removed if small[cell] >= 0.5])
    say = np.maximum(to_keep, to_remove)
    points = [*((cell, 1.0) for cell in kept), *((cell, 0.0) for cell in removed)]
    chance = _solved(small, seen, say, points)
    decided = 1.0 / (1.0 + np.exp(-STEEPNESS * (chance - 0.5)))
    # Beside a point nothing goes the other way: what is removed makes no haze a subject.
    decided = np.where(to_keep > to_remove, np.maximum(decided, small), np.minimum(decided, small))
    turned = (decided >= 0.5) != (small >= 0.5)
    haze = (np.abs(small - 0.5) < HAZE) & (np.abs(decided - small) >= DIFFERS)
    changed = (say > HAS_SAY) & (turned | haze)
    for cell, value in points:
        disc = _disc(cell, small.shape)
        decided[disc], changed[disc] = value, True
    if small.shape == alpha.shape:
        return np.where(changed, decided, alpha).astype(np.float32)
    height, width = int(alpha.shape[0]), int(alpha.shape[1])
    share = _enlarged(changed.astype(np.float32), (width, height))
    there = _enlarged(decided.astype(np.float32), (width, height))
    return (alpha + share * (there - alpha)).astype(np.float32)


def _loudest(colours: Exact, cells: Sequence[Cell]) -> Exact:
    """The most that any of these points has to say at each sample, 0..1."""
    say = np.zeros(colours.shape[:2], np.float64)
    for cell in cells:
        np.maximum(say, _say(colours, cell), out=say)
    return say


def _reduced(alpha: Plane, colours: Plane) -> tuple[Exact, Exact, float]:
    """Answer and colours on the grid that is solved, and its samples per sample of the answer."""
    scale = min(1.0, SIDE / max(alpha.shape))
    if scale == 1.0:
        return alpha.astype(np.float64), colours.astype(np.float64), 1.0
    size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
    planes = [alpha, *(np.ascontiguousarray(colours[..., k]) for k in range(3))]
    small = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX), np.float64) for plane in planes
    ]
    return small[0], np.stack(small[1:], axis=2), scale


def _enlarged(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR), np.float32)


def _scaled(cell: Cell, scale: float, shape: tuple[int, ...]) -> Cell:
    return min(int(cell[0] * scale), shape[0] - 1), min(int(cell[1] * scale), shape[1] - 1)


def _disc(cell: Cell, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - cell[0]) ** 2 + (columns - cell[1]) ** 2 <= RADIUS**2


def _say(colours: Exact, cell: Cell) -> Exact:
    """How much a point has to say at each sample, 0..1, by the shortest way there through like colours.

    On every second row and column: it only weighs, and a way on the whole grid takes four times as long.
    """
    thin = colours[::2, ::2]
    height, width = thin.shape[:2]
    steps = np.zeros((height, width))
    for axis in (0, 1):
        change = np.abs(np.diff(thin, axis=axis)).max(axis=2)
        after = np.pad(change, [(0, 1) if one == axis else (0, 0) for one in (0, 1)])
        steps = np.maximum(steps, after)
    costs: list[float] = (steps**2 / EDGE + 2 * STEP).ravel().tolist()
    far: list[float] = [FARTHEST] * (height * width)
    start = min(cell[0] // 2, height - 1) * width + min(cell[1] // 2, width - 1)
    far[start] = 0.0
    heap: list[tuple[float, int]] = [(0.0, start)]
    while heap:
        so_far, here = heapq.heappop(heap)
        if so_far > far[here]:
            continue
        row, column = divmod(here, width)
        for there, inside in (
            (here - width, row > 0),
            (here + width, row < height - 1),
            (here - 1, column > 0),
            (here + 1, column < width - 1),
        ):
            if inside and (further := so_far + (costs[here] + costs[there]) / 2) < far[there]:
                far[there] = further
                heapq.heappush(heap, (further, there))
    say = np.exp(-((np.asarray(far).reshape(height, width) / FAR) ** 2))
    say[say <= np.exp(-((FARTHEST / FAR) ** 2))] = 0.0
    return say.repeat(2, axis=0).repeat(2, axis=1)[: colours.shape[0], : colours.shape[1]]


def _solved(prior: Exact, colours: Exact, say: Exact, points: Sequence[tuple[Cell, float]]) -> Exact:
    """The walker's chances, 0..1: a linear system, by conjugate gradients."""
    across = np.exp(-CONTRAST * (np.diff(colours, axis=1) ** 2).sum(axis=2)) + LEAST_CROSSING
    down = np.exp(-CONTRAST * (np.diff(colours, axis=0) ** 2).sum(axis=2)) + LEAST_CROSSING
    trust = TRUST * (1.0 - say) + LEAST_TRUST
    wanted, start = trust * prior, prior.copy()
    for cell, value in points:
        disc = _disc(cell, prior.shape)
        trust[disc], wanted[disc], start[disc] = _POINT, _POINT * value, value
    own = trust.copy()
    own[:, :-1] += across
    own[:, 1:] += across
    own[:-1] += down
    own[1:] += down

    def applied(chance: Exact) -> Exact:
        """The system's matrix times a plane."""
        out = own * chance
        out[:, :-1] -= across * chance[:, 1:]
        out[:, 1:] -= across * chance[:, :-1]
        out[:-1] -= down * chance[1:]
        out[1:] -= down * chance[:-1]
        return out

    return np.clip(_conjugate_gradients(applied, wanted, own, start), 0.0, 1.0)


def _conjugate_gradients(
    applied: Callable[[Exact], Exact], wanted: Exact, diagonal: Exact, start: Exact
) -> Exact:
    """What `applied` makes `wanted` of, from a start, preconditioned by the matrix's diagonal."""
    found = start.copy()
    residual = wanted - applied(found)
    direction = eased = residual / diagonal
    energy = float((residual * eased).sum())
    for _ in range(_MOST_STEPS):
        if float(np.abs(residual).max()) <= _TOLERANCE or energy <= 0.0:
            break
        image = applied(direction)
        length = energy / float((direction * image).sum())
        found += length * direction
        residual -= length * image
        eased = residual / diagonal
        before, energy = energy, float((residual * eased).sum())
        direction = eased + energy / before * direction
    return found
