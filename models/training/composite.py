"""Pastes subjects on made backgrounds with an alpha that is known exactly: hair, fur, defocus, shadows,
studio sweeps.

Not for views of whole photos: that is `augment`. The masks of the collection are binary; soft edges are
taught here, where the composite is computed from the very alpha that becomes the truth.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cutoutd.models.training.augment import Random, Sample, about, bounding_box, photometric, turn
from cutoutd.models.training.dataset import Pair, Pixels

Plane = NDArray[np.float32]  # (n, n) or (n, n, 3) BGR, 0..255; alphas 0..1

# Strands are drawn at this many times the size and averaged down: coverage of a hair thinner than a pixel is
# exact to about 1/16 per axis together with OpenCV's own anti-aliasing.
SUPERSAMPLING: Final = 3
# A subject smaller than this share of the frame is not pasted: nothing to learn from 1.5 % of the pixels.
LEAST_COVER: Final = 0.015


class Subject(NamedTuple):
    """`colour` float32 (n, n, 3) BGR 0..255 premultiplied by `alpha` float32 (n, n) 0..1."""

    colour: Plane
    alpha: Plane


# --- backgrounds


def studio(rng: Random, size: int) -> Pixels:
    """A paper sweep: one colour, light falling off, sometimes a soft horizon between floor and wall."""
    paper = np.full(3, rng.uniform(90, 255)) + rng.normal(0, 10, 3)
    colour = paper if rng.random() < 0.7 else rng.uniform(0, 255, 3)
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32) / size
    light = rng.uniform(-50, 50) * xx + rng.uniform(-50, 50) * yy
    light = light + rng.uniform(-70, 30) * ((xx - rng.random()) ** 2 + (yy - rng.random()) ** 2)
    if rng.random() < 0.4:
        softness, horizon = rng.uniform(0.005, 0.12), rng.uniform(0.45, 0.95)
        light = light + rng.uniform(-45, 45) / (1 + np.exp(-np.clip((yy - horizon) / softness, -30, 30)))
    noise = rng.standard_normal((size, size, 1), np.float32) * np.float32(rng.uniform(0, 3))
    return np.clip(colour[None, None] + light[..., None] + noise, 0, 255).astype(np.uint8)


def texture(rng: Random, size: int) -> Pixels:
    """Plaster, carpet, grass from afar: noise of several octaves around one or two colours."""
    total = np.zeros((size, size), np.float32)
    for cells in (4, 9, 20, 45, 100):
        coarse = rng.standard_normal((cells, cells), np.float32)
        total += np.asarray(cv2.resize(coarse, (size, size)), np.float32) * np.float32(rng.uniform(0, 1) ** 2)
    total = (total - total.mean()) / (total.std() + 1e-6)
    first, second = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    strength = rng.uniform(0.03, 0.25)
    mix = np.clip(0.5 + total[..., None] * strength, 0, 1)
    return np.clip(first * mix + second * (1 - mix), 0, 255).astype(np.uint8)


def square_cut(rng: Random, image: Pixels, size: int, least: float = 0.5) -> Pixels:
    """A random square of at least `least` of the image's shorter side, mirrored half the time."""
    shorter = min(image.shape[:2])
    side = int(rng.integers(max(8, int(shorter * least)), shorter + 1))
    top, left = int(rng.integers(image.shape[0] - side + 1)), int(rng.integers(image.shape[1] - side + 1))
    cut = image[top : top + side, left : left + side]
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    return np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def out_of_focus(rng: Random, image: Pixels, least: float, most: float) -> Pixels:
    """Blurred as by an open aperture; the radius in pixels lies between `least` and `most`."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(least, most))), np.uint8)


def empty_patch(rng: Random, pair: Pair) -> Pixels | None:
    """A square of a photo in which its subject does not show; None where six tries find none."""
    height, width = pair.mask.shape
    for _ in range(6):
        side = int(rng.integers(100, 200))
        if height <= side or width <= side:
            continue
        top, left = int(rng.integers(height - side)), int(rng.integers(width - side))
        if pair.mask[top : top + side, left : left + side].max() < 20:
            return pair.photo[top : top + side, left : left + side]
    return None


def background(rng: Random, size: int, rooms: list[Pixels], other: Pair) -> Pixels:
    """One of: sweep, texture, room or street, patch of another photo, a whole other photo far out of
    focus.
    """
    kind = rng.random()
    if kind < 0.38:
        return studio(rng, size)
    if kind < 0.46:
        return texture(rng, size)
    patch = None
    if kind < 0.75 and rooms:
        patch = square_cut(rng, rooms[int(rng.integers(len(rooms)))], size)
    elif kind < 0.9:
        found = empty_patch(rng, other)
        patch = None if found is None else square_cut(rng, found, size, 0.8)
    if patch is None:
        # The other photo's own subject must not stay recognisable, hence 3 % of the frame at least.
        whole = square_cut(rng, other.photo, size, 0.6)
        return photometric(rng, out_of_focus(rng, whole, size * 0.03, size * 0.08))
    if rng.random() < 0.45:
        patch = out_of_focus(rng, patch, 0.5, size * 0.035)
    return photometric(rng, patch)


def empty_scene(rng: Random, size: int, rooms: list[Pixels], other: Pair) -> Sample:
    """A picture without a subject: sweep, texture, room, or a patch of a photo beside its subject."""
    kind = rng.random()
    if kind < 0.35:
        photo = studio(rng, size)
    elif kind < 0.5:
        photo = texture(rng, size)
    elif kind < 0.75 and rooms:
        photo = square_cut(rng, rooms[int(rng.integers(len(rooms)))], size, 0.4)
    else:
        patch = empty_patch(rng, other)
        photo = studio(rng, size) if patch is None else square_cut(rng, patch, size, 0.8)
    nothing = np.zeros((size, size), np.uint8)
    return Sample(photometric(rng, photo), nothing, np.ones_like(nothing))


# --- where the subject stands


def touched_sides(mask: Pixels) -> tuple[bool, bool, bool, bool]:
    """Whether the subject is cut off at the photo's (left, top, right, bottom): over 4 % of that side."""
    edges = (mask[:, 0], mask[0], mask[:, -1], mask[-1])
    left, top, right, bottom = (bool((edge > 127).mean() > 0.04) for edge in edges)
    return left, top, right, bottom


