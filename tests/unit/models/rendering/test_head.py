from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cutoutd.models.rendering.head import find_head


def portrait(size: int, *, hair: float = 0.0, neck: float = 115, shift: int = 0) -> NDArray[np.uint8]:
    """A head of 155 × 232 mm on a neck and shoulders, 600 mm of height drawn on `size` pixels."""
    k = size / 600
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    x, crown = size / 2 + shift, 60 * k
    draw.ellipse((x - 77.5 * k, crown, x + 77.5 * k, crown + 232 * k), fill=255)
    if hair:
        draw.ellipse((x - (77.5 + hair) * k, crown, x + (77.5 + hair) * k, crown + 170 * k), fill=255)
    draw.rectangle((x - neck / 2 * k, crown + 180 * k, x + neck / 2 * k, crown + 320 * k), fill=255)
    draw.ellipse((x - 230 * k, crown + 280 * k, x + 230 * k, crown + 800 * k), fill=255)
    return np.asarray(image)


@pytest.mark.parametrize("size", [200, 600, 2400])
@pytest.mark.parametrize("hair", [0, 20, 40])
def test_crown_chin_and_middle_of_a_portrait(size: int, hair: float) -> None:
    head = find_head(portrait(size, hair=hair))
    k = size / 600
    assert head is not None
    assert head.crown == pytest.approx(60 * k, abs=3 * k)
    assert head.chin == pytest.approx((60 + 232) * k, rel=0.10)
    assert head.middle == pytest.approx(size / 2, abs=4 * k)


@pytest.mark.parametrize("neck", [95, 130])
def test_thin_and_thick_necks(neck: float) -> None:
    head = find_head(portrait(600, neck=neck))
    assert head is not None
    assert head.chin - head.crown == pytest.approx(232, rel=0.18)


def test_the_middle_follows_the_head() -> None:
    head = find_head(portrait(600, shift=-90))
    assert head is not None
    assert head.middle == pytest.approx(210, abs=4)


def test_without_a_neck_proportions_decide() -> None:
    alpha = portrait(600)
    alpha = alpha.copy()
    alpha[200:420, 215:385] = 255  # long hair hides the neck
    head = find_head(alpha)
    assert head is not None
    assert 180 < head.chin - head.crown < 290


def drawn(*shapes: tuple[str, tuple[int, int, int, int]]) -> NDArray[np.uint8]:
    """Ellipses and rectangles (left, top, right, bottom) on 400 × 400 pixels."""
    image = Image.new("L", (400, 400))
    for kind, box in shapes:
        getattr(ImageDraw.Draw(image), kind)(box, fill=255)
    return np.asarray(image)


THINGS: dict[str, NDArray[np.uint8]] = {
    "nothing": np.zeros((50, 50), np.uint8),
    "a line": np.eye(50, dtype=np.uint8) * 255,
    "a strip": np.full((6, 400), 255, np.uint8),
    "everything": np.full((400, 400), 255, np.uint8),
    "a ball": drawn(("ellipse", (100, 100, 300, 300))),
    "a bottle": drawn(("rectangle", (180, 40, 220, 140)), ("ellipse", (130, 120, 270, 390))),
    "a flower": drawn(
        ("ellipse", (120, 20, 280, 180)),
        ("rectangle", (195, 170, 205, 390)),
        ("ellipse", (60, 340, 340, 399)),
    ),
    "a box": drawn(("rectangle", (120, 60, 280, 200)), ("rectangle", (40, 200, 360, 390))),
    "a face alone": drawn(("ellipse", (100, 20, 300, 399))),
    "a lamp far above a table": drawn(
        ("ellipse", (180, 10, 220, 60)), ("rectangle", (190, 50, 210, 80)), ("rectangle", (0, 80, 399, 399))
    ),
}


@pytest.mark.parametrize("name", THINGS)
def test_what_is_no_portrait_has_no_head(name: str) -> None:
    assert find_head(THINGS[name]) is None


def test_faint_haze_above_the_head_is_not_the_crown() -> None:
    alpha = portrait(600).copy()
    alpha[:60] = np.maximum(alpha[:60], 40)
    head = find_head(alpha)
    assert head is not None
    assert head.crown == pytest.approx(60, abs=3)
