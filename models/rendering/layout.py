"""Where the photo lands in the picture that was ordered: geometry in whole pixels; no pixel is touched."""

from __future__ import annotations

from msgspec import Struct

from cutoutd.config import lengths
from cutoutd.config.lengths import Margin
from cutoutd.config.output import Output

# Of the room above and below a head, this much lies above: 3.6 mm on a 35 × 45 mm portrait, and eyes at 58 %
# of the height of a 2 × 2 inch one (56 to 69 % is asked for).
_HEADROOM = 0.3
_HEAD_UPRIGHT, _HEAD_SQUARE = 73.0, 60.0  # per cent of the height: 33 mm of 45 mm, 1.2 of 2 inches


class Box(Struct, frozen=True):
    """A rectangle in whole pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top


class Head(Struct, frozen=True):
    """A head in the photo, in pixels: rows of crown and chin, column of the middle."""

    crown: float
    chin: float
    middle: float


class Reach(Struct, frozen=True):
    """How far a shadow extends beyond the subject, as a share of the subject's longer side."""

    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    left: float = 0.0

    def times(self, side: float) -> Reach:
        """The same reach in other units, such as pixels for a subject of this length."""
        return Reach(self.top * side, self.right * side, self.bottom * side, self.left * side)


class Placement(Struct, frozen=True):
    """What part of the photo goes where.

    canvas: (width, height) of the result in pixels.
    source: the part of the photo that is used.
    target: where that part lands on the canvas; it may extend beyond the canvas and is then cut off there.
        Where source and target have the same size, nothing is resampled.
    """

    canvas: tuple[int, int]
    source: Box
    target: Box

    @property
    def is_scaled(self) -> bool:
        """Whether the photo has to be resampled."""
        return (self.source.width, self.source.height) != (self.target.width, self.target.height)

    @property
    def enlargement(self) -> float:
        """How many output pixels stand for one of the photo, in one direction; below 1 the photo is reduced."""
        return self.target.height / self.source.height

    @property
    def is_identity(self) -> bool:
        """Whether the result is the whole source, pixel for pixel."""
        return not self.is_scaled and self.target == Box(0, 0, *self.canvas)


class _Axis(Struct, frozen=True):
    """One direction of a picture that has no canvas: content, margins in pixels and as shares."""

    content: int
    fixed: float
    share: float

    def length(self, factor: float) -> float:
        return self.content * factor * (1 + self.share) + self.fixed

    def factor_within(self, limit: float) -> float:
        return (limit - self.fixed) / (self.content * (1 + self.share))


def needs_subject(output: Output) -> bool:
    """Whether the geometry follows the subject's own box instead of the photo's frame."""
    return output.trim or bool(output.scale)


def place(
    output: Output,
    photo: tuple[int, int],
    subject: Box | None = None,
    head: Head | None = None,
    reach: Reach | None = None,
) -> Placement:
    """Decide where the photo lands.

    Args:
        output: the order; its contradictions have been refused already.
        photo: (width, height) of the photo in pixels.
        subject: box of everything with alpha above 0, or None where nothing has: then the frame counts.
        head: the head, where output.fit is "head".
        reach: room that a shadow needs around the subject when the picture is cut to the subject.

    Returns:
        The placement; its canvas is exactly output.canvas or size where one is ordered, reduced to max_size.

    Raises:
        ValueError: output.fit is "head", and no head is given.
    """
    frame = Box(0, 0, *photo)
    if output.fit == "head":
        if head is None:
            raise ValueError('fit = "head" needs a head')
        return _by_head(output, frame, head)
    content = subject if needs_subject(output) and subject is not None else frame
    margin = lengths.parse_margin(output.margin)
    canvas = output.canvas_pixels
    if canvas is None and output.scale and not output.trim and not output.aspect:
        canvas = photo  # the photo's frame is the canvas, as users of other tools expect from a scale
    shadow = reach if reach is not None and output.trim and not output.scale else Reach()
    if canvas is not None:
        return _on_canvas(output, content, margin, _capped(canvas, output.max_size), shadow)
    return _natural(output, content, margin, shadow)


def _capped(canvas: tuple[int, int], max_size: int) -> tuple[int, int]:
    longest = max(canvas)
    if not max_size or longest <= max_size:
        return canvas
    return _at_least_one(canvas[0] * max_size / longest), _at_least_one(canvas[1] * max_size / longest)


def _at_least_one(value: float) -> int:
    return max(1, round(value))


