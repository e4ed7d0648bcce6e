from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cutoutd.config.output import Output
from cutoutd.models.rendering.layout import Box, Head
from cutoutd.models.rendering.window import Window, edge_colour, place_in_photo

PHOTO = (600, 400)
SUBJECT = Box(100, 50, 300, 350)  # 200 × 300


def cut(subject: Box | None = SUBJECT, **options: Any) -> Window:
    return place_in_photo(Output(background="photo", **options), PHOTO, subject)


def shown(window: Window) -> tuple[float, float, float, float]:
    """The part of the photo that fills the canvas: left, top, right, bottom in its pixels."""
    (width, height), target = window.placement.canvas, window.placement.target
    assert window.placement.source == Box(0, 0, *PHOTO)
    across, down = PHOTO[0] / target.width, PHOTO[1] / target.height
    return (
        -target.left * across,
        -target.top * down,
        (width - target.left) * across,
        (height - target.top) * down,
    )


# Options → canvas, and the part of the photo that is shown.
TABLE: list[tuple[dict[str, Any], tuple[int, int], tuple[int, int, int, int]]] = [
    ({}, (600, 400), (0, 0, 600, 400)),
    ({"max_size": 300}, (300, 200), (0, 0, 600, 400)),
    ({"trim": True}, (200, 300), (100, 50, 300, 350)),
    ({"trim": True, "margin": 40}, (280, 380), (60, 10, 340, 390)),
    ({"trim": True, "max_size": 150}, (100, 150), (100, 50, 300, 350)),
    ({"trim": True, "aspect": "1:1"}, (300, 300), (50, 50, 350, 350)),
    ({"trim": True, "aspect": "1:1", "position": "left"}, (300, 300), (100, 50, 400, 350)),
    # The largest cut of that shape, around the subject.
    ({"aspect": "1:1"}, (400, 400), (0, 0, 400, 400)),
    ({"aspect": "1:1", "position": "left"}, (400, 400), (100, 0, 500, 400)),
    ({"aspect": "1:1", "max_size": 100}, (100, 100), (0, 0, 400, 400)),
    ({"canvas": "200x200"}, (200, 200), (0, 0, 400, 400)),
    ({"canvas": "800x800"}, (800, 800), (0, 0, 400, 400)),
    ({"canvas": "300x300", "trim": True}, (300, 300), (50, 50, 350, 350)),
    # 300 of 375 rows are the subject's.
    ({"canvas": "750x750", "scale": 80}, (750, 750), (12, 12, 388, 388)),
    # Moved to lie inside: without it the left edge would be at -87.
    ({"trim": True, "margin": "50px 187px"}, (574, 400), (0, 0, 574, 400)),
]


@pytest.mark.parametrize(("options", "canvas", "part"), TABLE)
def test_what_is_shown_of_the_photo(
    options: dict[str, Any], canvas: tuple[int, int], part: tuple[int, int, int, int]
) -> None:
    got = cut(**options)
    assert got.placement.canvas == canvas
    assert shown(got) == pytest.approx(part, abs=1)
    assert not got.tight
    assert not any(got.sides)


# Options → canvas, and the part that is shown where the photo has too little room.
NARROW: list[tuple[dict[str, Any], tuple[int, int], tuple[int, int, int, int]]] = [
    ({"canvas": "800x800", "scale": 60}, (800, 800), (0, 0, 400, 400)),
    ({"trim": True, "margin": "100px"}, (320, 400), (40, 0, 360, 400)),
    ({"trim": True, "margin": "100px", "max_size": 320}, (280, 320), (25, 0, 375, 400)),
]


@pytest.mark.parametrize(("options", "canvas", "part"), NARROW)
def test_where_room_is_missing_less_of_it_is_shown_and_said(
    options: dict[str, Any], canvas: tuple[int, int], part: tuple[int, int, int, int]
) -> None:
    got = cut(**options)
    assert got.tight
    assert not any(got.sides)
    assert got.placement.canvas == canvas
    assert shown(got) == pytest.approx(part, abs=1)


def test_the_subject_is_never_cut_off_by_a_shape_that_does_not_fit_into_the_photo() -> None:
    got = cut(Box(10, 100, 590, 300), aspect="1:1")
    assert got.sides == (False, True, False, True)
    assert got.placement.canvas == (580, 580)
    assert shown(got) == pytest.approx((10, -90, 590, 490), abs=1)
    # As little as possible of what is not photo: none below, where the subject stands in the corner.
    corner = cut(Box(10, 200, 590, 400), canvas="100x100", position="bottom")
    assert corner.sides == (False, True, False, False)


def test_without_scaling_pixels_keep_their_places() -> None:
    cuts: list[dict[str, Any]] = [
        {"trim": True, "margin": "7%"},
        {"aspect": "4:5"},
        {"trim": True, "aspect": "16:9"},
    ]
    for options in cuts:
        assert not cut(**options).placement.is_scaled


def test_without_a_subject_the_whole_photo_counts() -> None:
    assert shown(cut(None, trim=True)) == (0, 0, 600, 400)


def test_a_head_keeps_its_ordered_height_and_place() -> None:
    order = Output(background="photo", fit="head", size="35x45mm")
    got = place_in_photo(order, (600, 800), Box(100, 10, 500, 800), Head(20, 220, 290))
    scale = got.placement.target.height / 800
    assert 200 * scale == pytest.approx(0.73 * got.placement.canvas[1], rel=0.01)
    assert got.sides == (False, True, False, False)


@pytest.mark.parametrize("size", [(601, 397), (97, 1013), (1000, 1000)])
@pytest.mark.parametrize("canvas", ["33x77", "500x499", "1601x1200"])
def test_rounding_leaves_no_gap_at_the_photos_edge(size: tuple[int, int], canvas: str) -> None:
    for left in range(0, size[0] - 40, 37):
        box = Box(left, 20, left + 40, 60)
        got = place_in_photo(Output(background="photo", canvas=canvas, scale=10), size, box)
        assert not any(got.sides)


@pytest.mark.parametrize("times", [1, 257])
def test_the_edges_colour_is_that_of_the_sides_that_are_too_short(times: int) -> None:
    photo: Any = np.zeros((20, 30, 3), np.uint16 if times > 1 else np.uint8)
    photo[0:2], photo[-2:], photo[5, 5] = 200 * times, 40 * times, 99 * times
    assert edge_colour(photo, (False, True, False, False)).tolist() == [200, 200, 200]
    assert edge_colour(photo, (False, False, False, True)).tolist() == [40, 40, 40]
    assert edge_colour(photo, (True, False, True, False)).tolist() == [0, 0, 0]
