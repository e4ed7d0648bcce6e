"""Notations of the output options (lengths, sizes, ratios, positions) as values; declares no option."""

from __future__ import annotations

import math
import re

from msgspec import Struct

_LENGTH = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(px|%)?\s*$")
_PIXELS = re.compile(r"^\s*(\d+)\s*[x×]\s*(\d+)\s*(?:px)?\s*$", re.IGNORECASE)
_PHYSICAL = re.compile(
    r"^\s*(\d+(?:\.\d+)?)\s*(mm|cm|in)?\s*[x×]\s*(\d+(?:\.\d+)?)\s*(mm|cm|in)\s*$", re.IGNORECASE
)
_RATIO = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*[:/]\s*(\d+(?:\.\d+)?)\s*$")
_COLOUR = re.compile(r"^#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")

NAMED_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}
_INCHES = {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1.0}
_ACROSS = {"left": 0.0, "center": 0.5, "centre": 0.5, "right": 1.0}
_DOWN = {"top": 0.0, "center": 0.5, "centre": 0.5, "bottom": 1.0}

# No output side may be longer: JPEG ends at 65,535, WebP at 16,383 (checked where it is encoded).
MAX_SIDE_PX = 65_000


class Length(Struct, frozen=True):
    """A length in pixels, or in per cent of something that the option names."""

    value: float
    percent: bool = False

    def pixels(self, whole: float) -> float:
        """This length in pixels where 100 % is `whole` pixels."""
        return self.value / 100 * whole if self.percent else self.value

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.percent else 'px'}"


class Margin(Struct, frozen=True):
    """The free edge on each side, in CSS order."""

    top: Length
    right: Length
    bottom: Length
    left: Length

    def __bool__(self) -> bool:
        return any(side.value for side in (self.top, self.right, self.bottom, self.left))


def parse_length(text: str) -> Length:
    """Read "40", "40px" or "10%"; ValueError with an example for anything else."""
    found = _LENGTH.match(text)
    if found is None:
        raise ValueError(f'"{text}" is no length: write pixels such as "40px", or per cent such as "10%"')
    return Length(float(found[1]), found[2] == "%")


def parse_margin(text: str) -> Margin:
    """Read one to four lengths in CSS order: all; vertical horizontal; top horizontal bottom; t r b l.

    Raises:
        ValueError: it is none, with an example.
    """
    sides = [parse_length(part) for part in text.split()]
    match sides:
        case [every]:
            return Margin(every, every, every, every)
        case [vertical, across]:
            return Margin(vertical, across, vertical, across)
        case [top, across, bottom]:
            return Margin(top, across, bottom, across)
        case [top, right, bottom, left]:
            return Margin(top, right, bottom, left)
        case _:
            raise ValueError(
                f'"{text}" has {len(sides)} values: write one to four lengths, such as "10%" or "40px 20px"'
            )


def parse_roi(text: str) -> tuple[Length, ...]:
    """Left, top, right and bottom edge from `"10% 0 90% 100%"`; empty text gives an empty tuple.

    Raises:
        ValueError: when the text is not four lengths, or ends before it starts.
    """
    parts = text.replace(",", " ").split()
    if not parts:
        return ()
    edges = [_edge(part) for part in parts]
    if len(edges) != 4:
        raise ValueError(f'roi wants four lengths, "left top right bottom", not {len(edges)}')
    for first, last, names in ((0, 2, ("right", "left")), (1, 3, ("bottom", "top"))):
        start, stop = edges[first], edges[last]
        # Pixels and per cent can only be compared once there is a photo.
        if start.percent == stop.percent and stop.value <= start.value:
            raise ValueError(
                f'"{text}" has its {names[0]} edge at {parts[last]}, not beyond its {names[1]} edge at '
                f"{parts[first]}: write the edges left, top, right and bottom, all counted from the photo's top "
                "left corner (the last two are not the region's width and height)"
            )
    return tuple(edges)


