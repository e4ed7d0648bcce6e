"""Views of a photo and its mask: crops, zooms, turns, flips, colours. Pure numpy and OpenCV; no subject
changes place.

Not for pasting subjects on other backgrounds: that is `composite`. Everything random comes from the
generator given.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cutoutd.models.training.dataset import Pair, Pixels

Matrix = NDArray[np.float64]  # (2, 2), or (2, 3) with where it moves to, in pixels
Random = np.random.Generator

# A crop that is nearly all subject or nearly none teaches guessing, not seeing.
CLOSE_UP_COVER: Final = (0.12, 0.93)
CLOSE_UP_TRIES: Final = 5


class Sample(NamedTuple):
    """`photo` uint8 (n, n, 3) BGR, `alpha` uint8 (n, n), `valid` uint8 (n, n): 1 where alpha may be
    judged.
    """

    photo: Pixels
    alpha: Pixels
    valid: Pixels


def turn(angle: float, scale_x: float, scale_y: float) -> Matrix:
    """2 x 2 matrix: scale along the photo's axes, then rotate by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]]) @ np.diag([scale_x, scale_y])


def about(linear: Matrix, source: tuple[float, float], target: tuple[float, float]) -> Matrix:
    """2 x 3 affine matrix that applies `linear` and carries point `source` to point `target`."""
    shift = np.array(target) - linear @ np.array(source)
    return np.hstack([linear, shift[:, None]])


def inside(
    centre: NDArray[np.float64], linear: Matrix, shape: tuple[int, ...], size: int
) -> tuple[float, float]:
    """`centre` moved so that an unrotated window stays on the photo: mirrored subjects would be taught as
    real ones.
    """
    half = size / 2 / np.hypot(linear[0], linear[1])  # of the window, in photo pixels along x and y
    extent = np.array([shape[1], shape[0]], np.float64)
    low, high = np.minimum(half, extent / 2), np.maximum(extent - half, extent / 2)
    x, y = np.clip(centre, low, high)
    return float(x), float(y)


def bounding_box(mask: Pixels) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) of the pixels above 127, right and bottom exclusive; None where there are
    few.
    """
    rows, columns = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
    if len(rows) < 8 or len(columns) < 8:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _angle(rng: Random) -> float:
    """Mostly upright: cameras are."""
    return float(np.deg2rad(rng.normal(0, 8))) if rng.random() < 0.4 else 0.0


def _scales(rng: Random, width: int, height: int, size: int, zoom: float) -> tuple[float, float]:
    """Anything between squashed to the square (as in use) and the photo's own shape; x mirrored half the
    time.
    """
    squash, uniform = rng.random(), size / max(height, width) * zoom * rng.uniform(0.9, 1.25)
    scale_x = squash * size / width * zoom + (1 - squash) * uniform
    scale_y = squash * size / height * zoom + (1 - squash) * uniform
    return (-scale_x if rng.random() < 0.5 else scale_x), scale_y


def plain_matrix(rng: Random, pair: Pair, size: int) -> Matrix:
    """The photo as it is, or moderately zoomed towards a point of its subject."""
    height, width = pair.mask.shape
    zoom = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.8, 1.6))
    linear = turn(_angle(rng), *_scales(rng, width, height, size, zoom))
    centre = np.array([width / 2, height / 2])
    box = bounding_box(pair.mask)
    if zoom > 1.15 and box is not None:
        point = np.array([rng.uniform(box[0], box[2]), rng.uniform(box[1], box[3])])
        centre = centre * 0.4 + point * 0.6
    return about(linear, inside(centre, linear, pair.mask.shape, size), (size / 2, size / 2))


def close_up_matrix(rng: Random, pair: Pair, size: int) -> Matrix | None:
    """A crop that the subject fills or overflows; None where the mask allows none."""
    box = bounding_box(pair.mask)
    if box is None:
        return None
    wide, high = box[2] - box[0], box[3] - box[1]
    for _ in range(CLOSE_UP_TRIES):
        fill_x, fill_y = rng.uniform(0.85, 1.7), rng.uniform(0.85, 1.7)
        if rng.random() < 0.7:
            fill_x = fill_y = rng.uniform(0.95, 1.6) * max(wide, high) / np.sqrt(wide * high)
            scale_x = scale_y = size * fill_x / max(wide, high)
        else:
            scale_x, scale_y = size * fill_x / wide, size * fill_y / high
        mirrored = -scale_x if rng.random() < 0.5 else scale_x
        linear = turn(_angle(rng), float(mirrored), float(scale_y))
        share = np.clip(rng.normal(0.5, 0.2, 2), 0, 1)
        point = np.array([box[0] + wide * share[0], box[1] + high * share[1]])
        matrix = about(linear, inside(point, linear, pair.mask.shape, size), (size / 2, size / 2))
        cover = warp(pair.mask, matrix, size, nearest=True).mean() / 255
        if CLOSE_UP_COVER[0] < cover < CLOSE_UP_COVER[1]:
            return matrix
    return None


def warp(image: Pixels, matrix: Matrix, size: int, *, nearest: bool = False) -> Pixels:
    """The affine view; what lies outside the photo is mirrored in, so that no black frame teaches
    anything.
    """
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    warped = cv2.warpAffine(image, matrix, (size, size), flags=how, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, np.uint8)


def view(rng: Random, pair: Pair, size: int, *, close_up: bool = False) -> Sample:
    """One augmented view of a pair; with `close_up` a crop filled by the subject, where there is one."""
    matrix = close_up_matrix(rng, pair, size) if close_up else None
    if matrix is None:
        matrix = plain_matrix(rng, pair, size)
    photo = photometric(rng, warp(pair.photo, matrix, size))
    mask = warp(pair.mask, matrix, size, nearest=pair.trimap)
    if not pair.trimap:
        return Sample(photo, mask, np.ones_like(mask))
    valid = ((mask < 100) | (mask > 156)).astype(np.uint8)
    return Sample(photo, np.where(mask > 156, 255, 0).astype(np.uint8), valid)


def _tone_table(rng: Random) -> Pixels:
    """256 x 3 lookup: contrast, brightness, gamma and a colour cast in one pass over the pixels."""
    levels = np.arange(256, dtype=np.float32) / 255
    contrast, brightness, gamma = rng.uniform(0.65, 1.35), rng.uniform(-0.14, 0.14), rng.uniform(0.8, 1.25)
    base = np.clip((levels - 0.4) * contrast + 0.4 + brightness, 0, 1) ** gamma
    cast = rng.uniform(0.9, 1.1, 3) if rng.random() < 0.4 else np.ones(3)
    table = np.clip(base[:, None] * cast[None, :] * 255, 0, 255)
    return table.astype(np.uint8)


def photometric(rng: Random, image: Pixels) -> Pixels:
    """Light, colour, focus, noise and compression as cameras and phones vary them. uint8 BGR in and out."""
    if rng.random() < 0.8:
        image = np.asarray(cv2.LUT(image, _tone_table(rng)[None]), np.uint8)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hue = ((np.arange(256) + int(rng.integers(-12, 13))) % 180).astype(np.uint8)
        saturation = np.clip(np.arange(256) * rng.uniform(0.4, 1.5), 0, 255).astype(np.uint8)
        table = np.stack([hue, saturation, np.arange(256, dtype=np.uint8)], 1)
        image = np.asarray(cv2.cvtColor(cv2.LUT(hsv, table[None]), cv2.COLOR_HSV2BGR), np.uint8)
    if rng.random() < 0.07:
        image = np.asarray(
            cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8
        )
    if rng.random() < 0.12:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)
    if rng.random() < 0.12:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 10))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.12:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 86))])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image
