"""Mattes whose truth is known exactly: shapes drawn supersampled, composited on real textures.

For benchmarks/edges.py and the tests of models/matting/matte.py; not for training, which draws its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Plane = NDArray[np.float32]
Rng = np.random.Generator

SUPER = 3  # each pixel is the average of 3 x 3 drawn ones, 10 levels of coverage per edge
WIDTH, HEIGHT = 800, 600
SIZE = np.array([WIDTH, HEIGHT]) * SUPER  # of the drawing, in drawn pixels


@dataclass(frozen=True)
class Matte:
    """One scene with its truth.

    alpha: float32 (H, W), 0..1. foreground: float32 (H, W, 3), the subject's colour everywhere.
    photo: uint8 (H, W, 3), what a camera would have seen.
    """

    name: str
    alpha: Plane
    foreground: Plane
    photo: NDArray[np.uint8]


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (WIDTH * SUPER, HEIGHT * SUPER), 0)
    return image, ImageDraw.Draw(image)


def _finish(image: Image.Image) -> Plane:
    return np.asarray(image.reduce(SUPER), np.float32) / np.float32(255)


def _outline(rng: Rng, radius: float, wobble: float, points: int = 240) -> NDArray[np.float64]:
    """A closed, smooth, irregular outline around the centre, in supersampled pixels (points, 2)."""
    angle = np.linspace(0, 2 * math.pi, points, endpoint=False)
    r = np.ones(points)
    for k in range(2, 9):
        r += wobble / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * math.pi))
    centre = np.array([WIDTH, HEIGHT]) * SUPER * (0.5 + rng.uniform(-0.05, 0.05, 2))
    stretch = np.array([1.15, 0.9])
    return centre + (radius * SUPER * r)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) * stretch


def _polygon(draw: ImageDraw.ImageDraw, points: NDArray[np.float64], fill: int = 255) -> None:
    draw.polygon([(float(x), float(y)) for x, y in points], fill=fill)


def _strand(
    draw: ImageDraw.ImageDraw, rng: Rng, start: NDArray[np.float64], angle: float, length: float, width: float
) -> None:
    """A curved hair that tapers to a point; width and length in supersampled pixels."""
    n = 14
    bend = rng.normal(0, 0.12)
    position = start.copy()
    for i in range(n):
        step = np.array([math.cos(angle), math.sin(angle)]) * length / n
        thickness = width * (1 - i / n) ** 0.7
        side = np.array([-math.sin(angle), math.cos(angle)]) * max(0.5, thickness / 2)
        _polygon(
            draw, np.array([position - side, position + side, position + step + side, position + step - side])
        )
        position = position + step
        angle += bend + rng.normal(0, 0.06)


def hair(rng: Rng) -> Plane:
    """A head with long loose strands."""
    image, draw = _canvas()
    outline = _outline(rng, 170, 0.12)
    _polygon(draw, outline)
    centre = outline.mean(0)
    for _ in range(900):
        start = outline[rng.integers(len(outline))]
        away = start - centre
        angle = math.atan2(away[1], away[0]) + rng.normal(0, 0.7)
        _strand(draw, rng, start, angle, rng.gamma(3, 16) * SUPER, rng.uniform(0.5, 1.8) * SUPER)
    return _finish(image)


def fur(rng: Rng) -> Plane:
    """A body with short dense fur."""
    image, draw = _canvas()
    outline = _outline(rng, 190, 0.15, points=720)
    _polygon(draw, outline)
    centre = outline.mean(0)
    for start in outline.repeat(3, axis=0):
        away = start - centre
        angle = math.atan2(away[1], away[0]) + rng.normal(0.3, 0.4)
        _strand(draw, rng, start, angle, rng.uniform(6, 22) * SUPER, rng.uniform(0.8, 2.5) * SUPER)
    return _finish(image)


def wires(rng: Rng) -> Plane:
    """A solid object with thin wires and struts."""
    image, draw = _canvas()
    _polygon(draw, _outline(rng, 120, 0.2))
    for _ in range(14):
        ends = rng.uniform([0.1, 0.1], [0.9, 0.9], (2, 2)) * np.array([WIDTH, HEIGHT]) * SUPER
        width = max(1, round(rng.uniform(0.8, 5) * SUPER))
        draw.line([(float(x), float(y)) for x, y in ends], fill=255, width=width)
    return _finish(image)


def product(rng: Rng) -> Plane:
    """A hard-edged object with corners and a hole."""
    image, draw = _canvas()
    _polygon(draw, _outline(rng, 200, 0.08, points=7))
    _polygon(draw, _outline(rng, 60, 0.3), fill=0)
    return _finish(image)


def defocus(rng: Rng) -> Plane:
    """An object partly out of focus: the edge softens from left to right."""
    image, draw = _canvas()
    _polygon(draw, _outline(rng, 190, 0.25))
    sharp = _finish(image)
    result = sharp
    for i, sigma in enumerate((1.0, 2.0, 4.0, 7.0)):
        soft = np.asarray(
            Image.fromarray((sharp * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(sigma))
        )
        x = np.linspace(0, 4, WIDTH, dtype=np.float32)
        weight = np.clip(x - i, 0, 1)
        result = result * (1 - weight) + soft.astype(np.float32) / 255 * weight
    return result.astype(np.float32)


def motion(rng: Rng) -> Plane:
    """A moving object: smeared along one direction."""
    image, draw = _canvas()
    _polygon(draw, _outline(rng, 170, 0.25))
    sharp = _finish(image)
    length, angle = int(rng.integers(8, 24)), rng.uniform(0, math.pi)
    total = np.zeros_like(sharp)
    for k in np.linspace(-0.5, 0.5, length):
        dy, dx = round(k * length * math.sin(angle)), round(k * length * math.cos(angle))
        total += np.roll(sharp, (dy, dx), (0, 1))
    return total / np.float32(length)


def veil(rng: Rng) -> Plane:
    """A solid object with a semi-transparent sheet beside it."""
    image, draw = _canvas()
    sheet = _outline(rng, 200, 0.2)
    _polygon(draw, sheet, fill=int(rng.integers(90, 170)))
    folds = _outline(rng, 150, 0.3)
    _polygon(draw, folds, fill=255)
    return _finish(image)


def glass(rng: Rng) -> Plane:
    """A goblet that lets the background through, with an opaque stem, a brighter rim and two reflections."""
    image, draw = _canvas()
    middle, half, top = WIDTH * SUPER // 2, 150 * SUPER, 60 * SUPER
    bowl = (middle - half, top, middle + half, top + 340 * SUPER)
    draw.ellipse(bowl, fill=int(rng.integers(150, 190)))
    draw.ellipse(tuple(np.add(bowl, (12, 12, -12, -12))), fill=int(rng.integers(30, 60)))
    draw.arc((bowl[0], top - 20 * SUPER, bowl[2], top + 40 * SUPER), 0, 360, fill=200, width=3 * SUPER)
    draw.rectangle((middle - 9 * SUPER, bowl[3] - 6, middle + 9 * SUPER, 540 * SUPER), fill=230)
    foot = (middle - 110 * SUPER, 525 * SUPER, middle + 110 * SUPER, 560 * SUPER)
    draw.ellipse(foot, fill=210)
    for side in (-0.6, 0.45):
        x, y = middle + int(side * half), top + 90 * SUPER
        draw.line((x, y, x + 10 * SUPER, y + 120 * SUPER), fill=255, width=12 * SUPER)
    return _finish(image)


SCENES: dict[str, Callable[[Rng], Plane]] = {
    "hair": hair,
    "fur": fur,
    "wires": wires,
    "product": product,
    "defocus": defocus,
    "motion": motion,
    "veil": veil,
}


# Scenes to look at rather than to average: what is asked about most, and what has too little to go by. With the
# tones of subject and background, 0..1, where both are plain.
LOOKS: dict[str, tuple[Callable[[Rng], Plane], tuple[float, float] | None]] = {
    "hair": (hair, None),
    "fur": (fur, None),
    "wires": (wires, None),
    "glass": (glass, (0.85, 0.35)),
    "white on white": (product, (0.88, 0.95)),
    "black on black": (fur, (0.03, 0.09)),
}


def _bag(draw: ImageDraw.ImageDraw, rng: Rng) -> NDArray[np.float64]:
    """A body in the lower half; its corners left above and right above, in drawn pixels (2, 2)."""
    left, right = rng.uniform(0.22, 0.32), rng.uniform(0.68, 0.78)
    top = rng.uniform(0.5, 0.6)
    corners = np.array([(left, top), (right, top), (right + 0.04, 0.93), (left - 0.04, 0.93)])
    _polygon(draw, corners * SIZE)
    return corners[:2] * SIZE


def _line(draw: ImageDraw.ImageDraw, points: NDArray[np.float64], width: float) -> None:
    """A line with round joints; width in pixels of the scene."""
    thick = max(1, round(width * SUPER))
    draw.line([(float(x), float(y)) for x, y in points], fill=255, width=thick, joint="curve")


def strap(rng: Rng) -> Plane:
    """A bag with a shoulder strap that leaves room for the background."""
    image, draw = _canvas()
    left, right = _bag(draw, rng)
    turn = np.linspace(0, math.pi, 60)
    across = (left + right) / 2 - np.cos(turn)[:, None] * (right - left) / 2
    rise = np.sin(turn)[:, None] * np.array([rng.uniform(-0.04, 0.04), -rng.uniform(0.3, 0.45)]) * SIZE
    _line(draw, across + rise, rng.uniform(5, 11))
    return _finish(image)


def handles(rng: Rng) -> Plane:
    """A bag with two narrow handles close to each other."""
    image, draw = _canvas()
    left, right = _bag(draw, rng)
    width, turn = rng.uniform(3, 7), np.linspace(0, math.pi, 60)
    for lean in (-0.03, 0.03):
        middle = (left + right) / 2 + np.array([lean, 0]) * SIZE
        radii = np.array([(right[0] - left[0]) * 0.28, rng.uniform(0.2, 0.3) * SIZE[1]])
        _line(draw, middle + np.stack([-np.cos(turn), -np.sin(turn)], 1) * radii, width)
    return _finish(image)


def spokes(rng: Rng) -> Plane:
    """A wheel: tyre, hub and spokes."""
    image, draw = _canvas()
    middle, radius = SIZE * (0.5 + rng.uniform(-0.03, 0.03, 2)), 0.42 * SIZE[1]
    turn = np.linspace(0, 2 * math.pi, 180)
    _line(draw, middle + radius * np.stack([np.cos(turn), np.sin(turn)], 1), rng.uniform(12, 20))
    _polygon(draw, middle + 0.12 * radius * np.stack([np.cos(turn), np.sin(turn)], 1))
    for angle in np.linspace(0, 2 * math.pi, int(rng.integers(9, 15)), endpoint=False) + rng.uniform(0, 1):
        _line(draw, np.stack([middle, middle + radius * np.array([math.cos(angle), math.sin(angle)])]), 3)
    return _finish(image)


def chain(rng: Rng) -> Plane:
    """A pendant on a chain of open links."""
    image, draw = _canvas()
    along = np.linspace(-1, 1, 41)
    path = np.stack([0.5 + 0.36 * along, 0.12 + 0.6 * (1 - along**2)], 1) * SIZE
    turn, width = np.linspace(0, 2 * math.pi, 24), rng.uniform(2.5, 4)
    for k, centre in enumerate(path):
        ahead = path[min(k + 1, 40)] - path[max(k - 1, 0)]
        ahead = ahead / np.hypot(*ahead)
        side = np.array([-ahead[1], ahead[0]]) * (0.55 if k % 2 else 0.25)
        link = np.cos(turn)[:, None] * ahead + np.sin(turn)[:, None] * side
        _line(draw, centre + 12 * SUPER * link, width)
    _polygon(draw, path[20] + (40 * SUPER) * (np.array([(0, 0), (-0.8, 1.2), (0, 2.2), (0.8, 1.2)])))
    return _finish(image)


def legs(rng: Rng) -> Plane:
    """A chair: seat, back of bars, four legs."""
    image, draw = _canvas()
    seat, width = rng.uniform(0.52, 0.58), rng.uniform(5, 10)
    _polygon(draw, np.array([(0.3, seat), (0.7, seat), (0.74, seat + 0.06), (0.26, seat + 0.06)]) * SIZE)
    for foot, top in ((0.27, 0.3), (0.73, 0.7), (0.4, 0.38), (0.6, 0.62)):
        _line(draw, np.array([(top, seat), (foot, 0.95)]) * SIZE, width)
    for x in np.linspace(0.32, 0.68, int(rng.integers(4, 7))):
        _line(draw, np.array([(x, seat), (x, 0.1)]) * SIZE, width * 0.6)
    _line(draw, np.array([(0.3, 0.1), (0.7, 0.1)]) * SIZE, width)
    return _finish(image)


def frames(rng: Rng) -> Plane:
    """A pair of glasses, seen through."""
    image, draw = _canvas()
    turn, width = np.linspace(0, 2 * math.pi, 90), rng.uniform(4, 9)
    for x in (0.31, 0.69):
        _line(
            draw, (np.array([x, 0.5]) + np.stack([0.15 * np.cos(turn), 0.17 * np.sin(turn)], 1)) * SIZE, width
        )
    _line(draw, np.array([(0.46, 0.47), (0.5, 0.44), (0.54, 0.47)]) * SIZE, width)
    for x, end in ((0.16, 0.05), (0.84, 0.95)):
        _line(draw, np.array([(x, 0.46), (end, 0.42), (end, 0.62)]) * SIZE, width * 0.8)
    return _finish(image)


def antenna(rng: Rng) -> Plane:
    """A box with two telescopic antennas that taper."""
    image, draw = _canvas()
    _polygon(draw, np.array([(0.25, 0.6), (0.75, 0.6), (0.75, 0.92), (0.25, 0.92)]) * SIZE)
    for start, end in ((0.35, rng.uniform(0.08, 0.2)), (0.65, rng.uniform(0.8, 0.92))):
        ends = np.array([(start, 0.6), (end, 0.06)]) * SIZE
        for k, width in enumerate((6, 4.5, 3)):
            _line(draw, ends[0] + (ends[1] - ends[0]) * np.array([[k / 3], [(k + 1) / 3]]), width)
    return _finish(image)


# Parts that a blurred answer only hints at. Not among SCENES: what counts here is whether they stay in one piece.
THIN: dict[str, Callable[[Rng], Plane]] = {
    "strap": strap,
    "handles": handles,
    "spokes": spokes,
    "chain": chain,
    "legs": legs,
    "frames": frames,
    "antenna": antenna,
}


@functools.cache
def textures() -> list[NDArray[np.uint8]]:
    """The public-domain photos that scikit-image carries, as RGB."""
    from skimage import data  # type: ignore[import-untyped]

    names = ("astronaut", "chelsea", "coffee", "rocket")
    return [np.asarray(getattr(data, name)(), np.uint8)[:, :, :3] for name in names]


def _texture(rng: Rng, sources: list[NDArray[np.uint8]]) -> Plane:
    """A random crop of a photo, mirrored and recoloured, at scene size, 0..1."""
    source = Image.fromarray(sources[int(rng.integers(len(sources)))])
    w, h = source.size
    share = rng.uniform(0.45, 1.0)
    x, y = rng.uniform(0, 1 - share) * w, rng.uniform(0, 1 - share) * h
    box = (x, y, x + share * w, y + share * h)
    crop = np.asarray(source.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, box=box), np.float32) / 255
    gain, lift = rng.uniform(0.7, 1.2, 3), rng.uniform(-0.08, 0.08, 3)
    return np.clip(crop * gain + lift, 0, 1).astype(np.float32)


def _plain(rng: Rng, tone: float | None = None) -> Plane:
    """Hair, fur and products often have one colour with gentle shading."""
    base = rng.uniform(0.03, 0.95) + rng.normal(0, 0.08, 3) if tone is None else np.full(3, tone)
    x, y = np.meshgrid(np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT))
    shade = 1 + (0.25 if tone is None else 0.05) * np.sin(2.5 * (x * rng.normal() + y * rng.normal()))
    grain = rng.normal(0, 0.05 if tone is None else 0.01, (HEIGHT, WIDTH))
    return np.clip(base * (shade + grain)[:, :, None], 0, 1).astype(np.float32)


def scene(name: str, seed: int, sources: list[NDArray[np.uint8]] | None = None) -> Matte:
    """One composite with its truth; the same name and seed give the same picture."""
    rng = np.random.default_rng([seed, *name.encode()])
    sources = textures() if sources is None else sources
    alpha = np.clip((SCENES | THIN)[name](rng), 0, 1)
    foreground = _plain(rng) if rng.random() < 0.5 else _texture(rng, sources)
    background = _texture(rng, sources)
    if rng.random() < 0.4:  # wide aperture: the usual look of a subject in front of something far
        blurred = Image.fromarray((background * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(6))
        background = np.asarray(blurred, np.float32) / 255
    return _taken(rng, name, alpha, foreground, background)


def look(name: str, seed: int, sources: list[NDArray[np.uint8]] | None = None) -> Matte:
    """One of `LOOKS` as a composite with its truth."""
    draw, tones = LOOKS[name]
    if tones is None:
        return scene(name, seed, sources)
    rng = np.random.default_rng([seed, *name.encode()])
    alpha = np.clip(draw(rng), 0, 1)
    return _taken(rng, name, alpha, _plain(rng, tones[0]), _plain(rng, tones[1]))


def _taken(rng: Rng, name: str, alpha: Plane, foreground: Plane, background: NDArray[Any]) -> Matte:
    """The photo of a foreground in front of a background."""
    mixed = alpha[:, :, None] * foreground + (1 - alpha[:, :, None]) * background
    noisy = mixed + rng.normal(0, 0.006, mixed.shape)  # a camera at base sensitivity
    photo = (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Matte(name, alpha.astype(np.float32), foreground, photo)


def network_like(alpha: Plane, side: int = 320, sigma: float = 1.5) -> Plane:
    """What a network makes of a subject: hard, squashed to a square of `side` pixels, blurred."""
    hard = Image.fromarray(((alpha > 0.5) * 255).astype(np.uint8))
    small = hard.resize((side, side), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(sigma))
    return np.asarray(small, np.float32) / np.float32(255)


def perfect(alpha: Plane, side: int = 320) -> Plane:
    """The truth itself, averaged onto a square of `side` pixels."""
    return np.clip(np.asarray(Image.fromarray(alpha).resize((side, side), Image.Resampling.BOX)), 0, 1)
