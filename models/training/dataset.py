"""Reads photos, masks, cut-outs and backgrounds into memory as uint8, and says which photos are held out.

Not for changing pixels: that is `augment` and `composite`. Needs numpy and OpenCV, no PyTorch.

Layout of the data folder (``--data`` or ``$CUTOUTD_TRAINING_DATA``)::

    segmentation/<source>/<id>.webp      photo
    segmentation/<source>/<id>.png       mask, 255 = subject; 128 = ignore in the sources of TRIMAP_SOURCES
    cutouts_rgba/<source>/<id>.webp      RGBA cut-outs, only pasted, never shown as they are
    backgrounds/<source>/<id>.webp       photos without a subject
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (h, w, 3) BGR of a picture, (h, w) of a mask

DATA_VARIABLE: Final = "CUTOUTD_TRAINING_DATA"

# In these sources the value 128 means "do not judge"; elsewhere it is half-covered edge.
TRIMAP_SOURCES: Final = frozenset({"pets", "flowers"})

# One photo in 25 is held out. The rule hashes the photo's place in the sorted listing, as the first
# network's did, so that no later network is scored on photos an earlier one, whose weights it continues, was
# trained on.
HELD_OUT_EVERY: Final = 25

# 384: no photo of the collection is larger, and the network sees at most 352 px while training.
LONGEST_SIDE: Final = 384


class Pair(Struct, frozen=True):
    """A photo with its mask: `photo` uint8 (H, W, 3) BGR, `mask` uint8 (H, W)."""

    source: str
    name: str
    photo: Pixels
    mask: Pixels

    @property
    def trimap(self) -> bool:
        """True where 128 in the mask means "do not judge"."""
        return self.source in TRIMAP_SOURCES


class Collection(Struct, frozen=True):
    """Everything a training run reads, decoded once (about 5.5 GB for 15,000 photos)."""

    train: list[Pair]
    validation: list[Pair]
    cutouts: list[Pair]
    backgrounds: list[Pixels]


def data_folder(argument: str | None) -> Path:
    """The data folder from the command line or `DATA_VARIABLE`; SystemExit with a sentence when neither
    names one.
    """
    text = argument or os.environ.get(DATA_VARIABLE, "")
    if not text or not Path(text, "segmentation").is_dir():
        raise SystemExit(
            f"No training data: {text or '(nothing given)'!r} has no folder 'segmentation'. "
            f"Name the data folder with --data or the variable {DATA_VARIABLE}."
        )
    return Path(text)


def held_out(index: int) -> bool:
    """Whether the photo at this place of the sorted listing belongs to the validation split."""
    digest = hashlib.sha1(str(index).encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % HELD_OUT_EVERY == 0


def listing(data: Path) -> list[tuple[str, str, Path]]:
    """(source, name, mask path) of every pair, in the order that `held_out` counts in."""
    masks = sorted(str(path) for path in (data / "segmentation").glob("*/*.png"))
    return [(Path(m).parent.name, Path(m).stem, Path(m)) for m in masks]


def read_pair(source: str, name: str, mask_path: Path, longest: int = LONGEST_SIDE) -> Pair:
    """Decode one pair, shrunk to `longest` when larger. Raises FileNotFoundError naming the photo that
    cannot be read.
    """
    photo = cv2.imread(str(mask_path.with_suffix(".webp")), cv2.IMREAD_COLOR)
    mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
    if photo is None or mask is None:
        raise FileNotFoundError(f"Cannot decode the pair {mask_path}: photo or mask is missing or damaged.")
    scale = longest / max(photo.shape[:2])
    if scale < 1:
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        how = cv2.INTER_NEAREST if source in TRIMAP_SOURCES else cv2.INTER_AREA
        mask = cv2.resize(mask, (photo.shape[1], photo.shape[0]), interpolation=how)
    return Pair(source, name, np.asarray(photo, np.uint8), np.asarray(mask, np.uint8))


def read_cutouts(data: Path) -> list[Pair]:
    """Every RGBA cut-out as a pair whose mask is its alpha; files without alpha are passed over."""
    found: list[Pair] = []
    for path in sorted((data / "cutouts_rgba").glob("*/*.webp")):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels is not None and pixels.ndim == 3 and pixels.shape[2] == 4:
            rgba = np.asarray(pixels, np.uint8)
            photo, alpha = np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
            found.append(Pair(path.parent.name, path.stem, photo, alpha))
    return found


def held_out_background(name: str) -> bool:
    """Whether a background is held out; all views of one house or street share a number and therefore the
    answer.
    """
    number = re.search(r"\d+", name)
    return held_out(int(number.group())) if number is not None else False


def read_backgrounds(data: Path) -> dict[str, Pixels]:
    """Every background photo, BGR, by name."""
    found: dict[str, Pixels] = {}
    for path in sorted((data / "backgrounds").glob("*/*.webp")):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is not None:
            found[f"{path.parent.name}/{path.stem}"] = np.asarray(image, np.uint8)
    return found


def read_all(data: Path, every: int = 1) -> Collection:
    """Decode the whole folder; `every` > 1 keeps one pair in so many, for trying things out (unset: all)."""
    pairs = [(k, read_pair(*entry)) for k, entry in enumerate(listing(data)) if k % every == 0 or held_out(k)]
    backgrounds = read_backgrounds(data)
    return Collection(
        train=[p for k, p in pairs if not held_out(k)],
        validation=[p for k, p in pairs if held_out(k)],
        cutouts=read_cutouts(data),
        backgrounds=[image for name, image in backgrounds.items() if not held_out_background(name)],
    )
