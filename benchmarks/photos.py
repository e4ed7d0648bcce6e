"""Large photos with a camera's file structure, the same bytes every time; for measuring, not for judging masks.

Public-domain photos that scikit-image carries are enlarged, given the fine detail and grain that enlarging
lacks (without them the files would be a third of a camera's size, and quicker to decode), and saved as JPEG
quality 92 with EXIF and an sRGB profile. Frames of one picture differ in their EXIF serial number alone, so a
hundred frames cost four encodings.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.decoding import icc

# Millions of pixels → width and height as cameras have them (3:2).
SIZES: dict[int, tuple[int, int]] = {
    2: (1728, 1152),
    12: (4256, 2832),
    24: (6000, 4000),
    45: (8256, 5504),
}
PICTURES = ("astronaut", "chelsea", "coffee", "rocket")
QUALITY = 92
# Grain of a full-frame camera at ISO 1600 or so, in steps of 255; fine detail as a share of the enlarged one.
GRAIN, DETAIL = 4.5, 0.6
_TILE = 1024


def frames(folder: Path, megapixels: int, count: int) -> list[Path]:
    """`count` different JPEG files of this size in `folder`, made unless they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for number in range(count):
        path = folder / f"{megapixels:02}MP_{number:04}.jpg"
        if not path.exists():
            picture = PICTURES[number % len(PICTURES)]
            write_whole(path, with_exif(base(folder, picture, megapixels), number))
        paths.append(path)
    return paths


def base(folder: Path, picture: str, megapixels: int) -> bytes:
    """One picture's JPEG without EXIF, kept in `folder`."""
    path = folder / f".base-{picture}-{megapixels:02}.jpg"
    if not path.exists():
        out = io.BytesIO()
        Image.fromarray(enlarged(picture, SIZES[megapixels])).save(
            out, "JPEG", quality=QUALITY, icc_profile=icc.srgb_icc()
        )
        write_whole(path, out.getvalue())
    return path.read_bytes()


def write_whole(path: Path, data: bytes) -> None:
    """A name that holds all of it or does not exist: a benchmark that was stopped leaves no half photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".unfinished")
    part.write_bytes(data)
    part.replace(path)


def enlarged(picture: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A photo of scikit-image at a camera's size, cropped to its shape: uint8 (H, W, 3)."""
    from skimage import data

    source = Image.fromarray(np.asarray(getattr(data, picture)(), np.uint8)[:, :, :3])
    width, height = size
    scale = max(width / source.width, height / source.height)
    box_w, box_h = width / scale, height / scale
    left, top = (source.width - box_w) / 2, (source.height - box_h) / 2
    box = (left, top, left + box_w, top + box_h)
    large = source.resize(size, Image.Resampling.LANCZOS, box=box)
    return _with_grain(np.asarray(large), _detail(source, size, box))


def _detail(
    source: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.int16]:
    """Texture for the octaves that enlarging leaves empty: the source's own, four times as fine, tiled.

    Returns:
        int16 (H, W): to be added to all three channels.
    """
    width, height = size
    quarter = source.convert("L").resize((max(1, width // 4), max(1, height // 4)), box=box)
    coarse = quarter.resize((max(1, width // 16), max(1, height // 16))).resize(quarter.size)
    fine = np.asarray(quarter, np.int16) - np.asarray(coarse, np.int16)
    tiled = np.tile(fine, (4, 4))
    missing = (max(0, height - tiled.shape[0]), max(0, width - tiled.shape[1]))
    return np.pad(tiled, ((0, missing[0]), (0, missing[1])), mode="edge")[:height, :width]


def _with_grain(photo: NDArray[np.uint8], detail: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Detail and grain added in tiles, so that 45 megapixels need no floats at full size."""
    rng = np.random.default_rng(24)
    shape = (_TILE, _TILE)
    luma = rng.normal(0, GRAIN, shape).astype(np.float32)
    chroma = rng.normal(0, GRAIN / 2, (*shape, 3)).astype(np.float32)
    out = np.empty_like(photo)
    for top in range(0, photo.shape[0], _TILE):
        for left in range(0, photo.shape[1], _TILE):
            here = np.s_[top : top + _TILE, left : left + _TILE]
            tile = photo[here].astype(np.float32)
            rows, columns = tile.shape[:2]
            # Shifted by another offset each time: tiles that repeat exactly would be seen by nobody but JPEG.
            dy, dx = int(rng.integers(_TILE)), int(rng.integers(_TILE))
            grain = np.roll(luma, (dy, dx), (0, 1))[:rows, :columns, np.newaxis]
            tint = np.roll(chroma, (dx, dy), (0, 1))[:rows, :columns]
            tile += grain + tint + np.float32(DETAIL) * detail[here][..., np.newaxis]
            out[here] = (np.clip(tile, 0, 255) + np.float32(0.5)).astype(np.uint8)
    return out


def with_exif(jpeg: bytes, number: int) -> bytes:
    """The JPEG with an EXIF segment as a camera writes it; `number` is the shutter count."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Example", "Bench 1"
    exif[0x0112] = 1  # upright
    exif[0x0132] = f"2026:06:01 12:{number // 60 % 60:02}:{number % 60:02}"
    exif[0x8298] = f"frame {number:06}"
    body = exif.tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return jpeg[:2] + segment + jpeg[2:]


def cache_folder() -> Path:
    """Where benchmarks keep photos, networks and the rival: `$CUTOUTD_BENCH_CACHE`, or the user's cache."""
    from platformdirs import user_cache_path

    named = os.environ.get("CUTOUTD_BENCH_CACHE")
    return Path(named) if named else user_cache_path("cutoutd") / "benchmarks"
