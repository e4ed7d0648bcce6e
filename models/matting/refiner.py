"""The learned refiner: a small network of our own that redraws the alpha in tiles of the edge band.

Not for finding the subject: it sees a tile of the photo and what the guided filter made of it. Its body
works at a quarter of the tile's scale (pixel-unshuffle); training/refiner.py made its weights.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cutoutd.config.errors import ModelError
from cutoutd.models.matting import foreground, guided
from cutoutd.models.matting.boxes import Box, cut
from cutoutd.models.matting.parallel import side_by_side
from cutoutd.models.matting.resample import clip01, dilate, upsample, whole_axis
from cutoutd.models.onnx_runtime import runtime
from cutoutd.models.planes import Plane


class Network(Protocol):
    """The part of an ONNX Runtime session that is used here; the package ships no types."""

    def run(self, outputs: list[str], feed: dict[str, Plane]) -> list[Plane]:
        """The named outputs for the named inputs, float32 each, with a first axis of one photo."""
        ...


REFINER_FILE = Path(__file__).parents[1] / "bundled" / "refiner.onnx"
# The refiner works at this many pixels along the longer side, or the photo's own if it has fewer: four times
# the alpha's scale, which is what it was trained for. Beyond that the guided filter follows the edge it drew.
WORK_MOST = 1024
# The network sees 40 pixels around every one, but beyond 8 nothing changes that the edge benchmark could see.
MARGIN = 8
# What a run of the network costs besides its pixels, in pixels, and the largest run (it stays in the cache).
CALL, LARGEST = 3_000, (128, 384)
# The same where the alpha is carried on.
CARRY_CALL, CARRY_LARGEST = 3_000, (48, 384)
UNSHUFFLE = 4  # sides of what the network runs on are multiples of this
# How far beyond half-transparent samples it may find strands, in model-scale samples.
BAND_REACH = 2.5
# Tiles whose shades (without the outermost) differ less than this are stretched, but not beyond their noise.
SPREAD_PERCENT, SPREAD_LEAST, GAIN_MOST = (2.0, 98.0), 0.4, 4.0
# Work pixels, margins included, that the network may be asked for where the engine chooses itself: about 200 ms of
# processor time more than the guided filter takes, the rest of the learned engine included.
CHOSEN_MOST = 430_000
# The spread colours that the network was trained on are smoother than those for the fringe.
HINT_CERTAINTY = 6
# What the network calls 1 % is background, 99 % subject.
UNSURE = 0.01


def work_step(shape: tuple[int, int]) -> int:
    """Photo pixels per pixel of the work scale."""
    return -(-max(shape) // WORK_MOST)


@lru_cache(maxsize=4)
def session(threads: int, path: Path = REFINER_FILE) -> Network:
    """The refiner loaded once per process and thread count.

    Raises:
        ModelError: the file is missing or damaged.
    """
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: the caller reports what matters
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises bare pybind types without a common base
        fix = "Reinstall cutoutd, or set edge_engine to guided."
        raise ModelError(f"the edge refiner cannot be loaded ({error})", path, fix) from error


def redraw(
    work: Plane, planes: Plane, band: NDArray[np.bool_], boxes: list[Box], ratio: int, *, threads: int
) -> Plane:
    """The refined alpha at the work scale, float32 (wh, ww), 0..1.

    Args:
        work: the photo at the work scale, float32 (3, wh, ww), 0..1.
        planes: `hint_planes` on the grid, float32 (12, gh, gw).
        band: where the alpha may change, on the grid.
        boxes: `asked_boxes` of that band.
        ratio: work pixels per grid sample along one side.
        threads: how many may work on the tiles; the result is the same for any number.

    Raises:
        ModelError: the refiner network cannot be loaded.
    """
    shape = (work.shape[1], work.shape[2])
    flat = (planes[0] >= 0.5).astype(np.float32)
    settled = np.repeat(np.repeat(flat, ratio, 0), ratio, 1)[: shape[0], : shape[1]]
    network = session(1)  # rows of tiles are shared among the threads; none has to wait for another then
    side_by_side(
        lambda box: _redraw_box(settled, box, work, planes, band, ratio, network),
        boxes,
        threads,
    )
    return settled


def asked_for(boxes: list[Box], shape: tuple[int, ...]) -> int:
    """How many work pixels `redraw` would run the network on, margins included."""
    widened = (box.widened(MARGIN, shape) for box in boxes)
    return sum((bottom - top) * (right - left) for top, bottom, left, right in widened)


def asked_boxes(band: NDArray[np.bool_], ratio: int, shape: tuple[int, ...]) -> list[Box]:
    """The boxes of the work scale that the network is run on, without their margin.

    Args:
        band: bool (gh, gw), where the alpha may change, on the grid.
        ratio: work pixels per grid sample along one side.
        shape: (height, width) of the work scale, which no box leaves.
    """
    largest = -(-LARGEST[0] // ratio), -(-LARGEST[1] // ratio)
    found = cut(band, margin=MARGIN / ratio, call=CALL / ratio**2, largest=largest)
    return [box.times(ratio, shape) for box in found]


def carried(work: Plane, settled: Plane, step: int) -> tuple[Plane, NDArray[np.bool_]]:
    """Coefficients that carry the alpha from the work scale to the photo's own, and where they are not flat.

    Args:
        work: the photo at the work scale, float32 (3, wh, ww), 0..1.
        settled: the alpha there, float32 (wh, ww), 0..1.
        step: photo pixels per work pixel; with 1 there is nothing to carry.

    Returns:
        float32 (4, wh, ww): alpha = a·RGB + b; and bool (wh, ww).
    """
    result = np.zeros((4, *settled.shape), np.float32)
    result[3] = settled
    band = (settled > 0.0) & (settled < 1.0) | guided.steps(settled)
    if step > 1:
        band = dilate(band, guided.CARRY_REACH)
        boxes = cut(band, margin=guided.CARRY_REACH, call=CARRY_CALL, largest=CARRY_LARGEST)
        for box in boxes:
            _carry_box(result, box, work, settled)
    return result, band


def _redraw_box(
    settled: Plane,
    box: Box,
    work: Plane,
    planes: Plane,
    band: NDArray[np.bool_],
    ratio: int,
    network: Network,
) -> None:
    """Runs the network on a box and its margin; writes its alpha where the band lies."""
    y, bottom, x, right = box
    top, end, left, edge = box.widened(MARGIN, settled.shape)
    pixels = work[:, top:end, left:edge]
    row = whole_axis(settled.shape[0], planes.shape[1], ratio).part(slice(top, end))
    column = whole_axis(settled.shape[1], planes.shape[2], ratio).part(slice(left, edge))
    told = hints(upsample(planes, row, column), pixels)
    pixels, told[3:] = stretched(pixels, told[3:])
    alpha = run(network, pixels, told)
    alpha = alpha[y - top : bottom - top, x - left : right - left]
    down = np.arange(y, bottom, dtype=np.int64)[:, None] // ratio
    near = band[down, np.arange(x, right, dtype=np.int64) // ratio]
    # For all samples of the box: picking out the near ones costs more than it saves.
    np.copyto(settled[y:bottom, x:right], clip01((alpha - UNSURE) / (1 - 2 * UNSURE)), where=near)


def stretched(pixels: Plane, colours: Plane) -> tuple[Plane, Plane]:
    """Black on black and white on white with the contrast that the network was trained on; others as they are.

    Args:
        pixels: RGB, float32 (3, h, w), 0..1.
        colours: subject and background RGB beside it, float32 (6, h, w), 0..1.
    """
    low, high = np.percentile(pixels[:, ::4, ::4], SPREAD_PERCENT)
    gain = np.float32(min(GAIN_MOST, SPREAD_LEAST / max(float(high - low), 1e-6)))
    if gain <= 1.0:
        return pixels, colours
    shift = np.float32(0.5) - gain * np.float32((low + high) / 2)
    return clip01(pixels * gain + shift), clip01(colours * gain + shift)


def _carry_box(result: Plane, box: Box, work: Plane, settled: Plane) -> None:
    """Writes the coefficients of one box."""
    y, bottom, x, right = box
    top, end, left, edge = box.widened(guided.CARRY_REACH, settled.shape)
    carried = guided.carry(work[:, top:end, left:edge], settled[top:end, left:edge])
    result[:, y:bottom, x:right] = carried[:, y - top : bottom - top, x - left : right - left]


def run(network: Network, pixels: Plane, told: Plane) -> Plane:
    """The network's alpha for pixels (3, h, w) and hints (9, h, w): float32 (h, w), 0..1."""
    h, w = pixels.shape[1:]
    feed = {"photo": _padded(pixels)[None], "hints": _padded(told)[None]}
    return network.run(["alpha"], feed)[0][0, 0, :h, :w]


