"""Closed-form matting of the edge band, for stills that deserve the wait; needs the `matting` extra.

Not needed for any cutout: what it cannot do it leaves as it was and says so. Works tile by tile at the
refiner's scale, so that 50 megapixels take no more memory than five. Source of the method: Levin, Lischinski,
Weiss, "A Closed-Form Solution to Natural Image Matting" (2008), through pymatting.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import sys
from collections.abc import Callable, Generator, Sequence
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutoutd.config.installing import pip_install
from cutoutd.models.matting import guided
from cutoutd.models.matting.resample import dilate, reduced
from cutoutd.models.planes import Plane

LOG = logging.getLogger("cutoutd.matte")
# A tile and its margin are at most 256 pixels a side: its matrix has 65,536 rows of 81 numbers, 80 MB.
TILE, MARGIN = 192, 32
# What is taken for granted outside the band, and how wide the unknown band is made around an edge.
SURE_LOW, SURE_HIGH = 0.02, 0.98
BAND_REACH = 3

Solver = Callable[..., Any]


def _no_cache(_dispatcher: object) -> None:
    """In place of numba's `enable_caching`."""


@functools.cache
def solver() -> Solver | None:
    """A solver made of pymatting's parts, or None where the extra is not installed or does not run here."""
    try:
        with _only_parts():
            laplacian = _part("laplacian.cf_laplacian").cf_laplacian
            conjugate_gradient = _part("solver.cg").cg
            # Its usual choice, an incomplete Cholesky factorisation, reserves 4 GB whatever the size: a worker may not.
            jacobi = _part("preconditioner.jacobi").jacobi
    except (ImportError, RuntimeError, OSError):
        return None

    def solve(image: NDArray[np.float64], trimap: NDArray[np.float64]) -> NDArray[np.float64]:
        """Grady et al., "Random Walks for Interactive Alpha-Matting" (2005): the unknown pixels' part of the matrix."""
        alpha = trimap.ravel().copy()
        unknown = alpha == 0.5
        matrix = laplacian(image, is_known=~unknown).tocsr()[unknown, :]
        inner = matrix[:, unknown]
        alpha[unknown] = conjugate_gradient(inner, -(matrix[:, ~unknown] @ alpha[~unknown]), M=jacobi(inner))
        return np.clip(alpha, 0.0, 1.0).reshape(trimap.shape)

    return solve


@contextlib.contextmanager
def _only_parts() -> Generator[None]:
    """Whatever is imported meanwhile compiles without keeping its code: a worker may write no files where numba would.

    Afterwards numba is as before, and who imports pymatting in the same program gets it whole.
    """
    dispatcher: Any = importlib.import_module("numba.core.dispatcher").Dispatcher
    keeps, loaded = dispatcher.enable_caching, set(sys.modules)
    dispatcher.enable_caching = _no_cache
    try:
        yield
    finally:
        dispatcher.enable_caching = keeps
        for name in set(sys.modules) - loaded:
            if name.split(".")[0] == "pymatting":
                del sys.modules[name]


def _part(name: str) -> Any:
    """One module of pymatting without its package's own imports, which compile all of it: 74 s of a core, not 3.

    Raises:
        ImportError: it is not installed, or has no such module.
    """
    package, module = f"pymatting.{name}".rsplit(".", 1)
    path: Sequence[str] | None = None
    above = ""
    for step in package.split("."):
        above = f"{above}.{step}".lstrip(".")
        if above not in sys.modules:
            spec = PathFinder.find_spec(above, path)
            if spec is None or spec.submodule_search_locations is None:
                raise ImportError(f"no package {above}")
            sys.modules[above] = module_from_spec(spec)  # found, and not run
        path = sys.modules[above].__path__
    return importlib.import_module(f"{package}.{module}")


def prepare() -> None:
    """Compiles the solver on a tiny picture, which takes seconds, so that no photo waits for it."""
    solve = solver()
    if solve is not None:
        trimap = np.full((24, 24), 0.5)
        trimap[:, :4], trimap[:, -4:] = 0.0, 1.0
        solve(np.linspace(0.0, 1.0, 24 * 24 * 3).reshape(24, 24, 3), trimap)


