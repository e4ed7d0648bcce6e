"""Three curves over time as one PNG, drawn with Pillow alone; it measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, LEFT, GAP = 1200, 260, 90, 46
COLOURS = ["#1f6fb2", "#c8502d", "#3d8f4e", "#8a5fb0"]

Series = dict[str, Sequence[tuple[float, float]]]


def draw(path: Path, panels: dict[str, Series]) -> None:
    """One panel per entry, title → curves; each curve is points of (seconds, value)."""
    image = Image.new("RGB", (WIDTH, (HEIGHT + GAP) * len(panels) + GAP), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    for number, (title, curves) in enumerate(panels.items()):
        _panel(pen, font, GAP + number * (HEIGHT + GAP), title, curves)
    image.save(path, optimize=True)


def _panel(pen: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, top: int, title: str,
           curves: Series) -> None:  # fmt: skip
    points = [point for curve in curves.values() for point in curve]
    longest = max((at for at, _ in points), default=1.0) or 1.0
    highest = max((value for _, value in points), default=1.0) or 1.0
    bottom, right = top + HEIGHT - 20, WIDTH - 20
    pen.text((LEFT, top - 22), title, "black", font=font)
    for step in range(5):
        y = bottom - (bottom - top) * step / 4
        pen.line([(LEFT, y), (right, y)], "#dddddd")
        pen.text((8, y - 8), f"{highest * step / 4:.4g}", "#555555", font=font)
    for step in range(7):
        x = LEFT + (right - LEFT) * step / 6
        pen.text((x - 18, bottom + 3), f"{longest * step / 6 / 60:.1f} min", "#555555", font=font)
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = [
            (LEFT + (right - LEFT) * at / longest, bottom - (bottom - top) * v / highest) for at, v in curve
        ]
        if len(line) > 1:
            pen.line(line, colour, 2)
        pen.text((right - 180 * (len(curves) - number), top - 22), name, colour, font=font)
