"""Asks the deciding network as the product would, and scores the answers with it and without.

Not used by the product (NOTES.md says why not yet), and not for training it (`decider`). It sees the part of the photo
around everything that may be subject, and what the first looks said of it::

    python -m cutoutd.models.training.deciding NETWORK.onnx --images DIR --masks DIR [--names FILE] [--every N]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.evaluation.cases import find_cases, read_mask, read_photo, resized
from cutoutd.models.evaluation.scores import score, summarise
from cutoutd.models.evaluation.solidity import mean_solidity, solidity
from cutoutd.models.matting.refiner import Network
from cutoutd.models.networks.catalog import STANDARD, catalogue
from cutoutd.models.networks.closer import Alpha, Part, around, as_alpha, as_logit, joined, worth_a_look
from cutoutd.models.networks.haze import settled
from cutoutd.models.networks.segmenter import Segmenter, fit_to_input, mean_of, to_planes
from cutoutd.models.training.terminal import say

Photo = NDArray[np.uint8]
Planes = NDArray[np.float32]

# Of what it is shown, in pixels; it was trained at this size.
SIDE: Final = 256
# What the first answer gives this much may be subject; room around it in shares of its own side. What lies beyond stays
# as it is.
POSSIBLE: Final = 0.1
MARGIN: Final = 0.12
# How much of the answer is its own: the mean, as logits, of both.
SHARE: Final = np.float32(0.7)
# Hints are logits, held where no look is surer, in units of four: what the network was trained on.
HINT_SURE: Final = 0.002
HINT_SCALE: Final = np.float32(4)


def part_to_decide(first: Alpha) -> Part | None:
    """The part around everything that may be subject, in whole samples of `first`; None: nothing is.

    Args:
        first: float32 (h, w) in 0..1, covering the whole photo.
    """
    part = around(first, POSSIBLE, MARGIN)
    if part is None:
        return None
    height, width = first.shape
    rows, columns = part.pixels(height, width)
    return Part(
        rows.start / height,
        min(1.0, rows.stop / height),
        columns.start / width,
        min(1.0, columns.stop / width),
    )


def decided(
    first: Alpha, looks: Sequence[Alpha], part: Part, planes: Planes, network: Network, share: float = SHARE
) -> Alpha:
    """The first answer with what the second stage says of one part of it.

    Args:
        first: float32 (h, w) in 0..1, what all looks together say.
        looks: the plain and the mirrored look, both upright, of the same shape and range; others are not asked.
        part: from `part_to_decide`.
        planes: float32 (3, SIDE, SIDE), that part of the photo, normalised as for the first network.
        network: the deciding one.
        share: how much of the answer is its own.

    Returns:
        float32 (h, w) in 0..1; beyond the part as it was.
    """
    rows, columns = part.pixels(*first.shape)
    plain, mirrored, joined = (
        _resized(look[rows, columns], SIDE, SIDE) for look in (looks[0], looks[1], first)
    )
    hints = np.stack([_hint(joined), np.abs(_hint(plain) - _hint(mirrored))])
    feed = {"photo": planes[np.newaxis], "hints": hints[np.newaxis]}
    answer = network.run(["alpha"], feed)[0].reshape(SIDE, SIDE)
    logits = as_logit(first)
    inside = logits[rows, columns]
    own = as_logit(_resized(answer, *inside.shape))
    logits[rows, columns] = inside * np.float32(1 - share) + own * np.float32(share)
    return as_alpha(logits)


def _hint(look: Alpha) -> Alpha:
    held = look.clip(HINT_SURE, 1 - HINT_SURE)
    return np.asarray(np.log(held / (1 - held)), np.float32) / HINT_SCALE


def _resized(alpha: Alpha, height: int, width: int) -> Alpha:
    """Bilinear, averaging where it gets smaller; copied, so that no view is handed on."""
    image = Image.fromarray(np.ascontiguousarray(alpha))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)


def both(segmenter: Segmenter, photo: Photo, network: Network, share: float) -> tuple[Alpha, Alpha]:
    """What the product says of a photo today, and what it would say with the deciding network."""
    spec = segmenter.spec

    def look(shown: Photo, *, mirrored: bool = False) -> Alpha:
        """One answer, upright."""
        small = fit_to_input(shown, spec)[0]
        answer = segmenter.raw(to_planes(np.ascontiguousarray(small[:, ::-1]) if mirrored else small, spec))
        return np.ascontiguousarray(answer[:, ::-1]) if mirrored else answer

    looks = [look(photo), look(photo, mirrored=True)]
    near, part = None, worth_a_look(mean_of(looks))
    if part is not None:
        near = look(photo[part.pixels(*photo.shape[:2])])
    first = joined(looks, near, part)
    part = part_to_decide(first)
    if part is None:
        return first, first
    shown = photo[part.pixels(*photo.shape[:2])]
    planes = to_planes(fit_to_input(shown, replace(spec, input_size=SIDE))[0], spec)
    return first, decided(first, looks, part, planes, network, share)


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.deciding", description=__doc__.split("\n")[0]
    )
    p.add_argument("network", type=Path, help="as `export --kind decider` or `quantise` wrote it")
    p.add_argument("--images", type=Path, required=True)
    p.add_argument("--masks", type=Path, required=True)
    p.add_argument("--names", type=Path)
    p.add_argument("--every", type=int, default=1)
    p.add_argument("--share", type=float, default=float(SHARE))
    options = p.parse_args()
    network: Any = onnxruntime.InferenceSession(str(options.network), providers=["CPUExecutionProvider"])
    segmenter = Segmenter(replace(catalogue()[STANDARD], flip=False), providers=("cpu",), threads=1)
    judged: dict[str, list[tuple[Any, Any]]] = {"first": [], "decided": []}
    for case in find_cases(options.images, options.masks, options.names, options.every):
        photo, mask = read_photo(case.photo), read_mask(case.mask)
        for name, alpha in zip(judged, both(segmenter, photo, network, options.share), strict=True):
            fitted = resized(settled(alpha), *mask.shape)
            judged[name].append((score(fitted, mask), solidity(fitted, mask)))
    for name, each in judged.items():
        scores, solid = summarise([one for one, _ in each]), mean_solidity([one for _, one in each])
        say(f"{name}, {len(each)} photos: {scores} {solid}")


if __name__ == "__main__":
    main()
