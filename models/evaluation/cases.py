"""Photos with the masks that they should get: found in folders and read; nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from cutoutd.config.errors import UsageError
from cutoutd.models.decoding import photo as photos
from cutoutd.models.decoding.formats import suffix_of
from cutoutd.models.planes import Alpha

# Masks are drawn by hand for photos far below these; the limits only keep a wrong folder from filling the
# memory.
LIMITS: Final = photos.PhotoLimits(max_bytes=200_000_000, max_megapixels=100)
MASK_SUFFIXES: Final = (".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".jpg", ".jpeg")


class Case(Struct, frozen=True):
    """One photo with its mask; `name` is the photo's path below the images folder, without suffix."""

    name: str
    folder: str
    photo: Path
    mask: Path


def files_below(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Files with one of the suffixes, by their path below `folder` without suffix; the first suffix wins."""
    order = {suffix: place for place, suffix in enumerate(suffixes)}
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in order or path.name.startswith("."):
            continue
        key = path.relative_to(folder).with_suffix("").as_posix()
        if key not in found or order[path.suffix.lower()] < order[found[key].suffix.lower()]:
            found[key] = path
    return found


def find_cases(images: Path, masks: Path, names: Path | None = None, every: int = 1) -> list[Case]:
    """Pairs of photo and mask with the same path but for the suffix; both may lie in one folder.

    Args:
        images: folder of photos; sub-folders are reported apart.
        masks: folder of masks, laid out alike.
        names: a text file with one pair's name a line (path without suffix); unset: all pairs.
        every: keep one pair in so many of the sorted list; unset: all.

    Raises:
        UsageError: a folder is missing, or no pair is found.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise UsageError("There is no such folder", folder)
    mask_files = files_below(masks, MASK_SUFFIXES)
    taken = set(mask_files.values())
    cases: list[Case] = []
    for path in sorted(images.rglob("*")):
        key = path.relative_to(images).with_suffix("").as_posix()
        is_photo = suffix_of(path.name) in photos.formats.PHOTO_SUFFIXES and not path.name.startswith(".")
        if is_photo and path not in taken and key in mask_files:
            folder = Path(key).parent.as_posix()
            cases.append(Case(key, "" if folder == "." else folder, path, mask_files[key]))
    if names is not None:
        wanted = {line.strip() for line in names.read_text("utf-8").splitlines() if line.strip()}
        cases = [case for case in cases if case.name in wanted]
    cases = cases[:: max(1, every)]
    if not cases:
        raise UsageError(
            "No photo here has a mask of the same name", images, f"Masks were looked for in {masks}."
        )
    return cases


def read_photo(path: Path) -> NDArray[np.uint8]:
    """The photo as the product sees it: uint8 (H, W, 3), upright, sRGB. Raises PhotoError."""
    data = photos.read_bytes(path, LIMITS).data
    return photos.decode(data, photos.read_header(data, path.name, LIMITS)).rgb


def read_mask(path: Path) -> NDArray[np.uint8]:
    """The mask as uint8 (H, W); of an image with transparency, its alpha. Raises UsageError when
    unreadable.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("RGBA", "LA"):
                return np.asarray(image.getchannel("A"), np.uint8)
            return np.asarray(image.convert("L"), np.uint8)
    except OSError as error:
        raise UsageError(f"The mask cannot be read ({error})", path) from error


def resized(alpha: Alpha, height: int, width: int) -> Alpha:
    """An alpha float32 (h, w) in 0..1 at another size, (height, width), bilinear."""
    image = Image.fromarray(alpha).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32).clip(0, 1)
