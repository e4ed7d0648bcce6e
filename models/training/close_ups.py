"""Cuts close-ups out of held-out photos, so that networks can be compared on subjects that fill the frame.

Not used in training, which makes its own as it goes (`sampling`). The same crops every time::

    python -m cutoutd.models.training.close_ups --names models/training/validation.txt --out CROPS
    python -m cutoutd.models.evaluation.evaluate --images CROPS --masks CROPS --model cutout-s@flip
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from cutoutd.models.training.augment import close_up_matrix, warp
from cutoutd.models.training.dataset import TRIMAP_SOURCES, data_folder, listing, read_pair
from cutoutd.models.training.terminal import say

# Masks of this source are too coarse to be enlarged.
COARSE: Final = frozenset({"coco"})
SIDE: Final = 320
# The first crop's seed; the k-th photo's crop has the k-th seed after it, whatever became of those before.
SEED: Final = 1000


def cut(data: Path, names: list[str], out: Path) -> int:
    """Writes a crop (`.jpg`) and its mask (`.png`) per photo that allows one, by source.

    Args:
        data: the data folder, see `dataset`.
        names: `source/name` of the photos.
        out: made if need be.

    Returns:
        How many crops there are.

    Raises:
        FileNotFoundError: a photo or mask cannot be read.
    """
    masks = {f"{source}/{name}": (source, name, path) for source, name, path in listing(data)}
    count = 0
    for k, wanted in enumerate(names):
        source, name, path = masks[wanted]
        if source in TRIMAP_SOURCES or source in COARSE:
            continue
        pair = read_pair(source, name, path)
        matrix = close_up_matrix(np.random.default_rng(SEED + k), pair, SIDE)
        if matrix is None:
            continue
        folder = out / source
        folder.mkdir(parents=True, exist_ok=True)
        mask = np.where(warp(pair.mask, matrix, SIDE) > 127, 255, 0).astype(np.uint8)
        cv2.imwrite(
            str(folder / f"{name}.jpg"), warp(pair.photo, matrix, SIDE), [cv2.IMWRITE_JPEG_QUALITY, 95]
        )
        cv2.imwrite(str(folder / f"{name}.png"), mask)
        count += 1
    return count


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.close_ups", description=__doc__.split("\n")[0]
    )
    p.add_argument("--data", help="data folder; unset: $CUTOUTD_TRAINING_DATA")
    p.add_argument("--names", type=Path, required=True, help="text file: these pairs")
    p.add_argument("--out", type=Path, required=True, help="folder for the crops")
    options = p.parse_args()
    names = options.names.read_text().split()
    say(f"{cut(data_folder(options.data), names, options.out)} crops in {options.out}")


if __name__ == "__main__":
    main()
