"""Compares ways to ask one network: shapes, sizes, mirrored looks, two scales, a second look at a crop.

Not for comparing networks (`cutoutd.models.evaluation.evaluate`) and not used by the product, which does what won
here::

    python -m cutoutd.models.training.study --images DIR --masks DIR [--names FILE] [--every N] [--model FILE]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from cutoutd.models.evaluation.cases import Case, find_cases, read_mask, read_photo, resized
from cutoutd.models.evaluation.scores import PhotoScore, score, summarise
from cutoutd.models.networks.catalog import STANDARD, catalogue
from cutoutd.models.networks.inputs import to_planes
from cutoutd.models.planes import Alpha
from cutoutd.models.training.terminal import say

Photo = NDArray[np.uint8]  # (H, W, 3), sRGB
Way = Callable[[Photo], Alpha]

BASE: Final = 320
STEP: Final = 32  # the network halves five times
# A second look is worth its time only when the subject leaves this much of the frame unused.
SMALL_SHARE: Final = 0.35
CROP_MARGIN: Final = 0.2


class Asker:
    """One ONNX Runtime session and the ways of asking it; `passes` counts runs since it was last set to 0."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._spec = catalogue()[STANDARD]
        self.passes = 0

    def run(self, photo: Photo, height: int, width: int, *, mirrored: bool = False) -> Alpha:
        """The answer for the photo squashed to height x width, mirrored back if it was asked mirrored."""
        self.passes += 1
        small = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
        planes = to_planes(np.ascontiguousarray(small[:, ::-1] if mirrored else small), self._spec)[None]
        answer = np.asarray(self._session.run(["alpha"], {"photo": planes})[0][0, 0], np.float32)
        return answer[:, ::-1] if mirrored else answer

    def squashed(self, side: int) -> Way:
        """To a square, as in training."""
        return lambda photo: self.run(photo, side, side)

    def flipped(self, side: int) -> Way:
        """The mean of the photo's answer and its mirror image's."""
        return lambda photo: (
            (self.run(photo, side, side) + self.run(photo, side, side, mirrored=True)) * np.float32(0.5)
        )

    def shaped(self, side: int) -> Way:
        """To a rectangle of the photo's own shape with about side x side pixels: nothing squashed, nothing
        padded.
        """

        def ask(photo: Photo) -> Alpha:
            root = (photo.shape[0] / photo.shape[1]) ** 0.5
            height, width = (max(STEP, round(side * r / STEP) * STEP) for r in (root, 1 / root))
            return self.run(photo, height, width)

        return ask

    def padded(self, side: int) -> Way:
        """To a square with the photo's shape kept and the mean colour around it."""

        def ask(photo: Photo) -> Alpha:
            scale = side / max(photo.shape[:2])
            height, width = (max(1, round(n * scale)) for n in photo.shape[:2])
            canvas = np.full((side, side, 3), round(self._spec.mean[0] * 255), np.uint8)
            small = Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR)
            canvas[:height, :width] = np.asarray(small)
            return np.ascontiguousarray(self.run(canvas, side, side)[:height, :width])

        return ask

    def two_scales(self, small: int, large: int, *, mirrored: bool) -> Way:
        """The mean of two sizes, the larger one mirrored if asked: both tricks for two runs."""

        def ask(photo: Photo) -> Alpha:
            second = self.run(photo, large, large, mirrored=mirrored)
            return (resized(self.run(photo, small, small), large, large) + second) * np.float32(0.5)

        return ask

    def looked_again(self, first: Way, side: int, *, mix: float) -> Way:
        """A second run on a crop around a small subject; inside the crop both answers are mixed."""

        def ask(photo: Photo) -> Alpha:
            """The alpha of one photo, asked twice where its subject is small."""
            height, width = photo.shape[:2]
            alpha = resized(np.ascontiguousarray(first(photo)), height, width)
            box = crop_box(alpha)
            if box is None:
                return alpha
            left, top, right, bottom = box
            crop = np.ascontiguousarray(photo[top:bottom, left:right])
            again = resized(self.run(crop, side, side), bottom - top, right - left)
            inside = alpha[top:bottom, left:right]
            alpha[top:bottom, left:right] = inside * np.float32(1 - mix) + again * np.float32(mix)
            return alpha

        return ask


