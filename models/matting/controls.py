"""What the user may ask of a matte: solid bodies, no holes, no islands, harder or softer edges, a larger outline.

Not for following the photo's edges (matte.py). Whole shapes are judged on the model-scale alpha, where it
is cheap; edges are worked on at full size, in pixels the user can count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cutoutd.models.matting.resample import dilate
from cutoutd.models.planes import Plane

Edge = Literal["crisp", "natural", "soft"]
Bytes = NDArray[np.uint8]

# A pixel belongs to a shape, as people see it, from a quarter of full opacity on.
SHAPE = 0.25
# How far the faint rim of a shape reaches, in model-scale samples: two to three in what networks answer.
RIM = 4
CRISP_GAIN = 2.0  # halves the width of every edge
SOFT_SHARE = 0.0005  # blur radius of a soft edge by the photo's longer side: 3 pixels of 6,000


@dataclass(frozen=True)
class MatteControls:
    """All controls; the defaults change nothing.

    edge: "crisp" halves the edge's width, "soft" feathers it.
    solidify: 0..1, how strongly half-transparent interiors become opaque; edges stay as they are.
    fill_holes: False none, True all, a number: holes up to that share of the photo in percent.
    keep: "all", "largest", or how many of the largest shapes stay.
    min_island: shapes smaller than this share of the photo, in percent, go.
    grow: pixels at full size by which the outline grows; negative shrinks it.
    longer_side: of the photo in pixels, where only a part of it is matted: a soft edge is as wide as on all of it.
        0: what is matted is the whole photo.
    """

    edge: Edge = "natural"
    solidify: float = 0.0
    fill_holes: bool | float = False
    keep: Literal["all", "largest"] | int = "all"
    min_island: float = 0.0
    grow: float = 0.0
    longer_side: int = 0

    def reach(self, longer_side: int) -> int:
        """How many full-size pixels beyond a pixel its edited alpha depends on."""
        feather = 3 * math.ceil(soft_radius(longer_side)) if self.edge == "soft" else 0
        return math.ceil(abs(self.grow)) + feather


def soft_radius(longer_side: int) -> float:
    """Blur radius of a soft edge in full-size pixels."""
    return max(1.0, SOFT_SHARE * longer_side)


def edit_shapes(alpha: Plane, controls: MatteControls) -> Plane:
    """Islands, holes and half-transparent bodies at model scale; float32 (h, w) in and out, 0..1."""
    wanted = 1 if controls.keep == "largest" else controls.keep
    if wanted != "all" or controls.min_island > 0:
        count = None if wanted == "all" else int(wanted)
        alpha = drop_islands(alpha, count, controls.min_island)
    if controls.fill_holes is not False:
        most = 100.0 if controls.fill_holes is True else float(controls.fill_holes)
        alpha = fill_holes(alpha, most)
    if controls.solidify > 0:
        alpha = solidify(alpha, float(controls.solidify))
    return alpha


def move_edges(alpha: Bytes, controls: MatteControls) -> Bytes:
    """Grown or shrunk: uint8 (h, w) in and out, at the photo's own size."""
    if controls.grow > 0:
        return grow(alpha, controls.grow)
    if controls.grow < 0:
        return 255 - grow(255 - alpha, -controls.grow)
    return alpha


def finish_edges(alpha: Bytes, edge: Edge, longer_side: int) -> Bytes:
    """Crisp or soft: uint8 (h, w) in and out, at the photo's own size; for edges that were moved before."""
    if edge == "crisp":
        return CRISP_TABLE[alpha]
    if edge == "soft":
        blur = ImageFilter.GaussianBlur(soft_radius(longer_side))
        return np.asarray(Image.fromarray(alpha).filter(blur))
    return alpha


def _crisp_table() -> Bytes:
    value = (np.arange(256) - 127.5) * CRISP_GAIN + 127.5
    return (np.clip(value, 0, 255) + 0.5).astype(np.uint8)


CRISP_TABLE = _crisp_table()


def grow(alpha: Bytes, pixels: float) -> Bytes:
    """The maximum over a disc; a fraction of a pixel mixes the two nearest whole discs."""
    whole = math.floor(pixels)
    share = pixels - whole
    grown = _disc_maximum(alpha, whole)
    if share < 0.01:
        return grown
    wider = _disc_maximum(alpha, whole + 1)
    return (grown * (1 - share) + wider * share + 0.5).astype(np.uint8)