def placement(
    rng: Random, size: int, width: float, height: float, touched: tuple[bool, bool, bool, bool]
) -> tuple[float, tuple[float, float]]:
    """(scale, centre) for a subject of `width` x `height` whose cut-off sides must not show inside the
    frame.
    """
    close = rng.random() < 0.35
    scale = size * (rng.uniform(1.0, 1.7) if close else rng.uniform(0.35, 1.0)) / max(width, height)
    left, top, right, bottom = touched
    if left and right:
        scale = max(scale, size * 1.02 / width)
    if top and bottom:
        scale = max(scale, size * 1.02 / height)
    scale = min(scale, size * 2.2 / max(width, height))
    spread = 0.16 if close else 0.1
    x, y = size * rng.normal(0.5, spread), size * rng.normal(0.54, spread)
    half_x, half_y = width * scale / 2, height * scale / 2
    if left and not right:
        x = min(x, half_x)
    if right and not left:
        x = max(x, size - half_x)
    if top and not bottom:
        y = min(y, half_y)
    if bottom and not top:
        y = max(y, size - half_y)
    if left and right:
        x = float(np.clip(x, size - half_x, half_x)) if half_x * 2 > size else size / 2
    return float(scale), (float(x), float(y))


# --- edges


def hard_edge(rng: Random, photo: Pixels, mask: Plane) -> Subject:
    """A sharp outline, drawn in by up to a pixel so that no old background comes along."""
    if rng.random() < 0.6:
        mask = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)), np.float32)
    alpha = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    return Subject(photo.astype(np.float32) * alpha[..., None], alpha)


def defocused_edge(rng: Random, photo: Pixels, mask: Plane) -> Subject:
    """The subject itself out of focus: colour and alpha blurred together, as light mixes them in the lens."""
    sigma = float(np.exp(rng.uniform(np.log(1.2), np.log(6.0))))
    mask = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)), np.float32)
    colour = cv2.GaussianBlur(photo.astype(np.float32) * mask[..., None], (0, 0), sigma)
    alpha = cv2.GaussianBlur(mask, (0, 0), sigma)
    return Subject(np.asarray(colour, np.float32), np.asarray(alpha, np.float32))


def strand(rng: Random, root: NDArray[np.float64], heading: float, length: float) -> NDArray[np.float64]:
    """A curved line of 9 points from `root`: a heading in radians that drifts as it grows."""
    bend, wobble = rng.normal(0, 0.9), rng.normal(0, 0.12, 8)
    angles = heading + bend * np.linspace(0, 1, 8) + np.cumsum(wobble)
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * (length / 8)
    return np.vstack([root, root + np.cumsum(steps, 0)])


def longest_contour(mask: Plane) -> NDArray[np.float64] | None:
    """Points (k, 2) along the subject's longest outline, x before y; None for a subject without one."""
    outlines, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    points = max(outlines, key=len)[:, 0, :].astype(np.float64)
    return points if len(points) >= 40 else None


