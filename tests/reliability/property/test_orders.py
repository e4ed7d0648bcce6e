"""Whatever is ordered together: nothing hidden, nothing changed that is opaque, nothing carried that was not asked."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from tests.support.metadata import read

from cutoutd.config.output import Output
from cutoutd.models.decoding import icc
from cutoutd.models.rendering.compose import subject_box
from cutoutd.models.rendering.render import Subject, render

PROFILE = icc.display_p3_icc()
unhurried = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    """Small noisy photos with blocks of every alpha, also none at all, and background left under alpha 0."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    colour = random.integers(0, 256, (height, width, 3), np.uint8)
    alpha = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.sampled_from([3, 2, 1, 0]))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        value = draw(st.sampled_from([255, 128, 255, 1, 254, 0]))
        alpha[top : top + draw(st.integers(1, 20)), left : left + draw(st.integers(1, 20))] = value
    return Subject(colour, alpha, icc=draw(st.sampled_from([None, PROFILE])), photo=colour)


margins = st.lists(
    st.one_of(st.integers(0, 9).map(lambda n: f"{n}px"), st.integers(0, 30).map(lambda n: f"{n}%")),
    min_size=1,
    max_size=4,
).map(" ".join)
canvases = st.tuples(st.integers(1, 60), st.integers(1, 60)).map(lambda size: f"{size[0]}x{size[1]}")

ROOM: dict[str, st.SearchStrategy[Any]] = {
    "trim": st.booleans(),
    "margin": margins,
    "scale": st.integers(10, 100),
    "position": st.sampled_from(["center", "top left", "bottom", "100% 30%"]),
}
# Options of one row go together; options of different rows would contradict each other.
GEOMETRIES: list[dict[str, st.SearchStrategy[Any]]] = [
    {},
    ROOM,
    ROOM | {"aspect": st.sampled_from(["1:1", "4:5", "16:9", "1:3"]), "max_size": st.integers(20, 80)},
    ROOM | {"canvas": canvases, "max_size": st.integers(1, 80)},
    ROOM | {"size": st.sampled_from(["5x4mm", "0.2x0.3in"]), "dpi": st.sampled_from([72, 300])},
    {"dpi": st.sampled_from([72, 300, 1200])},
]
LOOKS: list[dict[str, st.SearchStrategy[Any]]] = [
    {"background": st.sampled_from(["white", "#102030"]), "shadow": st.sampled_from(["drop", "contact"])},
    {"shadow": st.sampled_from(["drop", "contact"]), "colour": st.just("keep-profile")},
    {"channels": st.just("alpha")},
    {"background": st.just("photo"), "colour": st.just("keep-profile")},
]
EFFORT = st.sampled_from(["fast", "small", 0, 9])


@st.composite
def orders(draw: st.DrawFn, *formats: str, geometries: list[int] | None = None, mask: bool = True) -> Output:
    """Orders of options that do not contradict each other."""
    geometry = GEOMETRIES[draw(st.sampled_from(geometries or range(len(GEOMETRIES))))]
    look = draw(st.sampled_from(LOOKS if mask else LOOKS[:2]))
    wanted = {**geometry, **look}
    options: dict[str, Any] = {key: draw(value) for key, value in wanted.items() if draw(st.booleans())}
    options |= {"format": draw(st.sampled_from(formats)), "compression": draw(EFFORT)}
    options["lossless"] = options["format"] == "webp"
    if options["format"] == "jpeg":
        options = {key: value for key, value in options.items() if key != "channels"} | {
            "background": "white"
        }
    try:
        return Output(**options)
    except ValidationError:
        assume(False)
        raise


