"""Points that somebody typed are points, and few."""

from __future__ import annotations

import pytest

from cutoutd.config.fixes import MOST_POINTS, Fixes
from cutoutd.config.lengths import Length, parse_point


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("1200,800", (Length(1200.0), Length(800.0))),
        ("45%, 60.5%", (Length(45.0, percent=True), Length(60.5, percent=True))),
        ("3px,50%", (Length(3.0), Length(50.0, percent=True))),
    ],
)
def test_points_are_in_pixels_or_per_cent(text: str, point: tuple[Length, Length]) -> None:
    assert parse_point(text) == point


@pytest.mark.parametrize("text", ["", "12", "1,2,3", "a,b", "-1,5", "nan,3"])
def test_what_is_no_point_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"point|length|edge|roi"):
        Fixes.of((text,), ())


def test_there_is_an_end_to_points_and_none_are_no_fix() -> None:
    assert not Fixes()
    assert Fixes.of((), ("1,1",))
    with pytest.raises(ValueError, match="too many"):
        Fixes.of(("1,1",) * MOST_POINTS, ("2,2",))
