from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image
from tests.support.photos import pixels

from cutoutd.models.decoding import colour, icc
from cutoutd.models.networks.catalog import ModelSpec, catalogue, like_rembg, resolve
from cutoutd.models.networks.inputs import SAMPLES_PER_PIXEL, enough, fit_to_input, shrink, to_planes

Photo = NDArray[np.uint8]
BUNDLED = resolve("standard", Path("/nowhere"))


@pytest.fixture(scope="module")
def cat() -> Photo:
    return pixels("chelsea")


def test_the_smallest_picture_with_samples_enough_is_shown() -> None:
    whole, half, quarter = (np.zeros((side, 2 * side, 3), np.uint8) for side in (1600, 800, 400))
    pictures = (quarter, half, whole)
    assert enough(pictures, 320) is quarter
    assert enough(pictures, 321) is half, "1.25 samples for each pixel of the input"
    assert enough(pictures, 4000) is whole


# rembg's arithmetic passes no pixel over: a large photo differs from a small one only in what it costs.
@pytest.mark.parametrize(
    ("spec", "size"),
    [
        pytest.param(BUNDLED, (300, 200), id="area"),
        pytest.param(BUNDLED, (3000, 2700), id="area, large"),
        pytest.param(like_rembg(BUNDLED), (300, 200), id="lanczos"),
        pytest.param(like_rembg(BUNDLED), (3000, 2700), id="lanczos, large", marks=pytest.mark.thorough),
    ],
)
def test_a_photo_in_another_space_looks_as_in_srgb_to_the_bit(
    spec: ModelSpec, size: tuple[int, int], cat: Photo
) -> None:
    photo = np.asarray(Image.fromarray(cat).resize(size))
    to_srgb = colour.to_srgb(icc.adobe_rgb_icc())
    assert to_srgb is not None
    converted = to_srgb(photo)
    assert np.abs(converted.astype(int) - photo).max() > 20
    assert np.array_equal(fit_to_input(photo, spec, to_srgb)[0], fit_to_input(converted, spec)[0])


def test_of_a_large_photo_only_what_is_looked_at_is_converted(cat: Photo) -> None:
    asked: list[int] = []

    def counted(rgb: Photo) -> Photo:
        asked.append(rgb.shape[0] * rgb.shape[1])
        return rgb

    fit_to_input(np.asarray(Image.fromarray(cat).resize((3000, 2700))), BUNDLED, counted)
    (pixels,) = asked
    assert pixels < 3000 * 2700 / 3


def test_a_24_megapixel_photo_is_shrunk_quickly_and_faithfully() -> None:
    rng = np.random.default_rng(0)
    astronaut = Image.fromarray(pixels("astronaut")).resize((6000, 4000))
    noise = np.tile(rng.normal(0, 12, (500, 500, 1)).astype(np.int16), (8, 12, 1))
    photo = np.clip(np.asarray(astronaut) + noise, 0, 255).astype(np.uint8)
    times: list[float] = []
    small = photo
    for _ in range(5):
        started = time.thread_time()  # of this thread alone, for the machine may be busy
        small = shrink(photo, 320, 320, BUNDLED)
        times.append(time.thread_time() - started)
    assert min(times) < 0.040
    whole = np.asarray(Image.fromarray(photo).resize((320, 320), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - whole).mean() < 3


@pytest.mark.parametrize("way", [np.s_[:, :], np.s_[::-1, :], np.s_[:, ::-1], np.s_[1:, 1:], np.s_[::2, ::3]])
@pytest.mark.parametrize("shape", [(2, 2), (2, 5200), (2562, 3), (2563, 1285)])
def test_every_so_many_th_pixel_of_any_view_is_averaged(
    shape: tuple[int, int], way: tuple[slice, slice]
) -> None:
    photo = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)[way]
    every = [max(1, side // (320 * SAMPLES_PER_PIXEL)) for side in photo.shape[:2]]
    down, across = (slice(step // 2, None, step) for step in every)
    thin = np.ascontiguousarray(photo[down, across])
    height, width = (
        min(side / step, one) for side, step, one in zip(photo.shape, every, thin.shape, strict=False)
    )
    expected = Image.fromarray(thin).resize((320, 320), Image.Resampling.BILINEAR, box=(0, 0, width, height))
    for convert in (None, np.copy):
        assert np.array_equal(shrink(photo, 320, 320, BUNDLED, convert), np.asarray(expected))


def test_shrinking_does_not_move_the_picture() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 5003)[:, np.newaxis, np.newaxis], (5003, 4099, 3)).astype(
        np.uint8
    )
    small = shrink(np.ascontiguousarray(ramp), 320, 320, BUNDLED)[:, 160, 0].astype(float)
    true = (np.arange(320) + 0.5) / 320 * 255
    assert np.abs(small - true).max() < 1.2  # a pixel's step is 0.8


@pytest.mark.parametrize("name", ["u2netp", "isnet-imgly", "birefnet-general", "cutout-s"])
@pytest.mark.parametrize("normalise", ["255", "max"])
def test_planes_are_the_formula_in_double_precision(name: str, normalise: Any) -> None:
    spec = replace(catalogue()[name], normalise=normalise)
    photo = np.random.default_rng(5).integers(0, 200, (8, 9, 3), dtype=np.uint8)
    top = 255 if normalise == "255" else photo.max()
    expected = (
        ((photo / top - np.array(spec.mean)) / np.array(spec.std)).transpose(2, 0, 1).astype(np.float32)
    )
    assert np.array_equal(to_planes(photo, spec), expected)


def test_a_black_photo_divides_by_no_zero() -> None:
    planes = to_planes(np.zeros((4, 4, 3), np.uint8), replace(catalogue()["u2netp"], normalise="max"))
    assert np.isfinite(planes).all()