def crop_box(alpha: Alpha) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) around everything above one half, with a margin; None unless it is small."""
    rows, columns = np.flatnonzero((alpha > 0.5).any(1)), np.flatnonzero((alpha > 0.5).any(0))
    if not len(rows):
        return None
    height, width = alpha.shape
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    pad_y, pad_x = round((bottom - top) * CROP_MARGIN) + 4, round((right - left) * CROP_MARGIN) + 4
    top, left = max(0, top - pad_y), max(0, left - pad_x)
    bottom, right = min(height, bottom + pad_y), min(width, right + pad_x)
    if (bottom - top) * (right - left) > SMALL_SHARE * height * width:
        return None
    return int(left), int(top), int(right), int(bottom)


def ways(asker: Asker) -> dict[str, Way]:
    """Everything that is compared, by the name it has in NOTES.md."""
    flip = asker.flipped(BASE)
    return {
        "squash 320": asker.squashed(BASE),
        "pad 320": asker.padded(BASE),
        "own shape 320": asker.shaped(BASE),
        "squash 384": asker.squashed(384),
        "squash 448": asker.squashed(448),
        "flip 320": flip,
        "flip 384": asker.flipped(384),
        "320 + 384": asker.two_scales(BASE, 384, mirrored=False),
        "320 + mirrored 384": asker.two_scales(BASE, 384, mirrored=True),
        "320 + mirrored 256": asker.two_scales(256, BASE, mirrored=True),
        "look again": asker.looked_again(asker.squashed(BASE), BASE, mix=0.5),
        "flip, look again": asker.looked_again(flip, BASE, mix=0.5),
    }


def compare(asker: Asker, cases: list[Case]) -> list[str]:
    """One line of a Markdown table per way."""
    found: dict[str, list[tuple[PhotoScore, float, int]]] = {}
    for case in cases:
        photo, mask = read_photo(case.photo), read_mask(case.mask)
        for name, way in ways(asker).items():
            asker.passes = 0
            started = time.perf_counter()
            alpha = np.ascontiguousarray(way(photo))
            milliseconds = (time.perf_counter() - started) * 1000
            one = score(resized(alpha, *mask.shape), mask)
            found.setdefault(name, []).append((one, milliseconds, asker.passes))
    lines = ["| way | IoU | MAE | maxF | S | boundary IoU | runs | ms |", "|---|---|---|---|---|---|---|---|"]
    for name, rows in found.items():
        mean = summarise([row[0] for row in rows])
        runs, ms = statistics.mean(row[2] for row in rows), statistics.median(row[1] for row in rows)
        figures = (mean.iou, mean.mae, mean.max_f, mean.s_measure, mean.boundary_iou)
        lines.append(f"| {name} | {' | '.join(f'{f:.4f}' for f in figures)} | {runs:.2f} | {ms:.0f} |")
    return lines


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.study", description=__doc__.split("\n")[0]
    )
    p.add_argument("--images", type=Path, required=True)
    p.add_argument("--masks", type=Path, required=True)
    p.add_argument("--names", type=Path, help="text file: only these pairs")
    p.add_argument("--every", type=int, default=1, help="one pair in so many")
    p.add_argument(
        "--model", type=Path, default=catalogue()[STANDARD].path, help="unset: the bundled network"
    )
    p.add_argument("--threads", type=int, default=2)
    options = p.parse_args()
    cases = find_cases(options.images, options.masks, options.names, options.every)
    say(f"{len(cases)} photos")
    say("\n".join(compare(Asker(options.model, options.threads), cases)))


if __name__ == "__main__":
    main()
