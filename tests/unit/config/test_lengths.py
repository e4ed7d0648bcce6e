from __future__ import annotations

import pytest

from cutoutd.config import lengths
from cutoutd.config.lengths import Length


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("10%", ("10%", "10%", "10%", "10%")),
        ("40", ("40px", "40px", "40px", "40px")),
        ("1px 2%", ("1px", "2%", "1px", "2%")),
        ("1 2 3", ("1px", "2px", "3px", "2px")),
        ("1 2 3 4%", ("1px", "2px", "3px", "4%")),
    ],
)
def test_margins_follow_css(text: str, sides: tuple[str, ...]) -> None:
    margin = lengths.parse_margin(text)
    assert (str(margin.top), str(margin.right), str(margin.bottom), str(margin.left)) == sides


@pytest.mark.parametrize("text", ["", "1 2 3 4 5", "-3px", "5em", "auto", "10 %x"])
def test_what_is_no_margin_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="px"):
        lengths.parse_margin(text)


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("", ()),
        ("10% 0 90% 100px", ("10%", "0px", "90%", "100px")),
        ("1,2,3,4", ("1px", "2px", "3px", "4px")),
        ("-5% -5% 105% 105%", ("-5%", "-5%", "105%", "105%")),
        ("50% 50% 20px 20px", ("50%", "50%", "20px", "20px")),
    ],
)
def test_a_region_is_four_edges(text: str, edges: tuple[str, ...]) -> None:
    assert tuple(map(str, lengths.parse_roi(text))) == edges


@pytest.mark.parametrize("text", ["1 2 3", "1 2 3 4 5", "a b c d", "10mm 0 0 0"])
def test_what_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"four lengths|is not a length"):
        lengths.parse_roi(text)


@pytest.mark.parametrize("edge", ["nan", "inf%", "-infinity", "1e999px"])
def test_an_edge_of_a_region_is_a_number_that_can_be_counted(edge: str) -> None:
    with pytest.raises(ValueError, match="is not a length"):
        lengths.parse_roi(f"0 0 {edge} 100%")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("50% 50% 20% 20%", "right edge at 20%, not beyond its left edge at 50%"),
        ("100 600 500 400px", "bottom edge at 400px, not beyond its top edge at 600"),
        ("10% 0 10% 100%", "right edge"),
        ("50% 50% 20px 50%", "bottom edge"),
    ],
)
def test_a_region_that_ends_before_it_starts_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"{said}.*left, top, right and bottom.*not the region's width"):
        lengths.parse_roi(text)


def test_a_percentage_is_of_the_whole_it_is_given() -> None:
    assert Length(25, percent=True).pixels(200) == 50
    assert Length(25).pixels(200) == 25


@pytest.mark.parametrize(
    ("text", "inches"),
    [
        ("2x2in", (2, 2)),
        ("25.4x50.8mm", (1, 2)),
        ("2.54 x 5.08 cm", (1, 2)),
        ("2in x 50.8mm", (2, 2)),
        ("35×45mm", (35 / 25.4, 45 / 25.4)),
    ],
)
def test_physical_sizes_in_inches(text: str, inches: tuple[float, float]) -> None:
    assert lengths.parse_physical(text) == pytest.approx(inches)


@pytest.mark.parametrize("text", ["35x45", "0x0mm", "9000x1in", "mm", "2x2px"])
def test_what_is_no_physical_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        lengths.parse_physical(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("center", (0.5, 0.5)),
        ("bottom", (0.5, 1)),
        ("left", (0, 0.5)),
        ("top left", (0, 0)),
        ("left top", (0, 0)),
        ("center bottom", (0.5, 1)),
        ("bottom center", (0.5, 1)),
        ("50% 100%", (0.5, 1)),
        ("25% top", (0.25, 0)),
        ("30%", (0.3, 0.5)),
    ],
)
def test_positions(text: str, share: tuple[float, float]) -> None:
    assert lengths.parse_position(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "middle", "left right", "top bottom", "120% 0%", "10px 10px", "a b c"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        lengths.parse_position(text)


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("white", (255, 255, 255)),
        ("#abc", (0xAA, 0xBB, 0xCC)),
        ("#0A0b0C", (10, 11, 12)),
        ("mauve", None),
        ("#12345", None),
    ],
)
def test_colours(text: str, colour: tuple[int, int, int] | None) -> None:
    assert lengths.parse_colour(text) == colour


@pytest.mark.parametrize(("text", "ratio"), [("4:5", 0.8), ("16/9", 16 / 9), ("1.91:1", 1.91)])
def test_ratios(text: str, ratio: float) -> None:
    assert lengths.parse_ratio(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["4", "0:1", "1:0", "1:50", "a:b"])
def test_what_is_no_ratio_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=":"):
        lengths.parse_ratio(text)


@pytest.mark.parametrize("text", ["0x5", "70000x5", "5", "5x", "2000 2000"])
def test_what_is_no_canvas_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        lengths.parse_pixels(text)
