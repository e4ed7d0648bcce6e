"""The learned refiner: a small network of our own that redraws the alpha in tiles of the edge band.

Not for finding the subject: it sees a tile of the photo and what the guided filter made of it. Its body
works at a quarter of the tile's scale (pixel-unshuffle); training/refiner.py made its weights.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cutoutd.config.errors import ModelError
from cutoutd.models import foreground, guided
from cutoutd.models.resample import Plane, onto_grid, reduced, span, upsample


class Network(Protocol):
    """The part of an ONNX Runtime session that is used here; the package ships no types."""

    def run(self, outputs: list[str], feed: dict[str, Plane]) -> list[Plane]:
        """The named outputs for the named inputs."""
        ...


REFINER_FILE = Path(__file__).parent / "bundled" / "refiner.onnx"
# The refiner works at this many pixels along the longer side, or the photo's own if it has fewer: four times
# the alpha's scale, which is what it was trained for. Beyond that the guided filter follows the edge it drew.
WORK_MOST = 1024
# Tiles of the work scale; each carries a margin, because the network sees 40 pixels around every one.
TILE, MARGIN = 96, 24
UNSHUFFLE = 4  # sides of what the network runs on are multiples of this
# How far beyond half-transparent samples it may find strands, in model-scale samples.
BAND_REACH = 2.5
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
    ort: Any = importlib.import_module("onnxruntime")  # heavy, and only this engine needs it
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
    photo: NDArray[np.uint8], planes: Plane, band: NDArray[np.bool_], ratio: int, threads: int
) -> tuple[Plane, Plane]:
    """The refined alpha at the work scale, and the coefficients that carry it on to the photo's own.

    Args:
        photo: uint8 (H, W, 3).
        planes: `hint_planes` on the grid, float32 (12, gh, gw).
        band: where the alpha may change, on the grid.
        ratio: work pixels per grid sample along one side.
        threads: how many threads the network may use.

    Returns:
        float32 (4, wh, ww): alpha = a·RGB + b, on the work scale; and that alpha there, float32 (wh, ww).
    """
    step = work_step((photo.shape[0], photo.shape[1]))
    rows, columns = -(-photo.shape[0] // step), -(-photo.shape[1] // step)
    result = np.zeros((5, rows, columns), np.float32)
    flat = planes[0] >= 0.5
    network = session(threads)
    for y in range(0, rows, TILE):
        for x in range(0, columns, TILE):
            bottom, right = min(y + TILE, rows), min(x + TILE, columns)
            support = np.s_[y // ratio : -(-bottom // ratio), x // ratio : -(-right // ratio)]
            if not band[support].any():
                result[3:, y:bottom, x:right] = flat[support][0, 0]
                continue
            _redraw_tile(result, (y, bottom, x, right), photo, planes, band, ratio, network)
    return result[:4], result[4]


def _redraw_tile(
    result: Plane,
    tile: tuple[int, int, int, int],
    photo: NDArray[np.uint8],
    planes: Plane,
    band: NDArray[np.bool_],
    ratio: int,
    network: Network,
) -> None:
    """Runs the network on one tile and its margin; writes the tile's coefficients and alpha."""
    y, bottom, x, right = tile
    rows, columns = result.shape[1:]
    top, left = max(0, y - MARGIN), max(0, x - MARGIN)
    end, edge = min(rows, bottom + MARGIN), min(columns, right + MARGIN)
    step = work_step((photo.shape[0], photo.shape[1]))
    pixels = reduced(photo[top * step : end * step, left * step : edge * step], step)
    row = span(top, end, planes.shape[1], ratio)
    column = span(left, edge, planes.shape[2], ratio)
    told = hints(upsample(planes, row, column), pixels)
    alpha = run(network, pixels, told)
    down = np.arange(top, end, dtype=np.int64)[:, None] // ratio
    nearest = band[down, np.arange(left, edge, dtype=np.int64) // ratio]
    alpha = np.where(nearest, np.clip((alpha - UNSURE) / (1 - 2 * UNSURE), 0.0, 1.0), told[0] >= 0.5)
    alpha = alpha.astype(np.float32)
    if step == 1:
        result[3:, y:bottom, x:right] = alpha[y - top : bottom - top, x - left : right - left]
        return
    reach = guided.CARRY_REACH
    y0, y1 = max(top, y - reach), min(end, bottom + reach)
    x0, x1 = max(left, x - reach), min(edge, right + reach)
    near = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = alpha[near]
    carried = guided.carry(pixels[(slice(None), *near)], alpha)
    inner = np.s_[:, y - y0 : bottom - y0, x - x0 : right - x0]
    result[:4, y:bottom, x:right] = carried[inner]
    result[4, y:bottom, x:right] = alpha[inner[1:]]


def run(network: Network, pixels: Plane, told: Plane) -> Plane:
    """The network's alpha for pixels (3, h, w) and hints (9, h, w): float32 (h, w), 0..1."""
    h, w = pixels.shape[1:]
    pad = ((0, 0), (0, -h % UNSHUFFLE), (0, -w % UNSHUFFLE))
    feed = {
        "photo": np.pad(pixels, pad, mode="edge")[None],
        "hints": np.pad(told, pad, mode="edge")[None],
    }
    return network.run(["alpha"], feed)[0][0, 0, :h, :w]


def hint_planes(guide: Plane, alpha: Plane, shape: tuple[int, int], step: int) -> Plane:
    """What the refiner is told, on the grid: float32 (12, gh, gw).

    Args:
        guide: the photo averaged over blocks, float32 (3, gh, gw), 0..1.
        alpha: the network's answer, float32 (h, w), 0..1, covering the whole photo.
        shape: the photo's (height, width).
        step: block size in pixels.

    Returns:
        The alpha itself, four guided coefficients, the fit, subject RGB, background RGB.
    """
    grid = (guide.shape[1], guide.shape[2])
    coarse = onto_grid(alpha, shape, grid, step)
    radius = max(2, round(guided.RADIUS * max(grid) / max(alpha.shape)))
    fitted, fit = guided.coefficients(guide, coarse, radius)
    followed = np.clip(guided.apply(fitted, guide), 0.0, 1.0)
    colours = foreground.spread_colours(guide, followed, HINT_CERTAINTY)
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
