from __future__ import annotations

from typing import Any

import pytest

from cutoutd.config.output import Output
from cutoutd.models.rendering.layout import Box, Head, Placement, Reach, place

PHOTO = (600, 400)
SUBJECT = Box(100, 50, 300, 350)  # 200 × 300


def placed(photo: tuple[int, int] = PHOTO, subject: Box | None = SUBJECT, **options: Any) -> Placement:
    return place(Output(**options), photo, subject)


def test_without_options_the_photo_is_the_picture() -> None:
    assert placed() == Placement(PHOTO, Box(0, 0, *PHOTO), Box(0, 0, *PHOTO))
    assert placed().is_identity


# Options → canvas, and the box in which the used part of the photo lands.
TABLE: list[tuple[dict[str, Any], tuple[int, int], tuple[int, int, int, int]]] = [
    ({"trim": True}, (200, 300), (0, 0, 200, 300)),
    ({"trim": True, "margin": 10}, (220, 320), (10, 10, 210, 310)),
    ({"trim": True, "margin": "10%"}, (240, 360), (20, 30, 220, 330)),
    ({"trim": True, "margin": "1 2 3 4"}, (206, 304), (4, 1, 204, 301)),
    ({"margin": "0 50px"}, (700, 400), (50, 0, 650, 400)),
    ({"trim": True, "max_size": 150}, (100, 150), (0, 0, 100, 150)),
    ({"trim": True, "max_size": 320, "margin": 10}, (220, 320), (10, 10, 210, 310)),
    ({"trim": True, "max_size": 170, "margin": 10}, (120, 170), (10, 10, 110, 160)),
    ({"max_size": 300}, (300, 200), (0, 0, 300, 200)),
    ({"max_size": 5000}, (600, 400), (0, 0, 600, 400)),
    ({"trim": True, "aspect": "1:1"}, (300, 300), (50, 0, 250, 300)),
    ({"trim": True, "aspect": "1:3"}, (200, 600), (0, 150, 200, 450)),
    ({"trim": True, "aspect": "1:3", "position": "bottom"}, (200, 600), (0, 300, 200, 600)),
    ({"trim": True, "aspect": "1:1", "max_size": 150}, (150, 150), (25, 0, 125, 150)),
    ({"trim": True, "scale": 50}, (400, 600), (100, 150, 300, 450)),
    ({"scale": 50}, (600, 400), (233, 100, 366, 300)),
    ({"canvas": "300x300"}, (300, 300), (0, 50, 300, 250)),
    ({"canvas": "300x300", "trim": True}, (300, 300), (50, 0, 250, 300)),
    ({"canvas": "300x300", "trim": True, "margin": "10%"}, (300, 300), (70, 30, 230, 270)),
    ({"canvas": "1000x1000", "scale": 90}, (1000, 1000), (200, 50, 800, 950)),
    ({"canvas": "1000x1000", "scale": 90, "position": "0% 100%"}, (1000, 1000), (0, 100, 600, 1000)),
    ({"canvas": "1000x1000", "scale": 90, "margin": "100px"}, (1000, 1000), (260, 140, 740, 860)),
    ({"canvas": "1000x1000", "scale": 90, "max_size": 500}, (500, 500), (100, 25, 400, 475)),
    ({"size": "2x2in", "dpi": 100, "trim": True}, (200, 200), (33, 0, 166, 200)),
]


@pytest.mark.parametrize(("options", "canvas", "target"), TABLE)
def test_where_the_subject_lands(
    options: dict[str, Any], canvas: tuple[int, int], target: tuple[int, int, int, int]
) -> None:
    got = placed(**options)
    assert got.canvas == canvas
    assert (got.target.left, got.target.top, got.target.right, got.target.bottom) == pytest.approx(
        target, abs=1
    )
    whole = options.get("trim") or options.get("scale")
    assert got.source == (SUBJECT if whole else Box(0, 0, *PHOTO))


def test_a_picture_that_is_only_cut_is_not_resampled() -> None:
    assert not placed(trim=True, margin="7%").is_scaled
    assert not placed(trim=True, aspect="4:5", position="top").is_scaled
    assert placed(canvas="300x300").is_scaled


def test_without_a_subject_the_frame_counts() -> None:
    assert placed(subject=None, trim=True).source == Box(0, 0, *PHOTO)
    assert placed(subject=None, canvas="300x300", scale=50).canvas == (300, 300)


def test_a_trimmed_picture_leaves_room_for_its_shadow() -> None:
    reach = Reach(top=0.0, right=0.1, bottom=0.2, left=0.05)
    got = place(Output(trim=True), PHOTO, SUBJECT, reach=reach)
    assert got.canvas == (200 + 45, 300 + 60)
    assert (got.target.left, got.target.top) == (15, 0)
    # An ordered scale is kept to the letter; so is a frame that is not trimmed.
    assert place(Output(canvas="100x100", scale=80), PHOTO, SUBJECT, reach=reach).target.height == 80
    assert place(Output(), PHOTO, SUBJECT, reach=reach).canvas == PHOTO


@pytest.mark.parametrize(
    ("size", "share", "crown"), [("35x45mm", 0.73, 0.27 * 0.3), ("2x2in", 0.60, 0.4 * 0.3)]
)
def test_a_head_gets_its_height_and_stands_in_the_middle(size: str, share: float, crown: float) -> None:
    head = Head(crown=100, chin=300, middle=290)
    got = place(Output(size=size, fit="head"), (600, 800), SUBJECT, head)
    width, height = got.canvas
    factor = got.target.width / 600
    assert 200 * factor == pytest.approx(share * height, rel=0.01)
    assert got.target.top + 100 * factor == pytest.approx(crown * height, abs=2)
    assert got.target.left + 290 * factor == pytest.approx(width / 2, abs=2)


def test_head_height_and_aspect_keep_the_photos_own_pixels_where_they_can() -> None:
    head = Head(crown=100, chin=300, middle=290)
    got = place(Output(aspect="4:5", fit="head", head_height=50), (600, 800), SUBJECT, head)
    assert got.canvas == (320, 400)
    assert not got.is_scaled


def test_without_a_head_nothing_is_placed_by_it() -> None:
    with pytest.raises(ValueError, match="needs a head"):
        place(Output(size="2x2in", fit="head"), PHOTO, SUBJECT, None)
