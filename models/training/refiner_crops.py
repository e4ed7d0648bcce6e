"""Real edges for training the refiner: crops of photos with wanted alphas, seen through real and made answers.

Not for drawn scenes (`refiner_data`), whose shards these stand beside: hair and fur are learned from those alone. Each
crop is three files: NAME.webp (the photo), NAME.png (its alpha) and NAME_coarse.png (what the first network answered
there, seeing the whole photo)::

    python -m cutoutd.models.training.refiner_crops --data CROPS --out SHARDS --rounds 6
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cutoutd.models.training.refiner_data import degrade, product_hints, write_shard

Pixels = NDArray[np.uint8]
Scene = tuple[
    Pixels, Pixels, Pixels
]  # photo (s, s, 3) BGR, truth (s, s), hints (9, s, s), as refiner_data has them

# Sides that crops of 256 pixels are brought to: photos are made smaller for the refiner, up to 1,024 pixels.
SIDES: Final = (256, 208, 160, 128)
# Pixels of that scale for one sample of the answer: 1,024 for 320, fewer where the photo itself is small.
RATIOS: Final = (1.6, 4.2)
REAL_SHARE: Final = 0.65
# How much more firmly an answer may have been decided since the coarse ones were kept.
FIRMER: Final = (1.0, 3.5)
# One crop in so many is kept for testing.
KEPT: Final = 4
LEFT_OUT: Final = Path(__file__).with_suffix(".txt")
SHARD: Final = 32


def names_of(folder: Path, *, kept: bool) -> list[str]:
    """The crops to learn from, or those kept for testing."""
    left_out = set(LEFT_OUT.read_text("utf-8").splitlines())
    names = sorted(path.stem for path in folder.glob("*.webp"))
    return [n for place, n in enumerate(names) if (place % KEPT == 0) == kept and n not in left_out]


def firmer(answer: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """An answer 0..1 with its logits multiplied, as later stages decide it."""
    held = np.clip(answer, 0.004, 0.996)
    return np.clip(1 / (1 + ((1 - held) / held) ** gain) * 1.008 - 0.004, 0, 1).astype(np.float32)


def answered(rng: np.random.Generator, truth: Pixels, coarse: Pixels, ratio: float) -> NDArray[np.float32]:
    """What a network might have answered, a sample for `ratio` pixels: mostly what one did, else made of the truth."""
    if rng.random() >= REAL_SHARE:
        return degrade(truth.astype(np.float32) / 255, rng)
    size = max(24, round(truth.shape[0] / ratio))
    seen = cv2.resize(coarse.astype(np.float32) / 255, (size, size), interpolation=cv2.INTER_AREA)
    return firmer(seen, math.exp(rng.uniform(*map(math.log, FIRMER))))


def scene(rng: np.random.Generator, folder: Path, name: str, side: int) -> Scene:
    """One crop at one scale."""
    photo = cv2.imread(str(folder / f"{name}.webp"))
    truth = cv2.imread(str(folder / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    coarse = cv2.imread(str(folder / f"{name}_coarse.png"), cv2.IMREAD_GRAYSCALE)
    if photo.shape[0] != side:
        photo, truth = (
            cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in (photo, truth)
        )
    if rng.random() < 0.5:
        shade = np.clip(photo.astype(np.float32) / 255, 0, 1) ** math.exp(rng.normal(0, 0.25))
        photo = (np.clip(shade * rng.uniform(0.8, 1.15, 3), 0, 1) * 255 + 0.5).astype(np.uint8)
    answer = answered(rng, truth, coarse, rng.uniform(*RATIOS))
    return photo, truth, product_hints(photo, answer, int(rng.integers(1, 4)))


def main() -> None:
    """Goes through all crops `--rounds` times, each time seen otherwise, into shards of one scale each."""
    parser = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.refiner_crops", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of crops")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    names = names_of(args.data, kept=False)
    for turn in range(args.rounds):
        rng = np.random.default_rng([args.seed, turn])
        order = [names[place] for place in rng.permutation(len(names))]
        for first in range(0, len(order), SHARD):
            side = SIDES[int(rng.integers(len(SIDES)))]
            some = [scene(rng, args.data, name, side) for name in order[first : first + SHARD]]
            write_shard(args.out / f"crops-{args.seed}-{turn}-{first:04d}.npz", some)


if __name__ == "__main__":
    main()
