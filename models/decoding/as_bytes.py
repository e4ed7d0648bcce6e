"""A photo as its caller has it (bytes, a path, a Pillow image) as the bytes of a file."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from cutoutd.config.errors import PhotoError, Reason

PhotoLike = bytes | str | os.PathLike[str] | Image.Image

# What PNG holds without loss. The other kinds of pixels (CMYK, Lab, YCbCr) go through TIFF.
_AS_PNG = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


def as_bytes(photo: PhotoLike, limit: int) -> tuple[bytes, str]:
    """The file's bytes, and what to call it in sentences.

    Args:
        photo: a file's content; or a path, whose file is read; or a Pillow image, which is written losslessly, with its
            colour profile and its orientation.
        limit: bytes that a file at a path may have.

    Raises:
        PhotoError: vanished, no-permission, not-a-regular-file or too-large for a path; unreadable for an image that
            neither PNG nor TIFF can hold.
    """
    if isinstance(photo, bytes):
        return photo, "the photo"
    if isinstance(photo, Image.Image):
        return _of_image(photo), "the image"
    return _of_file(Path(photo), limit), Path(photo).name


def _of_file(path: Path, limit: int) -> bytes:
    try:
        facts = path.stat()
        if not path.is_file():
            raise PhotoError(Reason.NOT_A_REGULAR_FILE, "This is no file", path, "Name a photo.")
        if facts.st_size > limit:
            raise PhotoError(
                Reason.TOO_LARGE,
                f"The file has {facts.st_size:,} bytes, the limit is {limit:,}",
                path,
                "Raise `max_bytes` of the limits if this is a photo you want cut out.",
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PhotoError(Reason.VANISHED, "There is no such file", path, "Check its name.") from error
    except PermissionError as error:
        raise PhotoError(
            Reason.NO_PERMISSION, "The file may not be read", path, "Give yourself the right to read it."
        ) from error


def _of_image(image: Image.Image) -> bytes:
    out = io.BytesIO()
    kept: dict[str, Any] = {"icc_profile": image.info.get("icc_profile"), "exif": image.getexif().tobytes()}
    try:
        if image.mode in _AS_PNG:
            image.save(out, "PNG", compress_level=0, **kept)
        else:
            image.save(out, "TIFF", **kept)
    except (OSError, ValueError, KeyError) as error:
        raise PhotoError(
            Reason.UNREADABLE,
            f"An image of mode {image.mode!r} cannot be handed over",
            "the image",
            'Convert it first: `image.convert("RGB")`.',
        ) from error
    return out.getvalue()
