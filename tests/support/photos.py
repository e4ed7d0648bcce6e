"""Real photos for tests: the public-domain and CC0 images of scikit-image, encoded as asked."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

FOLDER = Path(data.__path__[0])


@functools.cache
def pixels(name: str = "astronaut") -> NDArray[np.uint8]:
    """By the file's name: asked for by its function, each process would load SciPy for a second."""
    (path,) = (path for path in FOLDER.iterdir() if path.stem == name and path.suffix in {".png", ".jpg"})
    with Image.open(path) as image:
        return np.asarray(image, np.uint8)


def encoded(
    name: str = "astronaut", kind: str = "JPEG", *, size: tuple[int, int] | None = None, **options: Any
) -> bytes:
    """A photo as a file's bytes."""
    image = Image.fromarray(pixels(name))
    if size is not None:
        image = image.resize(size, Image.Resampling.BICUBIC)
    if kind == "JPEG":
        options.setdefault("quality", 92)
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def small(name: str = "astronaut", kind: str = "JPEG") -> bytes:
    """One that a worker is done with at once, for tests that look at what becomes of a photo and not at its pixels."""
    return encoded(name, kind, size=(160, 120))


def alpha_of(path: Any) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.mode == "RGBA", image.mode
        return np.asarray(image.getchannel("A"))


def iou(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Overlap of two alphas, each cut at one half; the second is scaled to the first."""
    if one.shape != other.shape:
        other = np.asarray(Image.fromarray(other).resize(one.shape[::-1], Image.Resampling.BILINEAR))
    a, b = one > 127, other > 127
    return float((a & b).sum() / max(1, (a | b).sum()))