def _disc_maximum(alpha: Bytes, radius: int) -> Bytes:
    """Maximum over all pixels within `radius`; row by row of the disc."""
    if radius == 0:
        return alpha
    h, w = alpha.shape
    padded = np.pad(alpha, radius, mode="edge")
    result = np.zeros_like(alpha)
    for dy in range(-radius, radius + 1):
        half = math.floor(math.sqrt(radius * radius - dy * dy))
        rows = padded[radius + dy : radius + dy + h]
        result = np.maximum(result, _run_maximum(rows, radius, half, w))
    return result


def _run_maximum(rows: Bytes, centre: int, half: int, width: int) -> Bytes:
    """Maximum over columns centre-half..centre+half, by windows that double."""
    span, covered = rows[:, centre - half : centre + half + width], 1
    length = 2 * half + 1
    while covered < length:
        step = min(covered, length - covered)
        span = np.maximum(span[:, : span.shape[1] - step], span[:, step:])
        covered += step
    return span


def solidify(alpha: Plane, strength: float) -> Plane:
    """Raises what lies inside a body towards opaque; the outer rim keeps its softness.

    Args:
        alpha: float32 (h, w), 0..1.
        strength: 0..1; at 1 everything inside from a quarter opacity on becomes opaque.
    """
    body = alpha >= SHAPE
    inside = ~dilate(~body, RIM // 2)
    high = 1.0 - strength * (1.0 - SHAPE)
    lifted = np.clip(alpha / np.float32(high), 0.0, 1.0)
    return np.where(inside, lifted, alpha)


def drop_islands(alpha: Plane, keep: int | None, min_percent: float) -> Plane:
    """Clears all but the `keep` largest shapes (None: any number), and those under `min_percent` of the photo.

    A shape's size is the sum of its alpha; the largest shape always stays. float32 (h, w) in and out, 0..1.
    """
    labels = components(alpha >= SHAPE, diagonal=True)
    sizes = np.bincount(labels.ravel(), weights=alpha.ravel())
    sizes[0] = 0.0
    order = np.argsort(-sizes, kind="stable")
    stays = np.zeros(len(sizes), np.bool_)
    stays[order[: len(sizes) if keep is None else max(1, keep)]] = True
    stays &= sizes >= min_percent / 100 * alpha.size
    stays[order[0]] = True
    stays[0] = False
    kept = stays[labels]
    # A faint rim goes with the shape it surrounds; rims of shapes that stay are left alone.
    return np.where(dilate(kept, RIM) & ~_core(labels, stays), alpha, np.float32(0.0))


def _core(labels: NDArray[np.int32], stays: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of dropped shapes themselves."""
    return (labels > 0) & ~stays[labels]


def fill_holes(alpha: Plane, max_percent: float) -> Plane:
    """Makes enclosed transparent areas opaque, up to `max_percent` of the photo each; float32 (h, w), 0..1."""
    labels = components(alpha < 0.5, diagonal=False)
    sizes = np.bincount(labels.ravel())
    fills = sizes <= max_percent / 100 * alpha.size
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    fills[border] = False
    fills[0] = False
    hole = fills[labels]
    # The hole's own soft rim, too; but never beyond the body into the open background.
    rim = dilate(hole, RIM) & ~dilate((labels > 0) & ~hole, RIM)
    return np.where(hole | rim, np.float32(1.0), alpha)


def components(mask: NDArray[np.bool_], *, diagonal: bool) -> NDArray[np.int32]:
    """Labels connected areas 1, 2, …, and everything else 0; runs of each row joined by union-find.

    Args:
        mask: bool (h, w).
        diagonal: whether touching corners connect.

    Returns:
        int32 (h, w), numbered in the order of their first pixels.
    """
    h, w = mask.shape
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    parent = list(range(len(row)))

    def root(i: int) -> int:
        """The number that stands for all that hangs together with this one."""
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: list[int] = np.searchsorted(row, np.arange(h + 1, dtype=np.int64)).tolist()
    starts: list[int] = start.tolist()
    stops: list[int] = stop.tolist()
    slack = 1 if diagonal else 0
    for y in range(1, h):
        above, here = first[y - 1], first[y]
        while above < first[y] and here < first[y + 1]:
            if starts[above] < stops[here] + slack and starts[here] < stops[above] + slack:
                a, b = root(above), root(here)
                parent[max(a, b)] = min(a, b)
            if stops[above] < stops[here]:
                above += 1
            else:
                here += 1
    roots = np.array([root(i) for i in range(len(row))], np.int64)
    _, names = np.unique(roots, return_inverse=True)
    change = np.zeros((h, w + 1), np.int32)
    np.add.at(change, (row, start), names.astype(np.int32) + 1)
    np.add.at(change, (row, stop), -(names.astype(np.int32) + 1))
    return np.cumsum(change, axis=1, dtype=np.int32)[:, :w]