def solve_band(
    photo: NDArray[np.uint8], known: Plane, step: int, notes: list[str], solve: Solver | None = None
) -> tuple[Plane | None, NDArray[np.bool_]]:
    """Solves every tile that the band touches.

    Args:
        photo: uint8 (H, W, 3).
        known: the alpha so far at the work scale, float32 (wh, ww), 0..1.
        step: photo pixels per work pixel.
        notes: takes a sentence for whatever could not be solved.
        solve: (image float64 (h, w, 3), trimap float64 (h, w)) -> alpha; unset: pymatting's.

    Returns:
        Coefficients float32 (4, wh, ww) of alpha = a·RGB + b, or None if nothing could be solved; and the band.
    """
    band = dilate((known > SURE_LOW) & (known < SURE_HIGH) | guided.steps(known), BAND_REACH)
    solve = solver() if solve is None else solve
    if solve is None:
        _note(
            notes,
            f"closed-form matting is not installed ({pip_install('pymatting')}); edges are as without it",
        )
        return None, band
    alpha = np.where(band, known, known >= 0.5).astype(np.float32)
    failed = 0
    rows, columns = known.shape
    for y in range(0, rows, TILE):
        for x in range(0, columns, TILE):
            inner = np.s_[y : min(y + TILE, rows), x : min(x + TILE, columns)]
            if band[inner].any():
                failed += not _solve_tile(alpha, photo, known, band, (y, x), step, solve)
    if failed:
        _note(notes, f"closed-form matting gave up on {failed} tiles of the edge; they are as without it")
    return _carried(photo, alpha, band, step), dilate(band, guided.CARRY_REACH)


def _note(notes: list[str], sentence: str) -> None:
    LOG.warning("%s", sentence)
    notes.append(sentence)


def _solve_tile(
    alpha: Plane,
    photo: NDArray[np.uint8],
    known: Plane,
    band: NDArray[np.bool_],
    corner: tuple[int, int],
    step: int,
    solve: Solver,
) -> bool:
    """Solves one tile with its margin and writes its inner part; False when the solver cannot."""
    y, x = corner
    top, left = max(0, y - MARGIN), max(0, x - MARGIN)
    end, edge = min(known.shape[0], y + TILE + MARGIN), min(known.shape[1], x + TILE + MARGIN)
    outer = np.s_[top:end, left:edge]
    trimap = np.where(band[outer], 0.5, known[outer] >= 0.5)
    if not ((trimap == 0).any() and (trimap == 1).any()):
        return True  # all subject or all background around: nothing to solve from, and nothing is missing
    image = np.moveaxis(reduced(photo[top * step : end * step, left * step : edge * step], step), 0, 2)
    try:
        solution = np.asarray(solve(image.astype(np.float64), trimap.astype(np.float64)))
    except (ValueError, ArithmeticError, MemoryError, RuntimeError, np.linalg.LinAlgError) as error:
        LOG.info("closed-form matting of one tile failed: %s", error)
        return False
    if not np.isfinite(solution).all():
        return False
    inner = np.s_[y - top : min(y + TILE, end) - top, x - left : min(x + TILE, edge) - left]
    part = alpha[y : y + TILE, x : x + TILE]
    part[:] = np.where(band[outer][inner], np.clip(solution[inner], 0.0, 1.0), part)
    return True


def _carried(photo: NDArray[np.uint8], alpha: Plane, band: NDArray[np.bool_], step: int) -> Plane:
    """Coefficients that bring the solved alpha to full size, computed only near the band."""
    planes = np.zeros((4, *alpha.shape), np.float32)
    planes[3] = alpha
    if step == 1:
        return planes
    reach, (rows, columns) = guided.CARRY_REACH, alpha.shape
    near = dilate(band, reach)
    for y in range(0, rows, TILE):
        for x in range(0, columns, TILE):
            bottom, right = min(y + TILE, rows), min(x + TILE, columns)
            if not near[y:bottom, x:right].any():
                continue
            y0, y1, x0, x1 = (
                max(0, y - reach),
                min(rows, bottom + reach),
                max(0, x - reach),
                min(columns, right + reach),
            )
            pixels = reduced(photo[y0 * step : y1 * step, x0 * step : x1 * step], step)
            carried = guided.carry(pixels, alpha[y0:y1, x0:x1])
            planes[:, y:bottom, x:right] = carried[:, y - y0 : bottom - y0, x - x0 : right - x0]
    return planes
