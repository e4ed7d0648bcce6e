"""What lies behind the subject: a colour, or a picture of the canvas's size; the subject is not seen here."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from cutoutd.config import lengths
from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.output import Output
from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding.photo import PhotoLimits, decode, read_bytes, read_header
from cutoutd.models.rendering import compose

# A background is a picture the user chose, not one that arrived: generous, but not without end.
_LIMITS = PhotoLimits(max_bytes=1_000_000_000, max_megapixels=150.0)
_WHITE = (255, 255, 255)  # where a picture leaves the canvas free


def load_background(path: Path) -> NDArray[np.uint8]:
    """Read a background picture from disk: uint8 (h, w, 3), sRGB, upright; kept until the file changes.

    What is transparent in it shows white, as does the room beside one that is fitted.

    Raises:
        PhotoError: cannot-render, naming the background and not the photo.
    """
    try:
        facts = path.stat()
        return _load(path, facts.st_mtime_ns, facts.st_size)
    except (OSError, PhotoError) as exc:
        what = exc.what if isinstance(exc, PhotoError) else (exc.strerror or "it cannot be read")
        raise PhotoError(
            Reason.CANNOT_RENDER,
            f"The background picture {path} cannot be used: {what}",
            fix="Put a photo there, or change the option background; then retry.",
        ) from exc


@lru_cache(maxsize=2)  # one background serves a whole shoot; more would only hold memory
def _load(path: Path, mtime_ns: int, size: int) -> NDArray[np.uint8]:
    del mtime_ns, size  # part of the key only
    data = read_bytes(path, _LIMITS).data
    photo = decode(data, read_header(data, path.name, _LIMITS))
    if photo.alpha is None:
        return photo.rgb
    # What lies hidden under it may be anything, and is black in most files.
    return np.asarray(compose.flattened(photo.rgb, photo.alpha, np.array(_WHITE, np.uint8)), np.uint8)


def backdrop(
    output: Output, canvas: tuple[int, int], icc: bytes | None, image: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8] | None:
    """The ordered background on its canvas, in the colour space of the subject.

    Args:
        output: the order.
        canvas: (width, height) in pixels.
        icc: profile of the subject's colours; None is sRGB.
        image: the background picture, uint8 (h, w, 3) sRGB; loaded from output.background_path if None.

    Returns:
        uint8 (3,) for one colour, (height, width, 3) for a picture, or None where nothing was ordered.

    Raises:
        PhotoError: cannot-render, if the picture cannot be read, or the profile leads out of its space alone.
    """
    path = output.background_path
    if path is None:
        plain = lengths.parse_colour(output.background)
        if plain is None:
            return None
        return _in_space(np.array(plain, np.uint8).reshape(1, 1, 3), icc).reshape(3)
    picture = load_background(path) if image is None else image
    return _in_space(_laid(picture, canvas, output.background_fit), icc)


def _laid(picture: NDArray[np.uint8], canvas: tuple[int, int], how: str) -> NDArray[np.uint8]:
    """The picture on the canvas, scaled to cover it, to lie inside on white, or repeated."""
    width, height = canvas
    if how == "tile":
        across, down = -(-width // picture.shape[1]), -(-height // picture.shape[0])
        return np.tile(picture, (down, across, 1))[:height, :width]
    pick = max if how == "fill" else min
    factor = pick(width / picture.shape[1], height / picture.shape[0])
    image = Image.fromarray(picture)
    if how == "fill":
        used_w, used_h = width / factor, height / factor
        left, top = (picture.shape[1] - used_w) / 2, (picture.shape[0] - used_h) / 2
        box = (
            max(0.0, left),
            max(0.0, top),
            min(picture.shape[1], left + used_w),
            min(picture.shape[0], top + used_h),
        )
        return np.asarray(image.resize(canvas, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0))
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    whole = Image.new("RGB", canvas, _WHITE)
    scaled = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    whole.paste(scaled, ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(whole)


def _in_space(rgb: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """Pixels of sRGB as numbers of the profile; unchanged without one."""
    if icc is None:
        return rgb
    steps = _to_profile(icc)
    return np.asarray(steps.apply(Image.fromarray(rgb)))


@lru_cache(maxsize=4)
def _to_profile(icc: bytes) -> Any:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profiles.srgb_icc()))
    target = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    try:
        return ImageCms.buildTransform(
            source,
            target,
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError as exc:  # scanners and cameras describe what they see, and need no way back
        raise PhotoError(
            Reason.CANNOT_RENDER,
            "The photo's own colour profile works in one direction only, so no background can be written in it",
            fix='Leave out colour = "keep-profile" or the background; then retry.',
        ) from exc