def _on_canvas(
    output: Output, content: Box, margin: Margin, canvas: tuple[int, int], reach: Reach
) -> Placement:
    """Scale the content into what margins leave of an exact canvas."""
    left, right = margin.left.pixels(canvas[0]), margin.right.pixels(canvas[0])
    top, bottom = margin.top.pixels(canvas[1]), margin.bottom.pixels(canvas[1])
    room_w, room_h = max(1.0, canvas[0] - left - right), max(1.0, canvas[1] - top - bottom)
    side = max(content.width, content.height)
    whole_w = content.width + (reach.left + reach.right) * side
    whole_h = content.height + (reach.top + reach.bottom) * side
    share = output.scale / 100 if output.scale else 1.0
    factor = share * min(room_w / whole_w, room_h / whole_h)
    width, height = _at_least_one(content.width * factor), _at_least_one(content.height * factor)
    across, down = lengths.parse_position(output.position)
    x = left + reach.left * side * factor + (room_w - whole_w * factor) * across
    y = top + reach.top * side * factor + (room_h - whole_h * factor) * down
    # Rounding must not push a subject that fits over the edge.
    x = min(max(0, round(x)), max(0, canvas[0] - width))
    y = min(max(0, round(y)), max(0, canvas[1] - height))
    return Placement(canvas, content, Box(x, y, x + width, y + height))


def _natural(output: Output, content: Box, margin: Margin, reach: Reach) -> Placement:
    """The content at its own scale plus margins and aspect, reduced only where max_size demands it."""
    share = output.scale / 100 if output.scale else 1.0
    side = max(content.width, content.height)
    wide = _axis(
        content.width, (margin.left, margin.right), (reach.left + reach.right) * side / content.width, share
    )
    high = _axis(
        content.height, (margin.top, margin.bottom), (reach.top + reach.bottom) * side / content.height, share
    )
    ratio = lengths.parse_ratio(output.aspect) if output.aspect else 0.0
    limits = _limits(output.max_size, ratio)
    factor = min(1.0, wide.factor_within(limits[0]), high.factor_within(limits[1]))
    width = _at_least_one(content.width * max(factor, 0.0))
    height = _at_least_one(content.height * max(factor, 0.0))
    canvas = _shaped(wide.length(factor), high.length(factor), ratio, limits)
    canvas = (max(canvas[0], width), max(canvas[1], height))
    offset = _offset(output, margin, reach.times(side * factor), (width, height), canvas)
    x = min(max(0, offset[0]), canvas[0] - width)
    y = min(max(0, offset[1]), canvas[1] - height)
    return Placement(canvas, content, Box(x, y, x + width, y + height))


def _axis(content: int, sides: tuple[lengths.Length, lengths.Length], reach: float, share: float) -> _Axis:
    fixed = sum(side.value for side in sides if not side.percent)
    percent = sum(side.value / 100 for side in sides if side.percent)
    return _Axis(content, fixed, (1 + reach) / share - 1 + percent)


def _limits(max_size: int, ratio: float) -> tuple[float, float]:
    """The largest width and height allowed, given the longest side and the shape."""
    longest = float(max_size or lengths.MAX_SIDE_PX)
    if not ratio:
        return longest, longest
    return (longest, longest / ratio) if ratio >= 1 else (longest * ratio, longest)


def _shaped(width: float, height: float, ratio: float, limits: tuple[float, float]) -> tuple[int, int]:
    """The canvas around what is needed, widened to the ratio, rounded within the limits."""
    if ratio:
        width, height = max(width, height * ratio), max(height, width / ratio)
    return (
        _at_least_one(min(width, limits[0])),
        _at_least_one(min(height, limits[1])),
    )


def _offset(
    output: Output,
    margin: Margin,
    around: Reach,
    size: tuple[int, int],
    canvas: tuple[int, int],
) -> tuple[int, int]:
    """Left and top of the content: its margins, and its part of the room that aspect and scale opened."""
    across, down = lengths.parse_position(output.position)
    left = margin.left.pixels(size[0]) + around.left
    right = margin.right.pixels(size[0]) + around.right
    top = margin.top.pixels(size[1]) + around.top
    bottom = margin.bottom.pixels(size[1]) + around.bottom
    free_w = canvas[0] - size[0] - left - right
    free_h = canvas[1] - size[1] - top - bottom
    return round(left + free_w * across), round(top + free_h * down)


def _by_head(output: Output, frame: Box, head: Head) -> Placement:
    """Scale and crop so that the head has the ordered height and stands in the middle."""
    exact = output.canvas_pixels
    ratio = exact[0] / exact[1] if exact else lengths.parse_ratio(output.aspect)
    percent = output.head_height or (_HEAD_SQUARE if ratio > 0.95 else _HEAD_UPRIGHT)
    head_px = max(1.0, head.chin - head.crown)
    if exact is None:
        natural = head_px / (percent / 100)
        exact = (_at_least_one(natural * ratio), _at_least_one(natural))
    canvas = _capped(exact, output.max_size)
    factor = canvas[1] * percent / 100 / head_px
    width, height = _at_least_one(frame.width * factor), _at_least_one(frame.height * factor)
    x = round(canvas[0] / 2 - head.middle * factor)
    y = round(canvas[1] * (1 - percent / 100) * _HEADROOM - head.crown * factor)
    return Placement(canvas, frame, Box(x, y, x + width, y + height))