def strands_edge(rng: Random, photo: Pixels, mask: Plane) -> Subject:
    """Hair or fur: hundreds of thin curved strands, from a stretch of the outline or from all of it."""
    base = hard_edge(rng, photo, mask)
    outline = longest_contour(base.alpha)
    if outline is None:
        return base
    size, count = mask.shape[0], len(outline)
    fur = rng.random() < 0.4
    stretch = count if fur else int(count * rng.uniform(0.15, 0.5))
    first = int(rng.integers(count)) if fur else int(np.argmin(outline[:, 1])) - stretch // 2
    amount = int(min(420, stretch * rng.uniform(0.4, 2.0)))
    length = size * (rng.uniform(0.01, 0.05) if fur else rng.uniform(0.03, 0.14))
    tangent = np.roll(outline, -4, 0) - np.roll(outline, 4, 0)
    # OpenCV runs outer outlines counter-clockwise on screen (y down), so the outward normal is (-dy, dx)
    # negated.
    outward = np.arctan2(tangent[:, 0], -tangent[:, 1])
    sway = rng.normal(0, 0.5)
    fine = np.zeros((size * SUPERSAMPLING, size * SUPERSAMPLING), np.uint8)
    colour = photo.copy()
    for at in (first + rng.integers(0, max(stretch, 1), amount)) % count:
        line = strand(
            rng, outline[at], outward[at] + sway + rng.normal(0, 0.35), length * rng.uniform(0.4, 1.3)
        )
        _draw(rng, fine, colour, line)
    hair = np.asarray(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), np.float32) / 255
    alpha = base.alpha + hair * (1 - base.alpha)
    if rng.random() < 0.3:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    return Subject(colour.astype(np.float32) * alpha[..., None], alpha)


def _draw(rng: Random, fine: Pixels, colour: Pixels, line: NDArray[np.float64]) -> None:
    """One strand: its coverage into `fine` (supersampled), its root's colour, lighter or darker, into
    `colour`.
    """
    size = colour.shape[0]
    column, row = np.clip(line[0], 0, size - 1).astype(int)
    tone = np.clip(colour[row, column].astype(float) * rng.uniform(0.8, 1.2), 0, 255)
    points = (line + 0.5) * SUPERSAMPLING * 16
    thickness = 1 if rng.random() < 0.6 else int(rng.integers(2, 5))
    cv2.polylines(fine, [points.astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4)
    cv2.polylines(colour, [(line * 16).astype(np.int32)], False, tone.tolist(), 3, cv2.LINE_8, 4)


def edged(rng: Random, photo: Pixels, mask: Plane) -> Subject:
    """A subject with one of the three kinds of edge."""
    kind = rng.random()
    if kind < 0.5:
        return hard_edge(rng, photo, mask)
    return defocused_edge(rng, photo, mask) if kind < 0.65 else strands_edge(rng, photo, mask)


# --- all together


def shadowed(rng: Random, ground: Plane, alpha: Plane) -> Plane:
    """The ground, BGR 0..255, darkened by the subject's displaced, blurred alpha, 0..1."""
    size = alpha.shape[0]
    shift = np.array([[1, 0, rng.uniform(-0.08, 0.08) * size], [0, 1, rng.uniform(0, 0.08) * size]])
    cast = cv2.GaussianBlur(
        cv2.warpAffine(alpha, shift, (size, size)), (0, 0), rng.uniform(0.01, 0.05) * size
    )
    return ground * (1 - np.float32(rng.uniform(0.1, 0.5)) * np.asarray(cast, np.float32)[..., None])


def lay_over(subject: Subject, ground: Plane) -> Pixels:
    """The composite of a premultiplied subject over a ground, float32 BGR 0..255, rounded to uint8."""
    mixed = subject.colour + ground * (1 - subject.alpha[..., None])
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def composite(rng: Random, pair: Pair, size: int, rooms: list[Pixels], other: Pair) -> Sample | None:
    """`pair`'s subject on a new background; None where the pair has no subject big enough."""
    box = bounding_box(pair.mask)
    if box is None:
        return None
    left, top, right, bottom = box
    mask = np.where(pair.mask == 255, 255, 0).astype(np.uint8) if pair.trimap else pair.mask
    scale, centre = placement(rng, size, right - left, bottom - top, touched_sides(pair.mask))
    mirror = -1 if rng.random() < 0.5 else 1
    target = (size - centre[0], centre[1]) if mirror < 0 else centre
    linear = turn(float(np.deg2rad(rng.normal(0, 8))), scale * mirror, scale)
    matrix = about(linear, ((left + right) / 2, (top + bottom) / 2), target)
    photo = cv2.warpAffine(
        pair.photo, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    plane = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR)
    plane = np.asarray(plane, np.float32) / 255
    if plane.mean() < LEAST_COVER:
        return None
    colours = np.asarray(photo, np.uint8)
    subject = edged(rng, photometric(rng, colours) if rng.random() < 0.5 else colours, plane)
    ground = background(rng, size, rooms, other).astype(np.float32)
    if rng.random() < 0.4:
        ground = shadowed(rng, ground, subject.alpha)
    result = lay_over(subject, ground)
    alpha = np.clip(subject.alpha * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        result = photometric(rng, result)
    return Sample(result, alpha, np.ones_like(alpha))
