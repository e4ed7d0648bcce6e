"""Asks a deciding network as the product asks the bundled one, and scores the answers with it and without.

Not for training it (`decider`), and for choosing among its checkpoints only: `evaluate --model cutout-m@decided` asks
the bundled one::

    python -m cutoutd.models.training.deciding NETWORK.onnx --images DIR --masks DIR [--names FILE] [--every N]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from msgspec.structs import replace
from numpy.typing import NDArray

from cutoutd.models.evaluation.cases import find_cases, read_mask, read_photo, resized
from cutoutd.models.evaluation.scores import score, summarise
from cutoutd.models.evaluation.solidity import mean_solidity, solidity
from cutoutd.models.matting.refiner import Network
from cutoutd.models.networks.catalog import STANDARD, catalogue
from cutoutd.models.networks.decider import SHARE, SIDE, decided, part_to_decide
from cutoutd.models.networks.inputs import fit_to_input, to_planes
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.strays import tidied
from cutoutd.models.planes import Alpha
from cutoutd.models.training.terminal import say

Photo = NDArray[np.uint8]  # (H, W, 3), sRGB


def both(segmenter: Segmenter, photo: Photo, network: Network, share: float) -> tuple[Alpha, Alpha]:
    """The first answer to a photo, and what the deciding network makes of it: float32 (h, w) in 0..1 both."""
    spec = segmenter.spec
    first = segmenter.alpha(photo)
    part = part_to_decide(first)
    if part is None:
        return first, first
    shown = photo[part.pixels(*photo.shape[:2])]
    planes = to_planes(fit_to_input(shown, replace(spec, input_size=SIDE))[0], spec)

    def ask(feeds: list[dict[str, Alpha]]) -> list[Alpha]:
        return [network.run(["alpha"], feed)[0].reshape(SIDE, SIDE) for feed in feeds]

    return first, decided(first, part, planes, ask, share)


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
    segmenter = Segmenter(catalogue()[STANDARD], providers=("cpu",), threads=1)
    judged: dict[str, list[tuple[Any, Any]]] = {"first": [], "decided": []}
    for case in find_cases(options.images, options.masks, options.names, options.every):
        photo, mask = read_photo(case.photo), read_mask(case.mask)
        for name, alpha in zip(judged, both(segmenter, photo, network, options.share), strict=True):
            fitted = resized(tidied(alpha), *mask.shape)
            judged[name].append((score(fitted, mask), solidity(fitted, mask)))
    for name, each in judged.items():
        scores, solid = summarise([one for one, _ in each]), mean_solidity([one for _, one in each])
        say(f"{name}, {len(each)} photos: {scores} {solid}")


if __name__ == "__main__":
    main()