def parse_point(text: str) -> tuple[Length, Length]:
    """How far to the right and down from the top left corner, from "1200,800" or "45%,60%".

    Raises:
        ValueError: when the text is not two lengths, or one of them is negative.
    """
    parts = text.replace(",", " ").split()
    if len(parts) != 2:
        raise ValueError(f'"{text}" is no point: write "x,y", such as "1200,800" or "45%,60%"')
    x, y = (_edge(part) for part in parts)
    if x.value < 0 or y.value < 0:
        raise ValueError(f'"{text}" lies outside of any photo: points count from the top left corner')
    return x, y


def _edge(text: str) -> Length:
    """One edge of a region; below 0 and beyond the photo is allowed, and means the photo's own edge."""
    try:
        number = float(text.removesuffix("%").removesuffix("px"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):  # Python reads "nan" and "inf" as numbers
        raise ValueError(f'"{text}" is not a length: write "120px" or "10%"')
    return Length(number, text.endswith("%"))


def parse_pixels(text: str) -> tuple[int, int]:
    """Read "2000x1500" as (width, height) in pixels; ValueError where it is none, or a side is beyond MAX_SIDE_PX."""
    found = _PIXELS.match(text)
    if found is None:
        raise ValueError(f'"{text}" is no size in pixels: write width x height such as "2000x2000"')
    width, height = int(found[1]), int(found[2])
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX):
        raise ValueError(f'"{text}" is out of range: each side lies between 1 and {MAX_SIDE_PX} pixels')
    return width, height


def parse_physical(text: str) -> tuple[float, float]:
    """Read "35x45mm", "2x2in" or "9x13cm" as (width, height) in inches, 0.1 to 100 each; else ValueError."""
    found = _PHYSICAL.match(text)
    if found is None:
        raise ValueError(f'"{text}" is no physical size: write one such as "35x45mm" or "2x2in"')
    unit = found[4].lower()
    width = float(found[1]) * _INCHES[(found[2] or unit).lower()]
    height = float(found[3]) * _INCHES[unit]
    # 100 inches at 600 dpi is as much as the pixel limit allows; below 0.1 inch nothing is printed.
    if not (0.1 <= width <= 100 and 0.1 <= height <= 100):
        raise ValueError(f'"{text}" is out of range: each side lies between 3 mm and 2.5 m')
    return width, height


def parse_ratio(text: str) -> float:
    """Read "4:5" as width divided by height, 0.05 to 20; else ValueError."""
    found = _RATIO.match(text)
    if found is None or float(found[1]) == 0 or float(found[2]) == 0:
        raise ValueError(f'"{text}" is no aspect ratio: write width:height such as "4:5"')
    ratio = float(found[1]) / float(found[2])
    if not 0.05 <= ratio <= 20:  # a strip twenty times as long as wide is a slip, not a picture
        raise ValueError(f'"{text}" is out of range: between 1:20 and 20:1')
    return ratio


def parse_position(text: str) -> tuple[float, float]:
    """Read "center", "bottom", "top left" or "50% 100%" as the shares of free room to the left and above, 0 to 1.

    Raises:
        ValueError: it is none, with examples.
    """
    words = text.lower().split()
    problem = f'"{text}" is no position: write "center", "bottom", "top left" or per cent such as "50% 100%"'
    if words in (["top"], ["bottom"]):
        return 0.5, _DOWN[words[0]]
    if len(words) == 1:
        across = _share(words[0], _ACROSS)
        if across is None:
            raise ValueError(problem)
        return across, 0.5
    if len(words) == 2:
        if words[0] in ("top", "bottom") or words[1] in ("left", "right"):
            words.reverse()
        across, down = _share(words[0], _ACROSS), _share(words[1], _DOWN)
        if across is not None and down is not None:
            return across, down
    raise ValueError(problem)


def _share(word: str, named: dict[str, float]) -> float | None:
    if word in named:
        return named[word]
    found = _LENGTH.match(word)
    if found is None or found[2] != "%" or float(found[1]) > 100:
        return None
    return float(found[1]) / 100


def parse_colour(text: str) -> tuple[int, int, int] | None:
    """Read "white", "black", "#rgb" or "#rrggbb" as sRGB 0..255; None where it is none of these."""
    named = NAMED_COLOURS.get(text.lower())
    if named is not None:
        return named
    if not _COLOUR.match(text):
        return None
    digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
