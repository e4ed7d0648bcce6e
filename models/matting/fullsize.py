"""A drawn alpha brought to the photo's own size, a band of rows at a time: alpha and the subject's own colour.

Not for drawing it (`matte`), not for how pixels lie in memory (`canvas`), and not for encoding (`rendering.png`).
Arithmetic happens only in tiles that the edge touches; all others are copied or left zero.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.matting import foreground
from cutoutd.models.matting.canvas import Canvas, Pixels, Planes
from cutoutd.models.matting.controls import MatteControls, finish_edges, move_edges
from cutoutd.models.matting.parallel import side_by_side
from cutoutd.models.matting.resample import Span, dilate, tiles, upsample
from cutoutd.models.planes import Plane

LEVELS: Final = np.float32(255)
# Full-size tiles: small enough that flat ones are common, large enough that threads seldom wait for one
# another: with 128 two of them are slower than one.
TILE = 256


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


class FullSize:
    """Alpha and colour of every pixel, worked out for the rows that are asked for.

    Args:
        photo: uint8 (H, W, 3), sRGB.
        drawn: the alpha at its own scale; it is taken over and no longer of use to anybody else.
        controls: what the user asked of the edges.
    """

    def __init__(self, photo: NDArray[np.uint8], drawn: Drawn, controls: MatteControls) -> None:
        self._photo = photo
        self._controls = controls
        h, w = photo.shape[:2]
        self._longest = controls.longer_side or max(h, w)
        reach = controls.reach(self._longest)
        # What an edit can reach is part of the band.
        self._band = dilate(drawn.band, -(-reach // drawn.step)) if reach else drawn.band
        # In 8-bit levels from here on: full-size passes that only rescale would cost a tenth of the time. Slopes
        # are the same in both, and a copy of them would be a tenth of what a photo takes.
        self._planes = drawn.planes
        self._planes[3] *= LEVELS
        self._colours = drawn.colours * LEVELS
        grid, coarse = self._band.shape, self._colours.shape[1:]
        # Outside the band the alpha of a block and of all that its pixels are interpolated from is flat.
        self._level = (self._planes[3] >= LEVELS / 2).view(np.uint8) * np.uint8(255)
        self._step = drawn.step
        # An edit looks around itself: its tiles, which are widened for that, are worked out whole.
        self._boxed = reach == 0
        self._columns = tiles(w, grid[1], drawn.step, TILE, reach)
        self._colour_columns = [one for one, _ in tiles(w, coarse[1], drawn.colour_step, TILE)]
        self._rows = tiles(h, grid[0], drawn.step, TILE, reach)
        self._colour_rows = [one for one, _ in tiles(h, coarse[0], drawn.colour_step, TILE)]
        self._bands = [(row.start, row.stop) for row in self._colour_rows]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._photo.shape[0], self._photo.shape[1]

    def whole(self, threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Alpha uint8 (H, W) and colour uint8 (H, W, 3); the same for any number of threads."""
        alpha = np.zeros(self.shape, np.uint8)
        colour = np.zeros((*self.shape, 3), np.uint8)
        self.write(alpha, colour, threads)
        return alpha, colour

    def write(self, alpha: NDArray[np.uint8], colour: NDArray[np.uint8], threads: int = 1) -> None:
        """As `whole`, into alpha uint8 (H, W) and colour uint8 (H, W, 3), zero so far; parts of larger ones do."""

        def fill(number: int) -> None:
            """Works out one band."""
            rows = slice(*self._bands[number])
            self._fill(number, Planes(self._photo[rows], alpha[rows], colour[rows]))

        side_by_side(fill, range(len(self._bands)), threads)

    def bands(self) -> list[tuple[int, int]]:
        """The rows (top, bottom) of each band, in order; all but the last have TILE of them."""
        return self._bands

    def band(self, number: int) -> Pixels:
        """One band as RGBA; several threads may ask at once."""
        pixels = Pixels(self._photo, *self._bands[number])
        self._fill(number, pixels)
        return pixels

    def _fill(self, number: int, canvas: Canvas) -> None:
        """Paints one band: tile by tile where the edge runs, and at once what is flat between two such tiles."""
        row, top = self._rows[number]
        own_row = self._colour_rows[number]
        band = self._band[row.start // self._step : (row.stop - 1) // self._step + 1]
        rows, painted = slice(0, own_row.stop - own_row.start), 0
        for (column, left), own_column in zip(self._columns, self._colour_columns, strict=True):
            edge = _box(band[:, column.start // self._step : (column.stop - 1) // self._step + 1])
            if edge is None:
                continue
            self._fill_flat(canvas, own_row.start, rows, slice(painted, own_column.start))
            painted = own_column.stop
            near = _Near(self._colours, own_row, own_column)
            if self._boxed:
                self._fill_tile(canvas, row, column, edge, near)
            else:
                self._fill_widened(canvas, row, column, (top, left), near)
        self._fill_flat(canvas, own_row.start, rows, slice(painted, self.shape[1]))

    def _fill_flat(self, canvas: Canvas, top: int, rows: slice, columns: slice) -> None:
        """Paints a part without an edge, whose rows are counted from `top`."""
        filled = rows.stop > rows.start and columns.stop > columns.start
        if filled and self._level[(top + rows.start) // self._step, columns.start // self._step]:
            canvas.opaque((rows, columns))

    def _fill_tile(
        self, canvas: Canvas, row: Span, column: Span, edge: tuple[slice, slice], near: _Near
    ) -> None:
        """Paints a tile; only the box around its edge is worked out, and what lies beside that is flat.

        `edge` are the blocks that the box has, counted from the tile's first.
        """
        rows = _within(edge[0], _blocks(row, self._step))
        columns = _within(edge[1], _blocks(column, self._step))
        inner, whole = _shifted(columns, column.start), slice(column.start, column.stop)
        self._fill_flat(canvas, row.start, slice(0, rows.start), whole)
        self._fill_flat(canvas, row.start, slice(rows.stop, row.stop - row.start), whole)
        self._fill_flat(canvas, row.start, rows, slice(column.start, inner.start))
        self._fill_flat(canvas, row.start, rows, slice(inner.stop, column.stop))
        alpha, mixed = self._edited(row.part(rows), column.part(columns))
        near = _Near(near.colours, near.row.part(rows), near.column.part(columns))
        _paint(canvas, (rows, inner), alpha, mixed, near)

    def _fill_widened(
        self, canvas: Canvas, row: Span, column: Span, corner: tuple[int, int], near: _Near
    ) -> None:
        """Paints a tile whose edit looks around itself: it lies `corner` from the first of wider rows and columns."""
        height, width = near.row.stop - near.row.start, near.column.stop - near.column.start
        window = np.s_[0:height, near.column.start : near.column.stop]
        alpha, mixed = self._edited(row, column)
        inner = np.s_[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
        _paint(canvas, window, alpha[inner], mixed.part(inner), near)

    def _edited(self, row: Span, column: Span) -> tuple[NDArray[np.uint8], _Mixed]:
        """Alpha uint8 of some rows and columns as the user wants it, and as the photo has it."""
        pixels = self._photo[row.start : row.stop, column.start : column.stop]
        shades = np.moveaxis(pixels, 2, 0).astype(np.float32, order="C")
        mixed = _tile_alpha(shades, self._planes, row, column)
        moved = move_edges(mixed, self._controls)
        edited = finish_edges(moved, self._controls.edge, self._longest)
        lifted = _lifted(moved, edited) if self._controls.edge == "crisp" else None
        return edited, _Mixed(mixed, shades, lifted)


def _blocks(span: Span, step: int) -> NDArray[np.intp]:
    """The grid index of the block that each pixel of a span lies in."""
    return np.arange(span.start, span.stop) // step


def _within(inner: slice, blocks: NDArray[np.intp]) -> slice:
    """The pixels of a span that lie in a run of its blocks, counted from its first."""
    first, last = np.searchsorted(blocks, (blocks[0] + inner.start, blocks[0] + inner.stop))
    return slice(int(first), int(last))


class _Near(NamedTuple):
    """The spread colours: float32 (6, gh, gw) in 0..255, and the rows and columns of what is painted."""

    colours: Plane
    row: Span
    column: Span

    def part(self, box: tuple[slice, slice]) -> Plane:
        """Brought to the pixels of a part of it."""
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


class _Mixed(NamedTuple):
    """A part of the photo that is not flat: its alpha before any edit, which is how the photo mixed its colours.

    alpha: uint8 (h, w); shades: the photo in planes, float32 (3, h, w), 0..255.
    lifted: bool (h, w), what only the edit made opaque; None: nothing.
    """

    alpha: NDArray[np.uint8]
    shades: Plane
    lifted: NDArray[np.bool_] | None

    def part(self, inner: tuple[slice, slice]) -> _Mixed:
        """Some rows and columns of it."""
        lifted = None if self.lifted is None else self.lifted[inner]
        return _Mixed(self.alpha[inner], self.shades[:, *inner], lifted)


def _lifted(moved: NDArray[np.uint8], edited: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Half-transparent pixels that a crisp edge makes opaque: up to a quarter of their colour is background."""
    return (edited == 255) & (moved < 255)


def _paint(
    canvas: Canvas, window: tuple[slice, slice], alpha: NDArray[np.uint8], mixed: _Mixed, near: _Near
) -> None:
    """The photo where opaque and the subject's colour where half-transparent; the rest stays zero.

    What only the edit made opaque is still mixed in the photo, and treated as half-transparent.
    """
    opaque = alpha == 255
    if mixed.lifted is not None:
        opaque &= ~mixed.lifted
    canvas.mixed(window, alpha, opaque)
    between = (alpha > 0) & ~opaque
    box = _box(between)
    if box is None:
        return
    # For all pixels of the box: picking out the half-transparent ones costs more than it saves.
    own = foreground.unmix(mixed.shades[:, *box], mixed.alpha[box], near.part(box))
    own &= np.negative(between[box].view(np.uint8))
    canvas.colour((_shifted(box[0], window[0].start), _shifted(box[1], window[1].start)), own)


def _shifted(inner: slice, by: int) -> slice:
    return slice(inner.start + by, inner.stop + by)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The rows and columns between which all true pixels lie, or None without any."""
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask.any(0))
    return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
