"""From the network's scale to the photo's: alpha at full resolution and the subject's colour at its edge.

Not for finding the subject (segmenter.py), and not for what one order makes of it (render.py).
Full-size arithmetic happens only in tiles that the edge band touches; all others are copied or left zero.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutoutd.models import foreground, guided, refiner
from cutoutd.models.closed_form import solve_band
from cutoutd.models.matte_controls import MatteControls, edit_edges, edit_shapes
from cutoutd.models.parallel import side_by_side
from cutoutd.models.resample import (
    Plane,
    Span,
    blocks,
    clip01,
    dilate,
    grid_step,
    onto_grid,
    reduced,
    spans,
    tiles,
    upsample,
)

Engine = Literal["plain", "guided", "learned", "auto"]
NATURAL = MatteControls()
LEVELS: Final = np.float32(255)

# Samples along the longer side of the coefficient grid; below that, detail of the guide is lost.
GRID_LEAST = 400
# Full-size tiles: small enough that flat ones are common, large enough that threads seldom wait for one
# another: with 128 two of them are slower than one.
TILE = 256
# How far beyond half-transparent samples the photo may still move the edge, in model-scale samples.
BAND_REACH = 1.5
# Up to here (photos of 2,048 pixels) the learned engine spreads colours at the work scale, where wires and
# strands have pixels of their own; beyond, the four times coarser grid saves more time than it costs fringe.
FINE_COLOURS = 2
# A network's blurred answer is never quite sure: 2 % of it is background, 98 % subject. A precise one only
# suffers rounding: half of an 8-bit step.
UNSURE, PRECISE = 0.02, 0.002


def refine(
    alpha: NDArray[np.float32],
    photo: NDArray[np.uint8],
    *,
    engine: Engine = "guided",
    controls: MatteControls = NATURAL,
    closed_form: bool = False,
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
        threads: how many threads may work on the tiles; the result is the same for any number.
        notes: a list that takes a sentence for everything that was asked for and could not be done.

    Returns:
        alpha uint8 (H, W) and colour uint8 (H, W, 3): colour is the photo's own RGB where alpha is 255,
        0 where alpha is 0, and the estimated foreground colour in between.

    Raises:
        ModelError: the refiner network was asked for and cannot be loaded.
    """
    alpha = edit_shapes(np.asarray(alpha, np.float32), controls)
    shape = (photo.shape[0], photo.shape[1])
    enough = max(shape) <= guided.SAME_SIZE * max(alpha.shape)
    drawn = None
    if engine in ("learned", "auto") and not enough:
        drawn = _learned(alpha, photo, threads, refiner.CHOSEN_MOST if engine == "auto" else None)
    if drawn is None:
        drawn = _filtered(alpha, photo, follow=engine != "plain" and not enough, threads=threads)
    if closed_form:
        drawn = _solved(photo, drawn, [] if notes is None else notes)
    return _compose(photo, drawn, controls, threads)


class Drawn(NamedTuple):
    """An alpha ready to be brought to full size.

    planes: coefficients of alpha = a·RGB + b, float32 (4, h, w), one sample per `step` pixels.
    band: where the alpha is not flat, bool (h, w).
    colours: spread subject and background colour, float32 (6, ch, cw), one sample per `colour_step` pixels.
    """

    planes: Plane
    band: NDArray[np.bool_]
    step: int
    colours: Plane
    colour_step: int


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
    coarse = _flatten(onto_grid(alpha, shape, grid, step), trust)
    planes, band = _resampled(coarse)
    if follow and band.any():
        side = guided.block(edges, max(grid) / max(alpha.shape))
        planes, band = _guided(coarse, guide, trust, alpha, (shape[0] / step, shape[1] / step), side, threads)
    at_grid = np.clip(guided.apply(planes, guide), 0.0, 1.0)
    return Drawn(planes, band, step, foreground.spread_colours(guide, at_grid), step)


