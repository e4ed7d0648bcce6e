"""Synthetic mattes for training the refiner: drawn alphas on real textures, and what networks make of them.

Not for the benchmark, whose scenes are drawn by other code from other photos
(benchmarks/synthetic_mattes.py).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from cutoutd.models.matting import foreground, guided, refiner
from cutoutd.models.matting.matte import flattened
from cutoutd.models.matting.resample import onto_grid, reduced, tiles, upsample

SIDE = 384  # pixels of one scene: four training crops and room for the widest guided window
SUPER = 4  # drawn four times larger, then averaged: 17 levels of coverage on an edge


class Textures:
    """Real pixels to fill subject and background with, and real silhouettes to start shapes from."""

    def __init__(self, data: Path) -> None:
        self.backgrounds = sorted((data / "backgrounds").glob("*/*.webp"))
        self.photos = sorted(
            p
            for s in ("ccp", "icoseg", "human", "duts", "cats")
            for p in (data / "segmentation" / s).glob("*.webp")
        )

    def texture(self, rng: np.random.Generator) -> np.ndarray:
        """A square of real pixels float32 (SIDE, SIDE, 3), 0..1: mirrored rather than enlarged, to stay
        sharp.
        """
        pool = self.backgrounds if rng.random() < 0.6 else self.photos
        image = cv2.imread(str(pool[rng.integers(len(pool))]))
        zoom = math.exp(rng.uniform(-0.5, 0.6))
        image = cv2.resize(
            image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
        )
        h, w = image.shape[:2]
        y, x = rng.integers(h), rng.integers(w)
        image = np.pad(image, ((y, max(0, SIDE)), (x, max(0, SIDE)), (0, 0)), mode="symmetric")[:SIDE, :SIDE]
        return jitter(image.astype(np.float32) / 255, rng)

    def silhouette(self, rng: np.random.Generator) -> np.ndarray:
        """A real subject's outline, smooth, at the supersampled scene size: uint8, 0 or 255."""
        return self.subject(rng)[0]

    def subject(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A real subject's outline as `silhouette` gives it, and the subject's own colours.

        The colours, float32 (SIDE, SIDE, 3) in 0..1, are spread beyond the outline: what hair or fur that
        grows out of it would have.
        """
        for _ in range(20):
            photo = self.photos[rng.integers(len(self.photos))]
            mask = cv2.imread(str(photo.with_suffix(".png")), cv2.IMREAD_GRAYSCALE)
            if mask is None or not 0.08 < (mask > 127).mean() < 0.8:
                continue
            side = SIDE * SUPER
            share = rng.uniform(0.5, 1.2)
            size = min(mask.shape) * share
            centre = (
                np.argwhere(mask > 127)[rng.integers((mask > 127).sum())][::-1]
                if rng.random() < 0.5
                else np.array(mask.shape[::-1]) / 2
            )
            matrix = cv2.getRotationMatrix2D(
                (float(centre[0]), float(centre[1])), rng.uniform(-30, 30), side / size
            )
            matrix[:, 2] += side / 2 - centre
            big = cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_LINEAR)
            soft = cv2.GaussianBlur(big, (0, 0), side / size * 1.2)
            small = matrix / SUPER
            own = cv2.warpAffine(cv2.imread(str(photo)), small, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
            inside = cv2.warpAffine((mask > 250).astype(np.float32), small, (SIDE, SIDE))
            inside = cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=2)
            planes = np.ascontiguousarray(own.transpose(2, 0, 1)).astype(np.float32) / 255
            spread = foreground.spread_colours(planes, inside)[:3].transpose(1, 2, 0)
            return ((soft > 127) * 255).astype(np.uint8), jitter(spread, rng)
        return np.zeros((SIDE * SUPER, SIDE * SUPER), np.uint8), plain_colour(rng)


def jitter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure, white balance and gamma."""
    image = np.clip(image, 0, 1) ** math.exp(rng.normal(0, 0.3))
    return np.clip(image * rng.uniform(0.75, 1.2, 3) + rng.uniform(-0.08, 0.08, 3), 0, 1).astype(np.float32)


def plain_colour(rng: np.random.Generator) -> np.ndarray:
    """Hair, fur, cloth: one colour, gentle shading, some grain."""
    base = np.clip(rng.uniform(0.02, 0.98) + rng.normal(0, 0.08, 3), 0, 1)
    noise = cv2.resize(
        rng.normal(0, 1, (6, 6)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    fine = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), rng.uniform(0.5, 2))
    shade = 1 + 0.12 * noise + rng.uniform(0, 0.2) * fine
    return np.clip(base * shade[:, :, None], 0, 1).astype(np.float32)


class Strands(NamedTuple):
    """One growth of hair. Lengths and widths in final pixels, angles in radians."""

    count: int
    length: float
    width: float
    spread: float
    curl: float = 0.15
    tuft: int = 1  # neighbours that share their root's surroundings, direction and bend


def strands(image: np.ndarray, rng: np.random.Generator, hair: Strands) -> None:
    """Draws curved tapering hairs outwards from the shape's own contour."""
    contours, _ = cv2.findContours(image.copy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return
    contour = max(contours, key=len)[:, 0].astype(np.float64)
    n = len(contour)
    first, share = rng.integers(n), rng.uniform(0.2, 1.0)
    comb = rng.normal(0, 0.5)
    root, lean, bend = 0, 0.0, 0.0
    for k in range(hair.count):
        if k % hair.tuft == 0:
            root = int(first + rng.uniform(0, share) * n)
            lean, bend = comb + rng.normal(0, hair.spread), rng.normal(0, hair.curl)
        apart = hair.tuft > 1
        i = (root + int(rng.normal(0, 4 * SUPER)) * apart) % n
        angle = _outwards(image, contour, i) + lean + rng.normal(0, 0.12) * apart
        _strand(image, rng, contour[i], angle, bend + rng.normal(0, 0.04) * apart, hair)


def _outwards(image: np.ndarray, contour: np.ndarray, i: int) -> float:
    """The contour's tangent turned away from the shape, radians."""
    n = len(contour)
    tangent = contour[(i + 12) % n] - contour[i - 12]
    angle = math.atan2(tangent[1], tangent[0])
    ahead = contour[i] + 14 * np.array([math.cos(angle), math.sin(angle)])
    x, y = np.clip(ahead.astype(int), 0, image.shape[0] - 1)
    return angle + math.pi if image[y, x] else angle


def _strand(
    image: np.ndarray, rng: np.random.Generator, root: np.ndarray, angle: float, bend: float, hair: Strands
) -> None:
    reach = rng.gamma(3, hair.length / 3) * SUPER
    thick = max(1.0, rng.uniform(0.4, 1.6) * hair.width * SUPER)
    steps = 8 if hair.length < 50 else 14
    position = root
    for k in range(steps):
        ahead = position + reach / steps * np.array([math.cos(angle), math.sin(angle)])
        w = max(1, round(thick * (1 - k / steps) ** 0.6))
        ends = (np.rint(p * 8).astype(int).tolist() for p in (position, ahead))
        cv2.line(image, *ends, 255, w, cv2.LINE_8, 3)
        position = ahead
        angle += bend + rng.normal(0, 0.08)


def wires(image: np.ndarray, rng: np.random.Generator) -> None:
    """Straight struts and rings."""
    for _ in range(rng.integers(2, 10)):
        a, b = rng.integers(0, image.shape[0], (2, 2))
        w = max(1, round(rng.uniform(0.6, 6) * SUPER))
        if rng.random() < 0.7:
            cv2.line(image, a.tolist(), b.tolist(), 255, w)
        else:
            cv2.ellipse(image, a.tolist(), (b // 3 + 8).tolist(), float(rng.uniform(0, 180)), 0, 360, 255, w)


def hairy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A shape with hair or fur on it, some of it finer than a pixel: exact alpha float32 (SIDE, SIDE)."""
    kind = rng.random()
    if kind < 0.3:
        hair = Strands(int(rng.integers(100, 700)), rng.uniform(10, 60), rng.uniform(0.5, 1.6), 0.5)
    elif kind < 0.55:  # fur
        hair = Strands(int(rng.integers(800, 3000)), rng.uniform(4, 16), rng.uniform(0.6, 2), 0.4)
    elif kind < 0.8:  # tresses
        tuft = int(rng.integers(8, 60))
        count = tuft * int(rng.integers(4, 40))
        hair = Strands(count, rng.uniform(30, 120), rng.uniform(0.3, 1.2), 0.7, rng.uniform(0.05, 0.3), tuft)
    else:  # frizz
        count, width = int(rng.integers(800, 2500)), rng.uniform(0.25, 0.6)
        hair = Strands(count, rng.uniform(10, 40), width, 0.9, rng.uniform(0.2, 0.6))
    fine = image.copy()
    strands(image, rng, hair)
    alpha = _averaged(image)
    if rng.random() < 0.6:  # hairs thinner than can be drawn: fainter instead
        strands(
            fine, rng, Strands(int(rng.integers(200, 1500)), hair.length * rng.uniform(0.6, 1.6), 0.3, 0.7)
        )
        faint = cv2.GaussianBlur(_averaged(fine), (0, 0), 0.5) * rng.uniform(0.2, 0.8)
        alpha = 1 - (1 - alpha) * (1 - faint)
    return alpha


def _averaged(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def veiled(image: np.ndarray, rng: np.random.Generator, textures: Textures) -> np.ndarray:
    """A body on or beside a sheet that lets the background through, sometimes with folds."""
    sheet = _averaged(textures.silhouette(rng)) * rng.uniform(0.25, 0.8)
    if rng.random() < 0.5:
        folds = cv2.resize(
            rng.normal(0, 1, (8, 8)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
        )
        sheet = np.clip(sheet * (1 + rng.uniform(0, 0.3) * folds), 0, 1)
    return np.maximum(_averaged(image), sheet)


def smeared(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus (wholly, or more and more to one side), or moved."""
    style = rng.random()
    if style < 0.45:
        return cv2.GaussianBlur(alpha, (0, 0), math.exp(rng.uniform(-0.7, 1.8)))
    if style < 0.72:
        slope = np.linspace(-1, 2, SIDE) * rng.choice([-1, 1]) + rng.uniform(-0.5, 0.5)
        ramp = np.clip(slope, 0, 1).astype(np.float32)
        ramp = ramp[:, None] if rng.random() < 0.5 else ramp[None]
        return alpha * (1 - ramp) + cv2.GaussianBlur(alpha, (0, 0), rng.uniform(2, 8)) * ramp
    n, angle = int(rng.integers(5, 25)), rng.uniform(0, math.pi)
    kernel = np.zeros((n, n), np.float32)
    c, d = n / 2, np.array([math.cos(angle), math.sin(angle)]) * n / 2
    cv2.line(kernel, (round(c - d[0]), round(c - d[1])), (round(c + d[0]), round(c + d[1])), 1.0, 1)
    return cv2.filter2D(alpha, -1, kernel / kernel.sum())


# Where `draw_alpha` finds hair and what is out of focus or moved: scenes of one kind are drawn by these alone.
KINDS = {"any": (0.0, 1.0), "hair": (0.0, 0.55), "smeared": (0.75, 0.92)}


def draw_alpha(
    image: np.ndarray, rng: np.random.Generator, textures: Textures, kinds: tuple[float, float] = KINDS["any"]
) -> np.ndarray:
    """One exact alpha float32 (SIDE, SIDE) from an outline uint8 at the supersampled size."""
    kind = rng.uniform(*kinds)
    if kind < 0.55:
        alpha = hairy(image, rng)
    elif kind < 0.66:
        wires(image, rng)
        alpha = _averaged(image)
    elif kind < 0.75:
        alpha = veiled(image, rng, textures)
    elif kind < 0.92:
        return np.clip(smeared(_averaged(image), rng), 0, 1)
    else:
        alpha = _averaged(image)
    if rng.random() < 0.5:
        alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.3, 1.0))  # what a lens does
    return np.clip(alpha, 0, 1)


def degrade(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a network might have answered: usually hard and blurred, sometimes nearly the truth."""
    scale = math.exp(rng.uniform(math.log(1.2), math.log(4.5)))
    squash = math.exp(rng.uniform(-0.3, 0.3))
    side = alpha.shape[0]
    size = (max(24, round(side / scale * squash)), max(24, round(side / scale / squash)))
    kind = rng.random()
    if kind < 0.22:
        return np.clip(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), 0, 1)
    if kind < 0.32:
        small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
        return np.clip(cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 1.5)), 0, 1)
    hard = (alpha > rng.uniform(0.35, 0.65)).astype(np.float32)
    if rng.random() < 0.4:  # thin things are lost
        n = int(rng.integers(2, 3 + round(1.5 * scale)))
        hard = cv2.morphologyEx(hard, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (n, n)))
    if rng.random() < 0.5:  # the outline wanders
        flow = rng.normal(0, 1, (2, 12, 12)).astype(np.float32) * rng.uniform(0, 0.9) * scale
        dx, dy = (cv2.resize(f, (side, side), interpolation=cv2.INTER_CUBIC) for f in flow)
        xx, yy = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
        hard = cv2.remap(hard, xx + dx, yy + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(hard, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), math.exp(rng.uniform(math.log(0.35), math.log(3.0))))
    if rng.random() < 0.3:
        small = 1 / (1 + np.exp(-(small - 0.5) * rng.uniform(6, 14)))  # a network's confident sigmoid
    return np.clip(small, 0, 1).astype(np.float32)


def scene(
    rng: np.random.Generator, textures: Textures, kinds: tuple[float, float] = KINDS["any"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One sample: photo uint8 (SIDE, SIDE, 3), truth uint8 (SIDE, SIDE), hints uint8 (9, SIDE, SIDE)."""
    outline, own = textures.subject(rng)
    alpha = draw_alpha(outline, rng, textures, kinds)
    choice = rng.random()
    subject = own if choice < 0.4 else plain_colour(rng) if choice < 0.75 else textures.texture(rng)
    background = plain_colour(rng) if rng.random() < 0.15 else textures.texture(rng)
    if rng.random() < 0.4:
        background = cv2.GaussianBlur(background, (0, 0), rng.uniform(1, 10))
    mixed = alpha[:, :, None] * subject + (1 - alpha[:, :, None]) * background
    mixed = mixed + rng.normal(0, 1, mixed.shape) * rng.uniform(0, 0.015)
    photo = (np.clip(mixed, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.4:
        _, packed = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 97))])
        photo = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    answer = degrade(alpha, rng)
    return photo, (alpha * 255 + 0.5).astype(np.uint8), product_hints(photo, answer, int(rng.integers(1, 4)))


def product_hints(photo: np.ndarray, answer: np.ndarray, step: int) -> np.ndarray:
    """The hints exactly as the product computes them for a square photo: uint8 (9, side, side)."""
    guide, shape = reduced(photo, step), (photo.shape[0], photo.shape[1])
    grid = (guide.shape[1], guide.shape[2])
    coarse = onto_grid(answer, shape, grid, step)
    scale = max(grid) / max(answer.shape)
    planes = refiner.hint_planes(guide, coarse, scale, guided.block(guided.steepness(answer), scale))
    planes[0] = flattened(coarse, np.ones_like(coarse))
    ((row, _),), ((column, _),) = (tiles(shape[0], planes.shape[i], step, shape[0]) for i in (1, 2))
    full = upsample(planes, row, column)
    guide = np.moveaxis(photo.astype(np.float32) / 255, 2, 0)
    return (refiner.hints(full, guide) * 255 + 0.5).astype(np.uint8)


def write_shard(path: Path, scenes: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """Photos, truths and hints of some scenes of one size, whole under that name or not at all."""
    photo, truth, hints = (np.stack(each) for each in zip(*scenes, strict=True))
    partial = path.with_suffix(".part.npz")
    np.savez(partial, photo=photo, truth=truth, hints=hints)
    partial.rename(path)


def main() -> None:
    """Draws scenes into shards of 32 until `count` are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with backgrounds/ and segmentation/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, default="any", help="what to draw alone")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    textures = Textures(args.data)
    for shard in range(args.count // 32):
        rng = np.random.default_rng([args.seed, shard])
        scenes = (scene(rng, textures, KINDS[args.kind]) for _ in range(32))
        write_shard(args.out / f"{args.seed}-{shard:04d}.npz", scenes)


if __name__ == "__main__":
    main()
