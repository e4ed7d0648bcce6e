"""From the network's scale to the photo's: alpha at full resolution and the subject's colour at its edge.

Not for finding the subject (segmenter.py), not for the arithmetic of full-size pixels (fullsize.py), and not for what
one order makes of it (render.py).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting import foreground, guided, refiner
from cutoutd.models.matting.closed_form import solve_band
from cutoutd.models.matting.controls import MatteControls, edit_shapes
from cutoutd.models.matting.fullsize import Drawn, FullSize
from cutoutd.models.matting.parallel import both, side_by_side
from cutoutd.models.matting.resample import blocks, clip01, dilate, grid_step, onto_grid, reduced
from cutoutd.models.planes import Plane

Engine = Literal["plain", "guided", "learned", "auto"]
NATURAL = MatteControls()

# Samples along the longer side of the coefficient grid; below that, detail of the guide is lost.
GRID_LEAST = 400
# How far beyond half-transparent samples the photo may still move the edge, in model-scale samples.
BAND_REACH = 1.5
# Up to here (photos of 2,048 pixels) the learned engine spreads colours at the work scale, where wires and
# strands have pixels of their own; beyond, the four times coarser grid saves more time than it costs fringe.
FINE_COLOURS = 2
# Samples around the precise ones that their means are worked out with.
MEANS_MARGIN = 3
# A network's blurred answer is never quite sure: 2 % of it is background, 98 % subject. A precise one only
# suffers rounding: half of an 8-bit step.
UNSURE, PRECISE = 0.02, 0.002


def refine(
    alpha: NDArray[np.float32],
    photo: NDArray[np.uint8],
    *,
    engine: Engine = "learned",
    controls: MatteControls = NATURAL,
    closed_form: bool = False,
    blurred: bool = False,
    threads: int = 1,
    notes: list[str] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Brings a model-scale alpha to the photo's resolution and takes the background out of its edge colours.

    Args:
        alpha: float32 (h, w) in 0..1, any size, covering the whole photo (squashed is fine).
        photo: uint8 (H, W, 3), sRGB.
        engine: "plain" only resamples, "guided" follows the photo's edges with a colour guided filter,
            "learned" does so with the bundled refiner network, "auto" too, but is "guided" where so much of
            the photo is edge that the network would take long.
        controls: what the user asked of shapes and edges; unset: nothing is changed.
        closed_form: solve the band once more by closed-form matting (seconds to minutes; needs pymatting).
        blurred: whether the alpha is wider at its edges than the photo's, however near their sizes are: a bundled
            network's answer is, while a mask of somebody's own means what it says.
        threads: how many threads may work on the tiles; the result is the same for any number.
        notes: a list that takes a sentence for everything that was asked for and could not be done.

    Returns:
        alpha uint8 (H, W) and colour uint8 (H, W, 3): colour is the photo's own RGB where alpha is 255,
        0 where alpha is 0, and the estimated foreground colour in between and where only a crisp edge
        made alpha 255.

    Raises:
        ModelError: the refiner network was asked for and cannot be loaded.
    """
    full = prepare(
        alpha,
        photo,
        engine=engine,
        controls=controls,
        closed_form=closed_form,
        blurred=blurred,
        threads=threads,
        notes=notes,
    )
    return full.whole(threads)


def prepare(
    alpha: NDArray[np.float32],
    photo: NDArray[np.uint8],
    *,
    engine: Engine = "learned",
    controls: MatteControls = NATURAL,
    closed_form: bool = False,
    blurred: bool = False,
    threads: int = 1,
    notes: list[str] | None = None,
    work: Plane | None = None,
) -> FullSize:
    """As `refine`, but full-size pixels are worked out when they are asked for, a band of rows at a time.

    `work` is the photo from `work_copy`, where that was made meanwhile; unset: it is made when it is needed.
    """
    alpha = edit_shapes(np.asarray(alpha, np.float32), controls)
    shape = (photo.shape[0], photo.shape[1])
    enlargement = max(shape) / max(alpha.shape)
    enough = enlargement <= guided.SAME_SIZE
    drawn = None
    if engine in ("learned", "auto") and (blurred or not enough):
        most = refiner.CHOSEN_MOST if engine == "auto" else None
        trusted = max(enlargement, guided.SMALLER) if blurred else enlargement
        drawn = _learned(alpha, photo, threads, most, work, trusted)
    if drawn is None:
        drawn = _filtered(alpha, photo, follow=engine != "plain" and not enough, threads=threads)
    if closed_form:
        drawn = _solved(photo, drawn, [] if notes is None else notes)
    return FullSize(photo, drawn, controls)


