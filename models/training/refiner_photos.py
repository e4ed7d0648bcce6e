"""Whole photos for training the refiner: what the product answers to them, and their masks, at a small photo's size.

Not for drawn scenes (`refiner_data`) nor for crops of larger photos (`refiner_crops`), whose shards these stand beside.
Photos whose answer is another shape than the mask's are left out: no outline can be learned from those::

    python -m cutoutd.models.training.refiner_photos --data DATA --out SHARDS --count 2600
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cutoutd.models.networks.catalog import resolve
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.strays import tidied
from cutoutd.models.planes import Alpha
from cutoutd.models.training.dataset import data_folder, held_out, listing, read_pair
from cutoutd.models.training.refiner_data import product_hints, write_shard

Pixels = NDArray[np.uint8]
# Photo (SIDE, SIDE, 3) RGB, truth (SIDE, SIDE), hints (9, SIDE, SIDE), as refiner_data has them.
Scene = tuple[Pixels, Pixels, Pixels]

# A tenth more than the answer's 320: photos of the collection have 336 pixels along their longer side.
SIDE: Final = 352
# Those of which every mask follows the outline itself.
SOURCES: Final = ("duts", "icoseg", "ccp", "human")
# A mask covers so much of its photo, and the answer overlaps it as far.
COVERS: Final = (0.01, 0.95)
LEAST_OVERLAP: Final = 0.75
SHARD: Final = 32


def entries_of(data: Path) -> list[tuple[str, str, Path]]:
    """Every photo of SOURCES that no score is taken of, as `listing` has it, shuffled, always in the same order."""
    learned = [one for k, one in enumerate(listing(data)) if not held_out(k) and one[0] in SOURCES]
    return [learned[place] for place in np.random.default_rng(3).permutation(len(learned))]


def scene(photo: Pixels, mask: Pixels, see: Callable[[Pixels], Alpha]) -> Scene | None:
    """A photo RGB (h, w, 3) with its mask (h, w), or None where `see`'s answer, 0..1, is not nearly that shape."""
    subject = mask > 127
    if not COVERS[0] < subject.mean() < COVERS[1]:
        return None
    answer = see(photo)
    seen = cv2.resize(answer, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    if (seen & subject).sum() < LEAST_OVERLAP * (seen | subject).sum():
        return None
    smaller = cv2.INTER_AREA if max(mask.shape) > SIDE else cv2.INTER_LINEAR
    shown = cv2.resize(photo, (SIDE, SIDE), interpolation=smaller)
    truth = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return shown, truth, product_hints(shown, answer, 1)


def main() -> None:
    """Asks the product about `--count` photos and writes shards of what it answers."""
    parser = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.refiner_photos", description=__doc__
    )
    parser.add_argument("--data", help="data folder; unset: $CUTOUTD_TRAINING_DATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2600)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    data = data_folder(args.data)
    segmenter = Segmenter(resolve("standard", Path("nowhere")), providers=("cpu",), threads=1)
    scenes: list[Scene] = []
    written = 0
    for entry in entries_of(data)[: args.count]:
        pair = read_pair(*entry)
        photo = np.ascontiguousarray(pair.photo[..., ::-1])
        found = scene(photo, pair.mask, lambda shown: tidied(segmenter.alpha(shown)))
        if found is not None:
            scenes.append(found)
        if len(scenes) == SHARD:
            write_shard(args.out / f"photos-{written:04d}.npz", scenes)
            scenes, written = [], written + 1


if __name__ == "__main__":
    main()
