"""Bar charts drawn with Pillow; enough for a document, with no plotting library to install."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

# Drawn at twice the size it is shown in, so that text stays sharp on fine screens.
_SCALE = 2
_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP, _BOTTOM = 760, 190, 90, 22, 12, 46, 30
_INK, _FAINT, _PAPER = "#1f2933", "#9aa5b1", "#ffffff"
# Colours that stay apart for colour-blind readers (Okabe and Ito's set).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f8c8d", "#000000")


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: a label, parts that are laid end to end, and what is written behind them.

    `colours` are indices into COLOURS, one per part; least and greatest draw a whisker at the end.
    """

    label: str
    parts: tuple[float, ...]
    text: str
    colours: tuple[int, ...] = (0,)
    least: float | None = None
    greatest: float | None = None


def bars(path: Path, title: str, rows: Sequence[Bar], *, unit: str, legend: Sequence[str] = ()) -> None:
    """Writes a horizontal bar chart as PNG; `legend` names the colours in order."""
    lines = _legend_lines(legend)
    height = _TOP + len(rows) * (_BAR + _GAP) + _BOTTOM + 20 * len(lines)
    image = Image.new("RGB", (_WIDTH * _SCALE, height * _SCALE), _PAPER)
    draw = ImageDraw.Draw(image)
    greatest = max((max(sum(row.parts), row.greatest or 0.0) for row in rows), default=1.0) or 1.0
    per_unit = (_WIDTH - _LEFT - _RIGHT) / greatest
    _text(draw, (16, 14), title, 17)
    for number, row in enumerate(rows):
        top = _TOP + number * (_BAR + _GAP)
        _text(draw, (_LEFT - 10, top + _BAR / 2), row.label, 13, anchor="rm")
        left = float(_LEFT)
        for part, colour in zip(row.parts, row.colours, strict=True):
            _box(draw, (left, top, left + part * per_unit, top + _BAR), COLOURS[colour % len(COLOURS)])
            left += part * per_unit
        end = left
        if row.least is not None and row.greatest is not None:
            low, end = _LEFT + row.least * per_unit, max(left, _LEFT + row.greatest * per_unit)
            middle = top + _BAR / 2
            _box(draw, (low, middle - 0.75, end, middle + 0.75), _INK)
        _text(draw, (end + 8, top + _BAR / 2), row.text, 13, anchor="lm")
    base = _TOP + len(rows) * (_BAR + _GAP)
    _text(draw, (_LEFT, base + 4), unit, 12, colour=_FAINT)
    for number, line in enumerate(lines):
        _legend(draw, line, base + 24 + 20 * number)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def _legend_lines(legend: Sequence[str], per_line: int = 5) -> list[list[tuple[int, str]]]:
    numbered = list(enumerate(legend))
    return [numbered[start : start + per_line] for start in range(0, len(numbered), per_line)]


def _legend(draw: ImageDraw.ImageDraw, line: Sequence[tuple[int, str]], top: float) -> None:
    left = float(_LEFT)
    for number, name in line:
        _box(draw, (left, top + 2, left + 12, top + 14), COLOURS[number % len(COLOURS)])
        _text(draw, (left + 18, top + 8), name, 12, anchor="lm")
        left += 34 + _font(12).getlength(name) / _SCALE


def _box(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: str) -> None:
    left, top, right, bottom = (side * _SCALE for side in box)
    if right - left >= 1:
        draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    *,
    anchor: str = "la",
    colour: str = _INK,
) -> None:
    draw.text((at[0] * _SCALE, at[1] * _SCALE), text, fill=colour, font=_font(size), anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)