def _filtered(alpha: Plane, photo: NDArray[np.uint8], *, follow: bool, threads: int = 1) -> Drawn:
    """The engines without a network: resampled, or guided by the photo."""
    shape = (photo.shape[0], photo.shape[1])
    edges = guided.steepness(alpha)
    trust = guided.trust(edges, max(shape) / max(alpha.shape)) if follow else np.zeros_like(alpha)
    # A precise alpha is kept sample by sample, which takes a grid finer than the alpha's own.
    least = max(alpha.shape) if trust.mean() > 0.5 else 2 * max(alpha.shape)
    step = grid_step(shape, max(GRID_LEAST, least))
    guide = reduced(photo, step, threads)
    grid = (guide.shape[1], guide.shape[2])
    trust = onto_grid(trust, shape, grid, step)
    coarse = flattened(onto_grid(alpha, shape, grid, step), trust)
    planes, band = _resampled(coarse)
    if follow and band.any():
        side = guided.block(edges, max(grid) / max(alpha.shape))
        planes, band = _guided(coarse, guide, trust, alpha, (shape[0] / step, shape[1] / step), side, threads)
    at_grid = np.clip(guided.apply(planes, guide), 0.0, 1.0)
    return Drawn(planes, band, step, foreground.spread_colours(guide, at_grid), step)


def work_copy(photo: NDArray[np.uint8], engine: Engine, threads: int = 1) -> Plane | None:
    """The photo at the scale that the learned engine works at: all that it needs before there is an answer.

    Returns:
        float32 (3, wh, ww), 0..1, or None where the engine is another or the photo is no larger itself.
    """
    step = refiner.work_step((photo.shape[0], photo.shape[1]))
    if step == 1 or engine not in ("learned", "auto"):
        return None
    return reduced(photo, step, threads)


