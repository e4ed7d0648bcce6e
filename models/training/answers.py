"""Keeps what a finished network answers to training pictures: the real mistakes that a second stage learns from.

Not for scores (`cutoutd.models.evaluation.evaluate`). The pictures are the first network's own training mixture, seen
through the shipped eight-bit file: plain, mirrored, and both joined with the look from nearby; held-out photos are
never among them::

    python -m cutoutd.models.training.answers --out FOLDER --model cutout-m --count 12000

A run that was stopped goes on where it was; a trainer may read the folder while it grows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from cutoutd.config.places import models_dir
from cutoutd.models.networks.catalog import find_model
from cutoutd.models.networks.closer import joined, worth_a_look
from cutoutd.models.networks.inputs import fit_to_input, to_planes
from cutoutd.models.networks.segmenter import Segmenter, mean_of
from cutoutd.models.planes import Alpha
from cutoutd.models.training.dataset import data_folder, read_all
from cutoutd.models.training.sampling import Mixture, Shares

Pixels = NDArray[np.uint8]  # as `Kept` says of each

SIDE: Final = 320
# Of a kept truth: "do not judge"; the darkest half-tones of real masks lie far above.
IGNORED: Final = 1
# Plain, mirrored, and all of them joined.
LOOKS: Final = 3
# Few pasted subjects: their outlines are too easy. Some empty scenes: the second stage must not invent either.
SHARES: Final = Shares(composites=0.12, close_ups=0.15, empty=0.02)


class Kept(NamedTuple):
    """Open folder of answers; the first `done()` of each array are there.

    photos uint8 (N, s, s, 3) RGB; looks uint8 (N, 3, s, s), the plain and the mirrored answer, both upright, and what
    the product makes of them and the look from nearby; truths uint8 (N, s, s), IGNORED where not to be judged.
    """

    photos: Pixels
    looks: Pixels
    truths: Pixels
    folder: Path

    def done(self) -> int:
        """How many samples are complete."""
        mark = self.folder / "done"
        return int(mark.read_text()) if mark.exists() else 0


def open_kept(folder: Path, count: int | None = None) -> Kept:
    """Open a folder for reading, or make or reopen one for writing `count` samples."""

    def plane(name: str, shape: tuple[int, ...]) -> Pixels:
        path = folder / f"{name}.npy"
        if path.exists():
            return np.load(path, mmap_mode="r" if count is None else "r+")
        return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)

    many = count or 0
    return Kept(
        plane("photos", (many, SIDE, SIDE, 3)),
        plane("looks", (many, LOOKS, SIDE, SIDE)),
        plane("truths", (many, SIDE, SIDE)),
        folder,
    )


def all_looks(segmenter: Segmenter, photo: Pixels) -> Pixels:
    """What a network says of a photo of its own size, uint8 (LOOKS, s, s), as `Kept.looks` has it."""

    def once(shown: Pixels) -> Alpha:
        return segmenter.raw(to_planes(shown, segmenter.spec), lone=False)

    mirrored = once(np.ascontiguousarray(photo[:, ::-1]))[:, ::-1]
    first = [once(photo), mirrored]
    part = worth_a_look(mean_of(first))
    near = None
    if part is not None:
        near = once(fit_to_input(photo[part.pixels(*photo.shape[:2])], segmenter.spec)[0])
    return np.rint(np.stack([*first, joined(first, near, part)]) * 255).astype(np.uint8)


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.answers", description=__doc__.split("\n")[0]
    )
    p.add_argument("--data", help="data folder; unset: $CUTOUTD_TRAINING_DATA")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--model", default="cutout-m", help="an installed model")
    p.add_argument("--count", type=int, default=12_000)
    p.add_argument("--every", type=int, default=1, help="one photo in so many; unset: all")
    p.add_argument("--seed", type=int, default=0)
    options = p.parse_args()
    cv2.setNumThreads(0)
    options.out.mkdir(parents=True, exist_ok=True)
    kept = open_kept(options.out, options.count)
    spec = replace(find_model(options.model, models_dir()), flip=False)
    segmenter = Segmenter(spec, providers=("cpu",), threads=1)
    mixture = Mixture(read_all(data_folder(options.data), options.every), SIDE, SHARES)
    for place in range(kept.done(), options.count):
        sample = mixture.sample(np.random.default_rng((options.seed, place)))
        photo = np.ascontiguousarray(sample.photo[..., ::-1])
        kept.photos[place], kept.looks[place] = photo, all_looks(segmenter, photo)
        kept.truths[place] = np.where(sample.valid > 0, np.maximum(sample.alpha, IGNORED + 1), IGNORED)
        if place % 50 == 49 or place + 1 == options.count:
            (options.out / "done").write_text(str(place + 1))


if __name__ == "__main__":
    main()