def _learned(alpha: Plane, photo: NDArray[np.uint8], threads: int, most: int | None = None) -> Drawn | None:
    """The refiner network at the work scale, the guided filter from there on.

    None where it would have to look at more than `most` pixels of that scale.
    """
    shape = (photo.shape[0], photo.shape[1])
    work_step = refiner.work_step(shape)
    ratio = grid_step((shape[0] // work_step, shape[1] // work_step), max(GRID_LEAST, *alpha.shape))
    step = work_step * ratio
    work_shape = -(-shape[0] // work_step), -(-shape[1] // work_step)
    grid = -(-shape[0] // step), -(-shape[1] // step)
    plain = onto_grid(alpha, shape, grid, step)
    coarse = _flatten(plain, np.ones_like(plain))
    reach = max(2, round(refiner.BAND_REACH * max(grid) / max(alpha.shape)))
    band = dilate((coarse > 0.0) & (coarse < 1.0) | guided.steps(coarse), reach)
    if most is not None and refiner.asked_for(band, ratio, work_shape) > most:
        return None
    work = reduced(photo, work_step, threads)
    guide = blocks(work, ratio)
    edges, scale = guided.steepness(alpha), max(grid) / max(alpha.shape)
    hints = refiner.hint_planes(guide, plain, scale, guided.block(edges, scale))
    hints[0] = coarse
    settled = refiner.redraw(work, hints, band, ratio, threads=threads)
    trust = guided.trust(edges, max(shape) / max(alpha.shape))
    if trust.min() < 1.0:
        wide = np.repeat(np.repeat(band, ratio, 0), ratio, 1)[: settled.shape[0], : settled.shape[1]]
        covered = (shape[0] / work_step, shape[1] / work_step)
        # A precise alpha gets its means back: the network would soften or sharpen what is true already.
        doubt = 1.0 - onto_grid(trust, shape, work_shape, work_step)
        settled = clip01(settled + doubt * wide * guided.missing_means(settled, alpha, covered))
    planes, band = refiner.carried(work, settled, work_step, threads=threads)
    if work_step <= FINE_COLOURS:
        return Drawn(planes, band, work_step, foreground.spread_colours(work, settled), work_step)
    colours = foreground.spread_colours(guide, blocks(settled[None], ratio)[0])
    return Drawn(planes, band, work_step, colours, step)


def _solved(photo: NDArray[np.uint8], drawn: Drawn, notes: list[str]) -> Drawn:
    """The same band solved by closed-form matting at the work scale; unchanged, with a note, if it cannot be."""
    first, _ = _compose(photo, drawn, NATURAL)
    step = refiner.work_step((photo.shape[0], photo.shape[1]))
    known = reduced(first[:, :, None], step)[0]
    planes, band = solve_band(photo, known, step, notes)
    if planes is None:
        return drawn
    return Drawn(planes, band, step, drawn.colours, drawn.colour_step)


def _flatten(alpha: Plane, trust: Plane) -> Plane:
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


def _compose(
    photo: NDArray[np.uint8], drawn: Drawn, controls: MatteControls, threads: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Fills full-size alpha and colour, tile by tile; rows of tiles are shared among the threads."""
    h, w = photo.shape[:2]
    alpha = np.zeros((h, w), np.uint8)
    colour = np.zeros((h, w, 3), np.uint8)
    longest = max(h, w)
    reach = controls.reach(longest)
    # What an edit can reach is part of the band.
    band = dilate(drawn.band, -(-reach // drawn.step)) if reach else drawn.band
    # In units of 8-bit levels from here on: full-size passes that only rescale would cost a tenth of the time.
    planes = drawn.planes * LEVELS
    planes[:3] /= LEVELS
    colours = drawn.colours * LEVELS
    columns = tiles(w, band.shape[1], drawn.step, TILE, reach)
    colour_columns = spans(w, colours.shape[2], drawn.colour_step, TILE)

    def fill(rows: tuple[tuple[Span, int], Span]) -> None:
        (row, top), colour_row = rows
        for (column, left), colour_column in zip(columns, colour_columns, strict=True):
            window = np.s_[colour_row.start : colour_row.stop, colour_column.start : colour_column.stop]
            support = np.s_[row.grid_start : row.grid_stop, column.grid_start : column.grid_stop]
            if not band[support].any():
                if drawn.planes[3][support][0, 0] >= 0.5:
                    alpha[window] = 255
                    colour[window] = photo[window]
                continue
            pixels = np.moveaxis(photo[row.start : row.stop, column.start : column.stop], 2, 0)
            shades = pixels.astype(np.float32, order="C")
            mixed = _tile_alpha(shades, planes, row, column)
            edited = edit_edges(mixed, controls, longest)
            own = alpha[window]
            inner = np.s_[top : top + own.shape[0], left : left + own.shape[1]]
            own[:] = edited[inner]
            near = _Near(colours, colour_row, colour_column)
            _fill_colour(colour[window], photo[window], own, mixed[inner], shades[:, *inner], near)

    rows = zip(
        tiles(h, band.shape[0], drawn.step, TILE, reach),
        spans(h, colours.shape[1], drawn.colour_step, TILE),
        strict=True,
    )
    side_by_side(fill, rows, threads)
    return alpha, colour


class _Near(NamedTuple):
    """The spread colours around one tile: float32 (6, gh, gw) in 0..255, and the tile's rows and columns."""

    colours: Plane
    row: Span
    column: Span

    def part(self, box: tuple[slice, slice]) -> Plane:
        """Brought to the pixels of a part of the tile."""
        return upsample(self.colours, self.row.part(box[0]), self.column.part(box[1]))


def _tile_alpha(shades: Plane, planes: Plane, row: Span, column: Span) -> NDArray[np.uint8]:
    """a·RGB + b at every pixel of one tile; shades are the photo's, float32 (3, h, w), all in 0..255."""
    slopes = upsample(planes, row, column)
    value = slopes[3]
    slopes[:3] *= shades
    for channel in range(3):
        value += slopes[channel]
    value += np.float32(0.5)
    return np.clip(value, np.float32(0), LEVELS, out=value).astype(np.uint8)


def _fill_colour(
    colour: NDArray[np.uint8],
    photo: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    mixed: NDArray[np.uint8],
    shades: Plane,
    near: _Near,
) -> None:
    """Writes the photo where opaque and the subject's colour where half-transparent; the rest stays zero.

    `alpha` decides what is written; `mixed`, the alpha before any edit, is how the photo mixed its colours.
    `shades` is the photo in planes, float32 (3, h, w), 0..255.
    """
    opaque = alpha == 255
    if opaque.any():
        # Masks of bits: selecting by truth values takes ten times as long.
        mask = np.negative(opaque.view(np.uint8))
        for channel in range(3):
            np.bitwise_and(photo[:, :, channel], mask, out=colour[:, :, channel])
    between = (alpha > 0) & ~opaque
    box = _box(between)
    if box is None:
        return
    # For all pixels of the box: picking out the half-transparent ones costs more than it saves.
    own = foreground.unmix(shades[:, *box], mixed[box], near.part(box))
    own &= np.negative(between[box].view(np.uint8))
    target = colour[box]
    for channel in range(3):
        target[:, :, channel] |= own[channel]


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The rows and columns between which all true pixels lie, or None without any."""
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask.any(0))
    return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