def _learned(
    alpha: Plane,
    photo: NDArray[np.uint8],
    threads: int,
    most: int | None,
    made: Plane | None,
    enlargement: float,
) -> Drawn | None:
    """The refiner network at the work scale, the guided filter from there on.

    None where it would have to look at more than `most` pixels of that scale. The photo is followed as far as befits
    an alpha of which it is an `enlargement`.
    """
    shape = (photo.shape[0], photo.shape[1])
    work_step = refiner.work_step(shape)
    ratio = grid_step((shape[0] // work_step, shape[1] // work_step), max(GRID_LEAST, *alpha.shape))
    step = work_step * ratio
    work_shape = -(-shape[0] // work_step), -(-shape[1] // work_step)
    grid = -(-shape[0] // step), -(-shape[1] // step)
    plain = onto_grid(alpha, shape, grid, step)
    coarse = flattened(plain, np.ones_like(plain))
    reach = max(2, round(refiner.BAND_REACH * max(grid) / max(alpha.shape)))
    band = dilate((coarse > 0.0) & (coarse < 1.0) | guided.steps(coarse), reach)
    boxes = refiner.asked_boxes(band, ratio, work_shape)
    if most is not None and refiner.asked_for(boxes, work_shape) > most:
        return None
    # What the photo says and what the answer says are made at once, and so are the two results.
    work, edges = both(
        lambda: reduced(photo, work_step, threads) if made is None else made,
        lambda: guided.steepness(alpha),
        threads,
    )
    guide, scale = blocks(work, ratio), max(grid) / max(alpha.shape)
    hints = refiner.hint_planes(guide, plain, scale, guided.block(edges, scale), threads)
    hints[0] = coarse
    settled = refiner.redraw(work, hints, band, boxes, ratio, threads=threads)
    del hints  # a photo takes the most memory about here
    trust = guided.trust(edges, enlargement)
    if trust.min() < 1.0:
        _keep_means(settled, alpha, trust, band, (ratio, work_step), shape)
    fine = work_step <= FINE_COLOURS

    def spread() -> Plane:
        return foreground.spread_colours(
            *(work, settled) if fine else (guide, blocks(settled[None], ratio)[0])
        )

    # Each in one thread: of so many small steps more than two at once only wait for one another.
    (planes, band), colours = both(lambda: refiner.carried(work, settled, work_step), spread, threads)
    return Drawn(planes, band, work_step, colours, work_step if fine else step)


def _keep_means(
    settled: Plane,
    alpha: Plane,
    trust: Plane,
    band: NDArray[np.bool_],
    scales: tuple[int, int],
    shape: tuple[int, int],
) -> None:
    """Gives a precise alpha its means back: the network would soften or sharpen what is true already.

    Only around the samples that are precise, which mostly lie in a small part of the photo.

    Args:
        settled: the alpha at the work scale, float32 (wh, ww), changed in place.
        alpha: the alpha at its own scale, float32 (h, w).
        trust: how far to follow the photo, float32 (h, w), somewhere below 1.
        band: where the alpha may change, bool, on the grid.
        scales: work pixels per grid sample, and photo pixels per work pixel.
        shape: the photo's rows and columns.
    """
    ratio, step = scales
    precise = trust < 1.0
    rows, columns = (_around(np.logical_or.reduce(precise, axis)) for axis in (1, 0))
    down, across = (shape[axis] / step / alpha.shape[axis] for axis in (0, 1))
    part = (
        slice(int(rows.start * down), min(math.ceil(rows.stop * down) + 1, settled.shape[0])),
        slice(int(columns.start * across), min(math.ceil(columns.stop * across) + 1, settled.shape[1])),
    )
    fine = settled[part]
    box = (
        columns.start * across - part[1].start,
        rows.start * down - part[0].start,
        min(columns.stop * across - part[1].start, fine.shape[1]),
        min(rows.stop * down - part[0].start, fine.shape[0]),
    )
    doubt = 1.0 - onto_grid(trust, shape, (settled.shape[0], settled.shape[1]), step, part)
    near = band[np.ix_(*(np.arange(one.start, one.stop) // ratio for one in part))]
    missing = guided.missing_means(fine, alpha[rows, columns], box)
    fine[:] = clip01(fine + doubt * near * missing)


def _around(found: NDArray[np.bool_]) -> slice:
    """From the first true sample of an axis to the last, and as many more as an interpolation reads."""
    places = np.flatnonzero(found)
    return slice(max(0, int(places[0]) - MEANS_MARGIN), min(int(places[-1]) + 1 + MEANS_MARGIN, len(found)))


def _solved(photo: NDArray[np.uint8], drawn: Drawn, notes: list[str]) -> Drawn:
    """The same band solved by closed-form matting at the work scale; unchanged, with a note, if it cannot be."""
    first, _ = FullSize(photo, drawn._replace(planes=drawn.planes.copy()), NATURAL).whole()
    step = refiner.work_step((photo.shape[0], photo.shape[1]))
    known = reduced(first[:, :, None], step)[0]
    planes, band = solve_band(photo, known, step, notes)
    if planes is None:
        return drawn
    return Drawn(planes, band, step, drawn.colours, drawn.colour_step)


def flattened(alpha: Plane, trust: Plane) -> Plane:
    """Stretches the alpha so that flat areas are exactly flat; only slightly where it is precise already."""
    low = np.float32(PRECISE) + np.float32(UNSURE - PRECISE) * trust
    return clip01((alpha - low) / (1.0 - 2.0 * low))


def _resampled(coarse: Plane) -> tuple[Plane, NDArray[np.bool_]]:
    """The alpha alone as coefficients, and the band where it is not flat."""
    planes = np.zeros((4, *coarse.shape), np.float32)
    planes[3] = coarse
    return planes, dilate((coarse > 0.0) & (coarse < 1.0) | guided.steps(coarse), 2)


def _guided(
    coarse: Plane,
    guide: Plane,
    trust: Plane,
    alpha: Plane,
    covered: tuple[float, float],
    side: int,
    threads: int,
) -> tuple[Plane, NDArray[np.bool_]]:
    """Coefficients of alpha = a·RGB + b at every grid sample, and the band where they are not constant.

    Args:
        coarse: the alpha on the grid, float32 (gh, gw).
        guide: the photo on the grid, float32 (3, gh, gw).
        trust: how far to follow the photo, float32 (gh, gw): 1 for a blurred alpha, 0 for a precise one.
        alpha: the alpha at its own scale, float32 (h, w).
        covered: rows and columns of the grid that the photo fills (the last block may be partial).
        side: of the blocks that a blurred alpha is fitted on, in grid samples.
        threads: how many may work at once.
    """
    planes, _ = _resampled(coarse)
    scale = max(coarse.shape) / max(alpha.shape)
    band = dilate((coarse > 0.0) & (coarse < 1.0) | guided.steps(coarse), max(2, round(BAND_REACH * scale)))

    def followed() -> Plane:
        fitted, _ = guided.fitted(guide, coarse, scale, side)
        fitted *= np.float32(guided.CONTRAST)
        fitted[3] += np.float32(0.5 - 0.5 * guided.CONTRAST)
        return trust * fitted

    def kept() -> Plane:
        fitted, _ = guided.coefficients(guide, coarse, max(2, round(guided.PRECISE_RADIUS * scale)))
        return (1.0 - trust) * guided.keep_means(fitted, guide, alpha, covered)

    in_band = trust[band]
    needed = ((followed, in_band.max() > 0.0), (kept, in_band.min() < 1.0))
    fitted = np.zeros_like(planes)
    for part in side_by_side(lambda way: way(), [way for way, wanted in needed if wanted], threads):
        fitted += part
    return np.asarray(planes + band * (fitted - planes), np.float32), dilate(band, 2)
