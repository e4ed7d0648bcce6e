"""Corrects the network's answer by what the photo's owner says: points, or a mask of their own; it judges no answer.

A point stands for the region of the answer in which it lies: what is connected at some level of certainty, what a neck
parts from the rest, or what is nearer to it than to the points that stay (parting.py); for what the network sees there
when it looks closely; and for what looks like it around (random_walk.py).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.fixes import Fixes
from cutoutd.config.lengths import parse_point
from cutoutd.models.decoding import exif
from cutoutd.models.decoding.pixels import TURNS
from cutoutd.models.matting.controls import components
from cutoutd.models.networks.parting import at_a_neck, nearer
from cutoutd.models.networks.random_walk import carried
from cutoutd.models.planes import Mask, Plane

Look = Callable[[NDArray[np.uint8]], Plane]

# Levels of certainty at which a region is told from its neighbours, the widest first.
LEVELS: Final = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
# What is at most this share of everything that was seen is a part of it, and not the whole: twice as much took most of
# a subject away with one point. What only the faintest haze joins to the rest may have more, and so may what lies
# nearer to the point than to one on what is sure.
PART, APART, SURE = 0.3, 0.6, 0.5
# A close look is at a square of such a side, in shares of the photo's longer one; the first that sees something counts.
CLOSE: Final = (0.25, 0.4, 0.6)
# The mean change of colour along an outline, where black to white is 1: noise and shading have less.
OUTLINE: Final = 0.015
# On each side of a neck at least this many samples are left when it parts; fewer are a spike.
LEAST_PIECE: Final = 24
# Fainter places within what is kept belong to it, also where they open to the outside by twice as much.
GAP: Final = 3
# A point this near to something that is at least so clearly there means it, in samples of the answer.
REACH, SEEN = 4, 0.2
# Half-tones this many pixels around a removed region, at the answer's scale, go with it.
RIM: Final = 3
# A mask is brought down to this many pixels on its longer side: finer than any network's answer, and coarse enough
# for the edge engine to follow the photo.
MASK_SIDE: Final = 1024
# A mask of another shape than the photo is of another photo.
SAME_SHAPE: Final = 0.03
_MASK_FORMATS: Final = ("PNG", "TIFF", "WEBP", "JPEG", "BMP", "GIF")
_QUARTER: Final = 5  # of the orientations: from here on width and height change places
_MOST_MASK_PIXELS: Final = 400_000_000


def corrected(
    alpha: Plane,
    fixes: Fixes,
    shape: tuple[int, int],
    part: tuple[int, int, int, int],
    rgb: NDArray[np.uint8],
    look: Look,
) -> Plane:
    """The answer with what `fixes` say; the same array where they say nothing.

    Args:
        alpha: float32 (h, w) in 0..1, of a part of the photo.
        fixes: the corrections.
        shape: height and width of the whole photo, pixels.
        part: left, top, width and height of the part, pixels.
        rgb: uint8 (H, W, 3), that part of the photo.
        look: asks the network about a part of `rgb`.

    Raises:
        PhotoError: a point lies outside, or on nothing that network or colours could tell from the rest.
    """
    if not fixes:
        return alpha
    colours = _shrunk(rgb, alpha.shape)
    kept = [_cell(text, alpha.shape, shape, part) for text in fixes.keep]
    removed = [_on_something(alpha, _cell(text, alpha.shape, shape, part)) for text in fixes.remove]
    for cell in removed:
        alpha = _without(alpha, cell, kept, colours)
    unseen: list[tuple[str, tuple[int, int]]] = []
    for text, cell in zip(fixes.keep, kept, strict=True):
        found = _with(alpha, cell, rgb, look)
        if found is None:
            unseen.append((text, cell))
        else:
            alpha = found
    alpha = carried(alpha, colours, kept, removed)
    for text, cell in unseen:
        if not _has_outline(alpha, colours, cell):
            raise PhotoError(
                Reason.CANNOT_RENDER,
                f"The network sees nothing at {text}, which belongs to the subject, nor has it an outline of its own",
                fix="Choose a point further inside, look at a part alone with --roi, or give a mask with --mask.",
            )
    return alpha


def _shrunk(rgb: NDArray[np.uint8], shape: tuple[int, ...]) -> Plane:
    """The photo at the answer's scale, float32 in 0..1."""
    small = Image.fromarray(rgb).resize((shape[1], shape[0]), Image.Resampling.BOX, reducing_gap=3.0)
    return np.asarray(small, np.float32) / np.float32(255)