def pixels(data: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


@unhurried
@given(subjects(), orders("png", "tiff", "webp"))
def test_alpha_0_means_rgb_0(subject: Subject, order: Output) -> None:
    got = pixels(render(subject, order).data)
    if got.ndim == 3 and got.shape[2] == 4:
        assert not got[got[..., 3] == 0].any()


@unhurried
@given(
    subjects(),
    orders("png", "tiff", "webp", geometries=[0, 1, 2, 5], mask=False),
)
def test_opaque_pixels_are_the_photos_own_where_nothing_is_scaled(subject: Subject, order: Output) -> None:
    assume(not (order.canvas or order.max_size))
    assume(not order.scale or order.trim or order.aspect)
    rendered = render(subject, order)
    got = pixels(rendered.data)
    box = subject_box(subject.alpha)
    used = subject.alpha
    colour = subject.colour
    if box is not None and (order.trim or order.scale):
        here = np.s_[box.top : box.bottom, box.left : box.right]
        used, colour = used[here], colour[here]
    top, left = _where(used, colour, got)
    part = got[top : top + used.shape[0], left : left + used.shape[1]]
    assert np.array_equal(part[used == 255][:, :3], colour[used == 255])
    if got.shape[2] == 4 and order.shadow == "none":
        assert np.array_equal(part[..., 3], used)


def _where(used: NDArray[np.uint8], colour: NDArray[np.uint8], got: NDArray[Any]) -> tuple[int, int]:
    """Where the photo's used part lies in the result, found by its opaque pixels alone."""
    opaque = used == 255
    assume(opaque.any())
    height, width = used.shape
    for top in range(got.shape[0] - height + 1):
        for left in range(got.shape[1] - width + 1):
            part = got[top : top + height, left : left + width]
            if np.array_equal(part[opaque][:, :3], colour[opaque]):
                return top, left
    raise AssertionError("the subject's opaque pixels are nowhere in the result")


@unhurried
@given(subjects(), orders("png", "tiff", "webp"))
def test_canvas_and_longest_side_are_exact(subject: Subject, order: Output) -> None:
    rendered = render(subject, order)
    got = pixels(rendered.data)
    assert got.shape[:2] == (rendered.height, rendered.width)
    exact = order.canvas_pixels
    if exact and (not order.max_size or max(exact) <= order.max_size):
        assert (rendered.width, rendered.height) == exact
    if order.max_size:
        assert max(rendered.width, rendered.height) <= order.max_size
    if order.aspect and min(rendered.width, rendered.height) > 8:
        across, down = (float(n) for n in order.aspect.split(":"))
        assert abs(rendered.width / rendered.height / (across / down) - 1) < 1 / min(got.shape[:2]) + 0.01


@unhurried
@given(subjects(), st.sampled_from(["png", "tiff", "webp"]))
def test_trim_cuts_to_the_last_visible_pixel(subject: Subject, kind: str) -> None:
    assume(subject.alpha.any())
    order = Output.model_validate({"format": kind, "trim": True, "lossless": kind == "webp"})
    # A reader of WebP leaves alpha out where all of it is 255.
    got = np.asarray(Image.open(io.BytesIO(render(subject, order).data)).convert("RGBA"))
    for edge in (got[0], got[-1], got[:, 0], got[:, -1]):
        assert edge[:, 3].any()
    assert np.array_equal(got[..., 3], subject.alpha[np.ix_(*_span(subject.alpha))])


def _span(alpha: NDArray[np.uint8]) -> list[NDArray[Any]]:
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    return [np.arange(int(seen[0]), int(seen[-1]) + 1) for seen in (rows, columns)]


@unhurried
@given(subjects(), orders("png", "tiff", "webp", "avif", "jpeg"))
def test_a_file_carries_nothing_that_was_not_ordered(subject: Subject, order: Output) -> None:
    carried = read(render(subject, order).data)
    allowed: set[str] = set()
    if order.density:
        allowed.add("density")
        assert carried.dpi is not None
        assert abs(carried.dpi[0] - order.density) < 0.5
    if subject.icc is not None and order.channels == "rgba":
        allowed.add("icc")
        assert carried.icc == subject.icc
    assert carried.extras == allowed


@unhurried
@given(subjects(), orders("png", "tiff", "webp", "avif", "jpeg"), st.integers(2, 4))
def test_the_same_order_gives_the_same_bytes(subject: Subject, order: Output, threads: int) -> None:
    assert render(subject, order).data == render(subject, order, threads=threads).data
