from __future__ import annotations

from typing import Any

import pytest

from cutoutd.config.matte import Matte
from cutoutd.config.output import Output
from cutoutd.models.rendering.reduction import reduced, reduction

PHOTO = (6000, 4000)


def order(**options: Any) -> Output:
    return Output(**options)


@pytest.mark.parametrize(
    ("side", "factor"),
    [(0, 1), (6000, 1), (3001, 1), (3000, 2), (2000, 2), (1501, 2), (1500, 4), (400, 4)],
)
def test_as_small_as_the_order_and_the_edges_allow(side: int, factor: int) -> None:
    assert reduction([order(max_size=side)], Matte(), PHOTO) == factor


def test_the_largest_order_decides() -> None:
    assert reduction([order(max_size=400), order(max_size=2000)], Matte(), PHOTO) == 2
    assert reduction([order(max_size=400), order()], Matte(), PHOTO) == 1


def test_no_order_is_enlarged_where_sides_are_odd() -> None:
    for width in range(4001, 4012):
        photo = (width, 2999)
        size = order(max_size=2000)
        factor = reduction([size], Matte(), photo)
        assert max(reduced(photo, factor)) >= 2000
    assert reduction([order(max_size=2000)], Matte(), (3998, 2999)) == 1


def test_a_canvas_counts_by_the_photos_part_of_it() -> None:
    assert reduction([order(canvas="3000x3000")], Matte(), PHOTO) == 2
    assert reduction([order(canvas="3000x3000", margin="25%")], Matte(), PHOTO) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"trim": True, "max_size": 400},
        {"scale": 85, "canvas": "400x400"},
        {"fit": "head", "canvas": "400x400"},
        {"background": "photo", "max_size": 400},
    ],
)
def test_what_depends_on_the_subject_takes_the_whole_photo(options: dict[str, Any]) -> None:
    assert reduction([order(**options)], Matte(), PHOTO) == 1


@pytest.mark.parametrize(
    "options",
    [{"roi": "10 10 90 90"}, {"grow": -2}, {"edge": "soft"}, {"edge": "crisp"}, {"closed_form": True}],
)
def test_what_counts_in_the_photos_pixels_takes_the_whole_photo(options: dict[str, Any]) -> None:
    assert reduction([order(max_size=400)], Matte(**options), PHOTO) == 1
