"""What `refine` promises: exact colours where nothing is mixed, and better edges than resampling wherever it acts."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from tests.support import photos

from cutoutd.models.evaluation.solidity import share_of, thinned
from cutoutd.models.matting import matte, refiner
from cutoutd.models.matting.controls import Edge, MatteControls
from cutoutd.models.matting.matte import Engine, refine

pytestmark = pytest.mark.slow

# "auto" is one of the others, and what the tests without an engine take.
ENGINES = ["plain", "guided", "learned", pytest.param("auto", marks=pytest.mark.thorough)]


def weekly(*values: Any) -> Any:
    """A member of a table whose mechanism another one shows with every change."""
    return pytest.param(*values, marks=pytest.mark.thorough)


def _benchmark(name: str) -> ModuleType:
    path = Path(__file__).parents[4] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # edges.py imports synthetic_mattes by this name
    spec.loader.exec_module(module)
    return module


mattes = _benchmark("synthetic_mattes")
edges = _benchmark("edges")


def sample(name: str) -> NDArray[np.uint8]:
    return photos.pixels(name)


def disc(height: int, width: int) -> NDArray[np.float32]:
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    return np.clip((0.3 - distance) * 20 + 0.5, 0, 1).astype(np.float32)


SIZES = ((96, 96), (37, 61), (320, 320), (700, 900))


@pytest.mark.parametrize(
    ("engine", "size"),
    [
        *(("plain", size) for size in SIZES),
        ("guided", SIZES[1]),
        ("learned", SIZES[3]),
        *(weekly("guided", size) for size in SIZES if size != SIZES[1]),
        *(weekly("learned", size) for size in SIZES if size != SIZES[3]),
        *(weekly("auto", size) for size in SIZES),
    ],
)
def test_opaque_pixels_are_the_photos_and_transparent_ones_are_black(
    engine: Engine, size: tuple[int, int]
) -> None:
    photo = sample("astronaut")[:, :401]
    before = photo.copy()
    alpha, colour = refine(disc(*size), photo, engine=engine)
    assert alpha.dtype == colour.dtype == np.uint8
    assert alpha.shape == photo.shape[:2]
    assert colour.shape == photo.shape
    assert (colour[alpha == 255] == photo[alpha == 255]).all()
    assert not colour[alpha == 0].any()
    assert (alpha == 255).mean() > 0.1
    assert (alpha == 0).mean() > 0.3
    assert (photo == before).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [0, 1])
def test_an_alpha_without_edges_stays_without_edges(engine: Engine, value: float) -> None:
    photo = sample("coffee")[:333, :257]
    alpha, colour = refine(np.full((64, 64), value, np.float32), photo, engine=engine)
    assert (alpha == 255 * value).all()
    assert (colour == photo * value).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (5, 700)])
def test_the_smallest_and_thinnest_photos_pass(engine: Engine, shape: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), 90, np.uint8)
    for blurred in (False, True):
        alpha, colour = refine(disc(16, 16), photo, engine=engine, blurred=blurred)
        assert alpha.shape == shape
        assert colour.shape == (*shape, 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_alpha_of_the_photos_own_size_is_kept(engine: Engine) -> None:
    photo = sample("chelsea")
    true = disc(*photo.shape[:2])
    alpha, _ = refine(true, photo, engine=engine)
    assert np.abs(alpha / 255 - true).max() < 0.01


def test_a_blurred_answer_is_redrawn_at_the_photos_own_size_and_a_mask_is_not() -> None:
    truth = np.clip((disc(300, 340) - 0.5) * 8 + 0.5, 0, 1).astype(np.float32)
    shades = np.random.default_rng(2).normal(0, 4, (300, 340, 1))
    photo = (truth[..., None] * (190, 120, 60) + (1 - truth[..., None]) * (70, 90, 110) + shades).astype(
        np.uint8
    )
    small = Image.fromarray((truth * 255).astype(np.uint8)).resize((320, 320))
    answer = np.asarray(np.asarray(small.filter(ImageFilter.GaussianBlur(3))) / 255, np.float32)
    engines: tuple[tuple[Engine, bool], ...] = (("learned", True), ("guided", False))
    for engine, better in engines:
        alike, redrawn = (
            refine(answer, photo, engine=engine, blurred=blurred)[0] for blurred in (False, True)
        )
        before, after = (np.abs(alpha / 255 - truth).mean() for alpha in (alike, redrawn))
        assert (after < 0.5 * before) == better, (
            "the other engines know no alpha that is blurred at this size"
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_input_gives_the_same_bytes(engine: Engine) -> None:
    photo = sample("coffee")
    first, second = (refine(disc(80, 80), photo, engine=engine) for _ in range(2))
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()


@functools.cache
def scenes() -> list[Any]:
    sources = mattes.textures()
    return [mattes.scene(name, 11, sources) for name in ("hair", "fur", "product", "defocus")]


@functools.cache
def resampled(answer: Any) -> NDArray[np.float64]:
    """Of bilinear mattes with mixture colours: SAD, MSE, gradient error, fringe."""
    plain = [edges.resample(answer(s.alpha), s.photo, Image.Resampling.BILINEAR) for s in scenes()]
    return np.mean([edges.measure(p, s) for p, s in zip(plain, scenes(), strict=True)], 0)


def ratios(engine: Engine, answer: Any) -> NDArray[np.float64]:
    """Theirs divided by ours."""
    ours = [edges.measure(refine(answer(s.alpha), s.photo, engine=engine), s) for s in scenes()]
    return resampled(answer) / np.mean(ours, 0)


@pytest.mark.parametrize(
    ("engine", "sad", "mse", "fringe"), [("guided", 2.0, 2.5, 2.5), ("learned", 2.0, 2.5, 3.0)]
)
def test_edges_from_a_blurred_answer_are_far_better_than_resampled(
    engine: Engine, sad: float, mse: float, fringe: float
) -> None:
    gain = ratios(engine, mattes.network_like)
    assert gain[0] >= sad
    assert gain[1] >= mse
    assert gain[2] >= 1.0
    assert gain[3] >= fringe


@pytest.mark.parametrize("engine", ["guided", "learned"])
def test_a_good_alpha_does_not_get_worse(engine: Engine) -> None:
    assert (ratios(engine, mattes.perfect) >= 1.0).all()


OFTEN = ("strap", "chain", "frames")  # one part, many small ones, an outline


@pytest.mark.parametrize("kind", [kind if kind in OFTEN else weekly(kind) for kind in mattes.THIN])
def test_the_default_engine_keeps_thin_parts_in_one_piece(kind: str) -> None:
    scene = mattes.scene(kind, 5)
    alpha, _ = refine(mattes.network_like(scene.alpha), scene.photo)
    assert share_of(alpha > 127, thinned(scene.alpha > 0.5)) >= 0.95


@pytest.mark.parametrize("engine", ["guided", "learned"])
def test_large_photos_are_refined_too(engine: Engine) -> None:
    scene = mattes.scene("fur", 3)
    size = (2400, 1800)
    photo = np.asarray(Image.fromarray(scene.photo).resize(size, Image.Resampling.BICUBIC))
    true = np.clip(np.asarray(Image.fromarray(scene.alpha).resize(size, Image.Resampling.BICUBIC)), 0, 1)
    answer = mattes.network_like(scene.alpha)
    plain = np.asarray(Image.fromarray(answer).resize(size, Image.Resampling.BILINEAR))
    alpha, _ = refine(answer, photo, engine=engine)
    assert ((alpha / 255 - true) ** 2).mean() * 2 < ((plain - true) ** 2).mean()


def test_a_crisp_edge_is_narrower_and_a_soft_one_wider() -> None:
    photo = sample("astronaut")
    y, x = np.mgrid[0:512, 0:512]
    sharp = np.clip((180 - np.hypot(y - 256, x - 256)) / 6, 0, 1).astype(np.float32)
    width: dict[str, int] = {}
    edges_asked: list[Edge] = ["crisp", "natural", "soft"]
    for edge in edges_asked:
        alpha, colour = refine(sharp, photo, engine="plain", controls=MatteControls(edge=edge))
        width[edge] = int(((alpha > 0) & (alpha < 255)).sum())
        same = sharp == 1.0 if edge == "crisp" else alpha == 255
        assert (alpha[same] == 255).all()
        assert (colour[same] == photo[same]).all()
        assert not colour[alpha == 0].any()
    assert width["crisp"] < 0.8 * width["natural"]
    assert width["soft"] > 1.2 * width["natural"]


def test_a_soft_edge_of_a_part_is_as_wide_as_on_the_whole_photo() -> None:
    photo = np.full((400, 500, 3), 127, np.uint8)
    sharp = (disc(400, 500) > 0.5).astype(np.float32)
    wide = {}
    for side in (0, 500, 8000, 16000):
        alpha, _ = refine(sharp, photo, engine="plain", controls=MatteControls(edge="soft", longer_side=side))
        wide[side] = int(((alpha > 0) & (alpha < 255)).sum())
    assert wide[0] == wide[500]
    # Four and eight pixels instead of one.
    assert wide[16000] > 1.7 * wide[8000] > 1.7 * 2 * wide[500]


@pytest.mark.parametrize(
    ("engine", "grow"),
    [
        ("plain", -2.0),
        ("guided", 2.0),
        ("learned", 0.0),
        *(weekly("plain", grow) for grow in (0.0, 2.0)),
        *(weekly("guided", grow) for grow in (-2.0, 0.0)),
        *(weekly("learned", grow) for grow in (-2.0, 2.0)),
    ],
)
def test_a_crisp_edge_has_the_subjects_colour_and_nothing_of_the_old_background(
    engine: Engine, grow: float
) -> None:
    y, x = np.mgrid[0:400, 0:400]
    true = 1 / (1 + np.exp((np.hypot(y - 200, x - 200) - 130) / 6))
    true[true < 0.002], true[true > 0.998] = 0, 1
    red, green = np.array([220, 40, 40]), np.array([20, 200, 40])
    photo = (true[..., None] * red + (1 - true[..., None]) * green + 0.5).astype(np.uint8)
    answer = np.asarray(Image.fromarray(true.astype(np.float32)).resize((160, 160), Image.Resampling.BOX))
    natural, estimated = refine(answer, photo, engine=engine, controls=MatteControls(grow=grow))
    alpha, colour = refine(answer, photo, engine=engine, controls=MatteControls(edge="crisp", grow=grow))
    lifted = (alpha == 255) & (natural < 255)
    assert lifted.sum() > 2000
    assert (colour[lifted] == estimated[lifted]).all()
    # The photo shows up to a quarter of green there, 50 levels; the estimate is as good as the engine's alpha. The
    # learned one calls the innermost of a blur as wide as this solid, and leaves it its colour.
    shown, estimate = (np.abs(each[lifted].astype(int) - red).max(1) for each in (photo, colour))
    assert shown.max() > 40
    assert estimate.max() <= (38 if engine == "learned" else 30)
    assert estimate.mean() <= 0.7 * shown.mean()


@pytest.mark.parametrize("pixels", [-9.0, 4.5, 30.0])
def test_growing_moves_the_outline_by_pixels_of_the_photo(pixels: float) -> None:
    photo = np.full((480, 480, 3), 120, np.uint8)
    y, x = np.mgrid[0:480, 0:480]
    true = np.clip(200.5 - np.hypot(y - 239.5, x - 239.5), 0, 1).astype(np.float32)
    alpha, _ = refine(true, photo, controls=MatteControls(grow=pixels))
    radius = np.sqrt((alpha / 255).sum() / np.pi)
    assert radius == pytest.approx(200 + pixels, abs=0.8)


def test_auto_is_learned_until_too_much_of_the_photo_is_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    photo = rng.integers(0, 256, (300, 400, 3), np.uint8)
    alpha = np.zeros((60, 80), np.float32)
    alpha[20:40, 30:50] = 1.0
    asked: list[Engine] = ["auto", "learned", "guided"]
    few, learned, _ = (refine(alpha, photo, engine=engine)[0] for engine in asked)
    assert (few == learned).all()
    monkeypatch.setattr(refiner, "CHOSEN_MOST", 1000)
    many, learned, guided = (refine(alpha, photo, engine=engine)[0] for engine in asked)
    assert (many == guided).all()
    assert (many != learned).any()


def test_what_is_precise_in_a_part_keeps_its_means_as_if_all_of_the_photo_were_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = np.asarray(Image.fromarray(sample("astronaut")).resize((1400, 1000)))
    alpha = np.clip(disc(240, 320), 0.001, 0.999)
    alpha[200:230, 20:50] = 0.999  # edges within one sample, while the disc's are four wide
    near, _ = refine(alpha, photo)
    monkeypatch.setattr(matte, "MEANS_MARGIN", 1000)
    everywhere, _ = refine(alpha, photo)
    off = np.abs(near.astype(int) - everywhere)
    assert off.max() <= 8

    def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(matte, "_keep_means", nothing)
    without, _ = refine(alpha, photo)
    assert np.abs(without.astype(int) - everywhere).mean() > 20 * off.mean()


@pytest.mark.parametrize(("subject", "background"), [(0.06, 0.03), weekly(0.92, 0.97)])
def test_black_on_black_and_white_on_white_keep_their_fur(
    subject: float, background: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = mattes.scene("fur", 0)
    rng = np.random.default_rng(6)
    truth: NDArray[np.float32] = scene.alpha
    mixed = background + (subject - background) * truth[:, :, None]
    noisy = np.clip(mixed + rng.normal(0, 0.004, (*truth.shape, 3)), 0, 1)
    photo = (noisy * 255 + 0.5).astype(np.uint8)
    answer = mattes.network_like(scene.alpha)

    def error(engine: Engine) -> float:
        return float(np.abs(refine(answer, photo, engine=engine)[0] / 255 - truth).sum())

    plain, stretched = error("plain"), error("learned")
    monkeypatch.setattr(refiner, "GAIN_MOST", 1.0)
    assert stretched < 0.5 * plain
    assert stretched < 0.8 * error("learned")
