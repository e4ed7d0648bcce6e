"""One deliverable from a cutout's pixels: geometry, shadow, background, encoding; it opens no photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from cutoutd.config.output import Output, extension
from cutoutd.models.rendering import compose, head, layout, png, rows, shadow, window
from cutoutd.models.rendering.background import backdrop
from cutoutd.models.rendering.encode import Picture, encode
from cutoutd.models.rendering.layout import Head, Placement
from cutoutd.models.rendering.rows import Samples
from cutoutd.models.rendering.window import Window

# A picture enlarged by less looks as sharp as the photo.
_WORTH_SAYING = 1.1
# A face enlarged by more is a blur, and what was taken for a head is more likely something else.
_MOST_ENLARGED_HEAD = 4.0
# Where there is no head to place it by, the whole subject fills this much of the picture, in per cent.
_WHOLE_SUBJECT: Final = 85.0


class Subject(Struct, frozen=True):
    """A cutout at the photo's size, in straight alpha.

    colour: uint8 (H, W, 3), the subject's own colour, 0 where alpha is 0; sRGB, or the space of `icc`.
    alpha: uint8 (H, W).
    rgb16: uint16 (H, W, 3), the whole photo in 16 bits, same space, or None; its upper bytes are `colour`
        wherever that is the photo's.
    icc: profile of the colours, rebuilt from its colour tags; None means sRGB.
    photo: uint8 or uint16 (H, W, 3), the whole photo, opaque, same space; needed where its background is kept.
    size: width and height that the photo itself has, where this is a smaller copy of all of it; None: those of `alpha`.
        Then no deliverable that depends on where the subject is can be made.
    """

    colour: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    rgb16: NDArray[np.uint16] | None = None
    icc: bytes | None = None
    photo: Samples | None = None
    size: tuple[int, int] | None = None


class Rendered(Struct, frozen=True):
    """A finished file: its bytes in pieces, its size in pixels, its extension with the dot.

    `pieces` are empty where each was taken as it was made. `notes` say in sentences what could not be done as ordered;
    `enlarged` is how many times larger than in the photo the subject is shown, below 1 where it is smaller; `headless`
    where its head was to place it and none is seen.
    """

    pieces: tuple[bytes, ...]
    width: int
    height: int
    extension: str
    notes: tuple[str, ...] = ()
    enlarged: float = 1.0
    headless: bool = False

    @property
    def data(self) -> bytes:
        """The whole file."""
        return b"".join(self.pieces)


def render(
    subject: Subject,
    output: Output,
    *,
    background_image: NDArray[np.uint8] | None = None,
    threads: int = 1,
) -> Rendered:
    """Make one deliverable.

    Args:
        subject: the cutout; it is only read.
        output: the order.
        background_image: uint8 (h, w, 3) sRGB, in place of reading output.background_path.
        threads: how many may resample and encode; the bytes do not depend on it.

    Raises:
        PhotoError: cannot-render, if the format cannot hold the size or the background cannot be read.
    """
    placed, no_head = _placed(subject, output)
    placement = placed.placement
    height, width = subject.alpha.shape
    if subject.size not in (None, (width, height)):
        placement = replace(placement, source=layout.Box(0, 0, width, height))
    width, height = placement.canvas
    if output.channels == "alpha":
        picture = Picture(compose.placed_mask(subject.alpha, placement), None, None)
    elif output.keeps_background:
        picture = _with_its_background(subject, placed, threads)
    else:
        picture = _coloured(subject, output, placement, background_image, threads)
    notes = (*no_head, *_notes(placed, output))
    file = encode(picture, output, threads=threads)
    return Rendered(
        (file,), width, height, extension(output), notes, placed.placement.enlargement, headless=bool(no_head)
    )


def is_plain(output: Output, photo: tuple[int, int]) -> bool:
    """Whether the order is the cutout itself, pixel for pixel in 8 bits, as a PNG that `render_plain` can make.

    Args:
        output: the order.
        photo: width and height in pixels.
    """
    plain = (output.format, output.channels, output.bits, output.background, output.shadow)
    if plain != ("png", "rgba", 8, "transparent", "none") or not png.can_stream(output.compression):
        return False
    if output.fit == "head" or layout.needs_subject(output):
        return False
    placement = layout.place(output, photo)
    return placement.is_identity and placement.source == layout.Box(0, 0, *photo)


def render_plain(
    source: png.Bands,
    output: Output,
    photo: tuple[int, int],
    *,
    icc: bytes | None = None,
    threads: int = 1,
    take: Callable[[bytes], object] | None = None,
) -> Rendered:
    """The same bytes as `render` makes of a plain order, from a cutout that never exists as a whole.

    Args:
        source: alpha and colour of the cutout in bands, colour 0 where alpha is 0.
        output: an order that `is_plain`.
        photo: width and height in pixels.
        icc: profile of the colours; None means sRGB.
        threads: how many bands are worked on at once; the bytes do not depend on it.
        take: called with each piece of the file in order, while the next ones are made; unset, they are kept.
    """
    pieces: list[bytes] = []
    keep = pieces.append if take is None else take
    for piece in png.encode_bands(
        source, photo, compression=output.compression, dpi=output.density, icc=icc, threads=threads
    ):
        keep(piece)
    return Rendered(tuple(pieces), *photo, extension(output))


def _placed(subject: Subject, output: Output) -> tuple[Window, tuple[str, ...]]:
    """Where the photo lands, and a sentence where that is not by its head although the order says so."""
    if output.fit != "head":
        return _window(subject, output), ()
    found = head.find_head(subject.alpha)
    if found is None:
        return _by_subject(subject, output, "No head on shoulders can be made out in this photo")
    placed = _window(subject, output, found)
    times = placed.placement.enlargement
    if times <= _MOST_ENLARGED_HEAD:
        return placed, ()
    height = round(found.chin - found.crown)
    return _by_subject(
        subject, output, f"The head is only {height} pixels high, and the order would enlarge it {times:.0f}×"
    )


def _by_subject(subject: Subject, output: Output, why: str) -> tuple[Window, tuple[str, ...]]:
    """The same picture with the whole subject in its middle: to be looked at, and better than none."""
    whole = output.model_copy(update={"fit": "subject", "head_height": 0.0, "scale": _WHOLE_SUBJECT})
    return _window(subject, whole), (f"{why}: the whole subject is placed instead.",)


def _window(subject: Subject, output: Output, found: Head | None = None) -> Window:
    """Where the photo lands, counted in its own pixels."""
    photo = subject.size or (subject.alpha.shape[1], subject.alpha.shape[0])
    needed = found is not None or output.keeps_background or layout.needs_subject(output)
    box = compose.subject_box(subject.alpha) if needed else None
    if output.keeps_background:
        return window.place_in_photo(output, photo, box, found)
    return Window(layout.place(output, photo, box, found, shadow.reach(output.shadow)))


def _notes(placed: Window, output: Output) -> tuple[str, ...]:
    """What the photo is too small or too narrow for."""
    notes: list[str] = []
    times = placed.placement.enlargement
    if times > _WORTH_SAYING:
        notes.append(
            f"Enlarged {round(times, 1):g}× to fill the order: a closer or larger photo would be sharper."
        )
    if output.keeps_background and placed.tight:
        notes.append(
            "The photo has less room around the subject than was ordered: it fills more of the picture."
        )
    if output.keeps_background and any(placed.sides):
        notes.append(
            "The photo ends before the picture does: the room beyond has the colour of the photo's edge."
        )
    return tuple(notes)


def _with_its_background(subject: Subject, placed: Window, threads: int) -> Picture:
    """A cut through the photo itself; what lies beyond it has the colour of its edge."""
    photo = subject.photo
    if photo is None:
        raise ValueError("an order that keeps the photo's background needs Subject.photo")
    opaque = np.broadcast_to(np.uint8(255), photo.shape[:2])
    colour, there = compose.placed(photo, opaque, placed.placement, threads)
    if any(placed.sides):
        colour = compose.flattened(colour, there, window.edge_colour(photo, placed.sides))
    return Picture(colour, None, subject.icc)


def _coloured(
    subject: Subject,
    output: Output,
    placement: Placement,
    background_image: NDArray[np.uint8] | None,
    threads: int,
) -> Picture:
    source: Samples = subject.colour
    if output.bits == 16 and subject.rgb16 is not None:
        source = _deep(subject.colour, subject.alpha, subject.rgb16)
    colour, alpha = compose.placed(source, subject.alpha, placement, threads)
    if output.shadow != "none":
        cast = shadow.cast(output.shadow, alpha, output.shadow_strength)
        colour, alpha = compose.over_shadow(colour, alpha, cast)
    behind = backdrop(output, placement.canvas, subject.icc, background_image)
    if behind is not None:
        return Picture(compose.flattened(colour, alpha, behind), None, subject.icc)
    deep = colour.dtype == np.uint16
    return Picture(colour, alpha.astype(np.uint16) * 257 if deep else alpha, subject.icc)


def _deep(
    colour: NDArray[np.uint8], alpha: NDArray[np.uint8], rgb16: NDArray[np.uint16]
) -> NDArray[np.uint16]:
    """The photo's 16 bits where its colour is the subject's, the estimated colour (8 bits) along the edge.

    A crisp edge has opaque pixels whose colour is estimated: those differ from the photo's upper bytes.
    """
    out = np.zeros(rgb16.shape, np.uint16)
    for top, bottom in rows.strips(alpha.shape[0], alpha.shape[1] * 6):
        here = np.s_[top:bottom]
        own = (alpha[here] == 255) & (rgb16[here] >> 8 == colour[here]).all(axis=-1)
        out[here] = np.where(own[..., np.newaxis], rgb16[here], colour[here] * np.uint16(257))
    return out