def _on_something(alpha: Plane, cell: tuple[int, int]) -> tuple[int, int]:
    """The nearest cell within REACH where something is seen: thin things are easily missed by a sample or two."""
    top, left = max(0, cell[0] - REACH), max(0, cell[1] - REACH)
    near = alpha[top : cell[0] + REACH + 1, left : cell[1] + REACH + 1] >= SEEN
    if alpha[cell] >= LEVELS[0] or not near.any():
        return cell
    places = np.add(np.argwhere(near), (top, left))
    row, column = places[((places - cell) ** 2).sum(axis=1).argmin()]
    return int(row), int(column)


def _cell(
    text: str, scale: tuple[int, ...], shape: tuple[int, int], part: tuple[int, int, int, int]
) -> tuple[int, int]:
    """Row and column of the answer in which a point lies."""
    left, top, width, height = part
    x, y = parse_point(text)
    across, down = x.pixels(shape[1]) - left, y.pixels(shape[0]) - top
    if not (0 <= across <= width and 0 <= down <= height):
        raise PhotoError(
            Reason.CANNOT_RENDER,
            f"The point {text} lies outside of what is looked at ({shape[1]} × {shape[0]} px in all)",
            fix="Count from the photo's top left corner, as it is seen.",
        )
    row, column = int(down / height * scale[0]), int(across / width * scale[1])
    return min(row, scale[0] - 1), min(column, scale[1] - 1)


def _region(mask: Mask, cell: tuple[int, int]) -> Mask:
    labels = components(mask, diagonal=True)
    return labels == labels[cell]


def _with(alpha: Plane, cell: tuple[int, int], rgb: NDArray[np.uint8], look: Look) -> Plane | None:
    """What lies at the cell becomes subject; None where nothing is seen there that could be told from the rest.

    It is the haze in which the cell lies, or the hole that it is, or what the network sees there when it looks closely.
    """
    there = float(alpha[cell])
    level = max((one for one in LEVELS if one <= there), default=None)
    if level is not None:
        region = _region(alpha >= min(level, 0.5), cell)
        region |= _closed(region, GAP) & (alpha >= LEVELS[1])
        return np.where(region, np.float32(1.0), alpha)
    region = _region(alpha < 0.5, cell)
    if not (region[0].any() or region[-1].any() or region[:, 0].any() or region[:, -1].any()):
        return np.where(region, np.float32(1.0), alpha)
    for share in CLOSE:
        seen = _seen_closely(alpha.shape, cell, rgb, look, share)
        if seen[cell] >= 0.5:
            return np.where(_region(seen >= 0.5, cell), np.maximum(alpha, seen), alpha)
    return None


def _seen_closely(
    scale: tuple[int, ...], cell: tuple[int, int], rgb: NDArray[np.uint8], look: Look, share: float
) -> Plane:
    """The network's answer for a square around a cell, at the whole answer's scale, 0 outside.

    Args:
        scale: height and width of the answer.
        cell: row and column in the middle of the square, where the frame lets it be.
        rgb: the photo.
        look: asks the network.
        share: the square's side, in shares of the photo's longer one.
    """
    seen = np.zeros(scale[:2], np.float32)
    places: list[slice] = []
    samples: list[slice] = []
    for at, length, count in zip(cell, rgb.shape, scale, strict=False):
        side = min(length, max(8, round(share * max(rgb.shape[:2]))))
        start = min(max(0, round((at + 0.5) / count * length - side / 2)), length - side)
        places.append(slice(start, start + side))
        first, last = round(start / length * count), round((start + side) / length * count)
        samples.append(slice(first, max(last, first + 1)))
    answer = Image.fromarray(look(np.ascontiguousarray(rgb[places[0], places[1]])))
    size = (samples[1].stop - samples[1].start, samples[0].stop - samples[0].start)
    seen[samples[0], samples[1]] = np.asarray(answer.resize(size, Image.Resampling.BILINEAR))
    return seen


