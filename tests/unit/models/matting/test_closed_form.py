"""Closed-form matting: solves the band where it can, and otherwise says so and changes nothing."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import photos

from cutoutd.models.matting import closed_form
from cutoutd.models.matting.matte import refine

pytestmark = pytest.mark.slow


def sample(name: str) -> NDArray[np.uint8]:
    return photos.pixels(name)


def disc(side: int) -> NDArray[np.float32]:
    y, x = np.mgrid[0:side, 0:side]
    return np.clip((0.3 - np.hypot(y / side - 0.5, x / side - 0.5)) * 15 + 0.5, 0, 1).astype(np.float32)


def test_without_the_extra_the_matte_is_as_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "solver", lambda: None)
    photo = np.ascontiguousarray(sample("astronaut")[::2, ::2])
    notes: list[str] = []
    alpha, colour = refine(disc(96), photo, closed_form=True, notes=notes)
    plain_alpha, plain_colour = refine(disc(96), photo)
    assert (alpha == plain_alpha).all()
    assert (colour == plain_colour).all()
    assert len(notes) == 1
    assert "-m pip install pymatting" in notes[0]


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), np.linalg.LinAlgError("singular")])
def test_a_solver_that_fails_costs_a_note_and_no_cutout(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(image: NDArray[np.float64], trimap: NDArray[np.float64]) -> None:
        raise error

    monkeypatch.setattr(closed_form, "solver", lambda: fail)
    notes: list[str] = []
    alpha, _ = refine(
        disc(96), np.ascontiguousarray(sample("astronaut")[::2, ::2]), closed_form=True, notes=notes
    )
    assert (alpha == 255).mean() > 0.1
    assert "gave up" in notes[0]


@pytest.mark.parametrize("size", [(512, 512), (2600, 2100)])
def test_only_band_tiles_reach_the_solver_and_none_is_large(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    seen: list[tuple[int, ...]] = []

    def record(image: NDArray[np.float64], trimap: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(trimap.shape)
        assert image.shape == (*trimap.shape, 3)
        assert set(np.unique(trimap)) <= {0.0, 0.5, 1.0}
        return np.where(trimap == 0.5, 0.25, trimap)

    monkeypatch.setattr(closed_form, "solver", lambda: record)
    photo = np.resize(sample("astronaut"), (*size, 3))
    alpha, colour = refine(disc(96), photo, closed_form=True)
    assert seen
    assert max(max(shape) for shape in seen) <= 256
    assert 50 < np.median(alpha[(alpha > 0) & (alpha < 255)]) < 80  # the solver's quarter of opacity
    assert (colour[alpha == 255] == photo[alpha == 255]).all()


@pytest.mark.thorough  # it loads Numba, which takes a core some seconds
def test_who_uses_pymatting_beside_it_gets_it_whole() -> None:
    dispatcher = pytest.importorskip("numba.core.dispatcher").Dispatcher
    if importlib.util.find_spec("pymatting") is None:
        pytest.skip("pymatting is not installed")
    before = dispatcher.enable_caching
    closed_form.solver.cache_clear()
    solve = closed_form.solver()
    assert solve is not None
    assert closed_form.solver() is solve
    assert [name for name in sys.modules if name.split(".")[0] == "pymatting"] == []
    assert dispatcher.enable_caching is before