def _padded(planes: Plane) -> Plane:
    """Sides that are multiples of `UNSHUFFLE`: the last row and column repeated, which `np.pad` takes long for."""
    h, w = planes.shape[1:]
    down, across = -h % UNSHUFFLE, -w % UNSHUFFLE
    if not down and not across:
        return planes
    wide = np.empty((planes.shape[0], h + down, w + across), np.float32)
    wide[:, :h, :w] = planes
    wide[:, h:, :w] = planes[:, -1:]
    wide[:, :, w:] = wide[:, :, w - 1 : w]
    return wide


def hint_planes(guide: Plane, coarse: Plane, scale: float, side: int, threads: int = 1) -> Plane:
    """What the refiner is told, on the grid: float32 (12, gh, gw).

    Args:
        guide: the photo averaged over blocks, float32 (3, gh, gw), 0..1.
        coarse: the network's answer there, float32 (gh, gw), 0..1.
        scale: grid samples per sample of that answer, along the longer sides.
        side: of the blocks that the guided filter is fitted on, from `guided.block`.
        threads: how many may work at once.

    Returns:
        The alpha itself, four guided coefficients, the fit, subject RGB, background RGB.
    """
    fitted, fit = guided.fitted(guide, coarse, scale, side)
    followed = clip01(guided.apply(fitted, guide))
    colours = foreground.spread_colours(guide, followed, HINT_CERTAINTY, threads)
    return np.concatenate([coarse[None], fitted, fit[None], colours])


def hints(planes: Plane, pixels: Plane) -> Plane:
    """The network's second input from `hint_planes` brought to a tile's pixels.

    Args:
        planes: float32 (12, h, w).
        pixels: the tile's RGB, float32 (3, h, w), 0..1.

    Returns:
        float32 (9, h, w), every value in 0..1.
    """
    followed = guided.apply(planes[1:5], pixels)
    return np.clip(np.concatenate([planes[:1], followed[None], planes[5:]]), 0.0, 1.0)