def _without(alpha: Plane, cell: tuple[int, int], kept: list[tuple[int, int]], colours: Plane) -> Plane:
    """What lies at the cell becomes background, told from the rest at the lowest level at which it is a part.

    The same where nothing tells it from the rest: then only its colours do (random_walk.py).
    """
    seen = float(alpha.sum(dtype=np.float64))
    for level in (one for one in LEVELS if one <= float(alpha[cell])):
        region = _region(alpha >= level, cell)
        if any(region[one] for one in kept):
            continue
        if float(alpha[region].sum(dtype=np.float64)) <= (APART if level <= LEVELS[1] else PART) * seen:
            rim = _grown(region, RIM) & (alpha < level)
            return np.where(region | rim, np.float32(0.0), alpha)
    if float(alpha[cell]) < LEVELS[0]:
        return alpha  # it is no subject as it is
    stays = [one for one in kept if alpha[one] >= SURE]
    joined = (
        nearer(alpha, colours, [cell], stays) if stays else at_a_neck(alpha, colours, cell, PART, LEAST_PIECE)
    )
    if joined is None or float(alpha[joined].sum(dtype=np.float64)) > APART * seen:
        return alpha
    return np.where(joined, np.float32(0.0), alpha)


def _has_outline(alpha: Plane, colours: Plane, cell: tuple[int, int]) -> bool:
    """Whether the region around a cell ends where the photo's colours change."""
    region = _region(alpha >= 0.5, cell)
    changes = [np.abs(np.diff(colours, axis=axis)).max(axis=2)[np.diff(region, axis=axis)] for axis in (0, 1)]
    along = np.concatenate(changes)
    return bool(along.size) and float(along.mean()) >= OUTLINE


def _closed(region: Mask, gap: int) -> Mask:
    """A region with its holes, also those that open to the outside by a gap of at most twice so many pixels."""
    wide = _grown(np.pad(region, gap), gap)
    outside = components(~np.pad(wide, 1), diagonal=False)
    filled = outside[1:-1, 1:-1] != outside[0, 0]
    return ~_grown(~filled, gap)[gap:-gap, gap:-gap]


def _grown(mask: Mask, pixels: int) -> Mask:
    for _ in range(pixels):
        wide = np.pad(mask, 1)
        mask = mask | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    return mask


def read_mask(data: bytes, shape: tuple[int, int]) -> Plane:
    """A mask that somebody edited, as an answer: its transparency where it has any, else its brightness.

    Args:
        data: a picture file's bytes.
        shape: height and width of the photo, whose shape the mask has.

    Raises:
        PhotoError: it is no picture, larger than any photo, of another shape than the photo, or empty.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_MASK_FORMATS) as image:
            # As viewers and editors show it, and the photo; a TIFF is turned by Pillow.
            turn = 1 if image.format == "TIFF" else exif.orientation(image.info.get("exif"))
            width, height = reversed(image.size) if turn >= _QUARTER else image.size
            if width * height > _MOST_MASK_PIXELS:
                raise _bad_mask(f"has {width} × {height} px, more than a photo may")
            if abs(width / height / (shape[1] / shape[0]) - 1) > SAME_SHAPE:
                raise _bad_mask(
                    f"has {width} × {height} px and the photo {shape[1]} × {shape[0]}: another shape"
                )
            grey = _plane_of(image)
            grey = grey if turn == 1 else grey.transpose(TURNS[turn])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _bad_mask("cannot be read as a picture") from error
    most = min(MASK_SIDE, max(shape))
    if max(grey.size) > most:
        share = most / max(grey.size)
        small = (max(1, round(grey.width * share)), max(1, round(grey.height * share)))
        grey = grey.resize(small, Image.Resampling.BOX)
    alpha = np.asarray(grey, np.float32) / np.float32(255)
    if not (alpha > 0.5).any():
        raise _bad_mask("shows no subject: white, or opaque, is what belongs to it")
    return alpha


def _plane_of(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] != 255:
            return alpha
    if image.mode.startswith("I"):  # 16 bits
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "F":  # white is 1, or 255
        values = np.nan_to_num(np.asarray(image), nan=0.0)
        full = 255.0 if float(values.max(initial=0.0)) > 1 else 1.0
        return Image.fromarray(((values / full).clip(0, 1) * 255 + 0.5).astype(np.uint8))
    return image.convert("L")


def _bad_mask(why: str) -> PhotoError:
    return PhotoError(
        Reason.CANNOT_RENDER, f"The mask {why}", fix="Give a grey or transparent PNG of the whole photo."
    )
