"""What part of the photo is shown where its own background stays: cut by the mask, in whole pixels; draws nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutoutd.config import lengths
from cutoutd.config.output import Output
from cutoutd.models.rendering import layout
from cutoutd.models.rendering.layout import Box, Head, Placement
from cutoutd.models.rendering.rows import Samples


class Window(NamedTuple):
    """A cut through the photo.

    placement: where the whole photo lands; what lies beyond the canvas is cut off there.
    tight: whether the photo has less room around the subject than was ordered.
    """

    placement: Placement
    tight: bool = False

    @property
    def sides(self) -> tuple[bool, bool, bool, bool]:
        """Where the canvas reaches beyond the photo: left, top, right, bottom."""
        (width, height), target = self.placement.canvas, self.placement.target
        return target.left > 0, target.top > 0, target.right < width, target.bottom < height


class _Cut(NamedTuple):
    """A rectangle of the photo, in its pixels; it may reach beyond the photo."""

    left: float
    top: float
    width: float
    height: float


def place_in_photo(
    output: Output, photo: tuple[int, int], subject: Box | None = None, head: Head | None = None
) -> Window:
    """Decide what part of the photo is shown.

    The subject is never cut off. Where the photo has less room around it than was ordered, the cut is moved, then
    made smaller; only where the ordered shape does not fit around the subject at all does it reach beyond the photo.

    Args:
        output: an order with the photo's own background.
        photo: (width, height) in pixels.
        subject: box of everything with alpha above 0; None: the whole photo.
        head: the head, where output.fit is "head".
    """
    frame = Box(0, 0, *photo)
    box = subject or frame
    wanted = layout.place(output, photo, subject, head)
    if output.fit == "head":
        return Window(wanted)
    exact = output.canvas_pixels is not None
    if layout.needs_subject(output):
        scale = wanted.target.width / wanted.source.width if wanted.is_scaled else 1.0
        cut = _Cut(
            wanted.source.left - wanted.target.left / scale,
            wanted.source.top - wanted.target.top / scale,
            wanted.canvas[0] / scale,
            wanted.canvas[1] / scale,
        )
        exact = exact or not (output.trim or output.aspect)
    elif exact or output.aspect:
        ratio = wanted.canvas[0] / wanted.canvas[1] if exact else lengths.parse_ratio(output.aspect)
        cut = _around(box, photo, ratio, lengths.parse_position(output.position))
    else:
        return Window(wanted)
    fitted = _moved(_smaller(cut, box, photo), photo)
    tight = fitted.width < cut.width - 1
    if exact or (layout.needs_subject(output) and not tight):
        canvas = wanted.canvas
    else:
        fitted = fitted._replace(width=max(1, round(fitted.width)), height=max(1, round(fitted.height)))
        fitted = _moved(fitted._replace(left=round(fitted.left), top=round(fitted.top)), photo)
        scale = min(1.0, (output.max_size or lengths.MAX_SIDE_PX) / max(fitted.width, fitted.height))
        canvas = (max(1, round(fitted.width * scale)), max(1, round(fitted.height * scale)))
    return Window(_on_canvas(fitted, photo, canvas), tight)


def _around(box: Box, photo: tuple[int, int], ratio: float, position: tuple[float, float]) -> _Cut:
    """The largest cut of this shape that fits into the photo, or larger where the subject needs it."""
    width = min(photo[0], photo[1] * ratio)
    height = width / ratio
    times = max(1.0, box.width / width, box.height / height)
    width, height = width * times, height * times
    left = box.left - (width - box.width) * position[0]
    top = box.top - (height - box.height) * position[1]
    return _Cut(left, top, width, height)


def _smaller(cut: _Cut, box: Box, photo: tuple[int, int]) -> _Cut:
    """The cut reduced to what the photo holds, but never below the subject; the shape and its place in it stay."""
    inside = min(1.0, photo[0] / cut.width, photo[1] / cut.height)
    share = min(1.0, max(inside, box.width / cut.width, box.height / cut.height))
    width, height = cut.width * share, cut.height * share

    def start(at: float, length: float, new: float, content_at: int, content: int) -> float:
        free = length - content
        return content_at - (content_at - at) * ((new - content) / free if free > 0 else 1.0)

    return _Cut(
        start(cut.left, cut.width, width, box.left, box.width),
        start(cut.top, cut.height, height, box.top, box.height),
        width,
        height,
    )


def _moved(cut: _Cut, photo: tuple[int, int]) -> _Cut:
    """The cut moved as little as possible, to lie inside the photo, or around it where it is larger."""
    left = _between(cut.left, 0.0, photo[0] - cut.width)
    top = _between(cut.top, 0.0, photo[1] - cut.height)
    return cut._replace(left=left, top=top)


def _between(value: float, one: float, other: float) -> float:
    return min(max(value, min(one, other)), max(one, other))


def _on_canvas(cut: _Cut, photo: tuple[int, int], canvas: tuple[int, int]) -> Placement:
    """Where the whole photo lands when this cut of it fills the canvas."""
    left, right = _axis(cut.left, cut.width, photo[0], canvas[0])
    top, bottom = _axis(cut.top, cut.height, photo[1], canvas[1])
    return Placement(canvas, Box(0, 0, *photo), Box(left, top, right, bottom))


def _axis(at: float, length: float, photo: int, canvas: int) -> tuple[int, int]:
    """Where the photo begins and ends on the canvas, in one direction."""
    scale = canvas / length
    start = round(-at * scale)
    stop = start + max(1, round(photo * scale))
    if length > photo + 0.5:
        return start, stop
    if scale == 1.0:
        start = min(0, max(start, canvas - photo))
        return start, start + photo
    return min(0, start), max(stop, canvas)  # rounding must not open a gap at the photo's edge


def edge_colour(photo: Samples, sides: tuple[bool, bool, bool, bool]) -> NDArray[np.uint8]:
    """The middle colour of the photo's outermost pixels at these sides: uint8 (3,).

    Args:
        photo: (H, W, 3).
        sides: left, top, right, bottom; at least one.
    """
    strips = (photo[:, :2], photo[:2], photo[:, -2:], photo[-2:])
    seen = [strip.reshape(-1, 3) for strip, wanted in zip(strips, sides, strict=True) if wanted]
    middle = np.median(np.concatenate(seen), axis=0)
    return (middle / 257 if photo.dtype == np.uint16 else middle).round().astype(np.uint8)
