"""Counts what a network calls "no subject" on held-out photos, close-ups and pictures without a subject.

For choosing the limits in `cutoutd.models.networks.subject`, which every network needs anew. Not for scores: see
`cutoutd.models.evaluation.evaluate`. The same pictures every time::

    python -m cutoutd.models.training.certainty --names models/training/validation.txt --model cutout-m
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from cutoutd.config.places import models_dir
from cutoutd.models.networks.catalog import resolve
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.subject import has_subject, reading_of, surest
from cutoutd.models.training.augment import close_up_matrix, warp
from cutoutd.models.training.close_ups import SEED, SIDE
from cutoutd.models.training.composite import empty_patch, square_cut, studio, texture
from cutoutd.models.training.dataset import (
    Pair,
    Pixels,
    data_folder,
    held_out_background,
    listing,
    read_backgrounds,
    read_pair,
)
from cutoutd.models.training.terminal import say

MADE: Final = 60  # pictures of each kind that is made, not photographed
# Limits shown beside the one in force, to choose by.
LIMITS: Final = (0.8, 0.85, 0.9, 0.92, 0.93, 0.94, 0.96)


def pictures(data: Path, names: list[str]) -> Iterator[tuple[str, Pixels]]:
    """(group, BGR photo), group by group; only held-out photos and backgrounds."""
    masks = {f"{source}/{name}": (source, name, path) for source, name, path in listing(data)}
    pairs: list[Pair] = [read_pair(*masks[name]) for name in names]
    yield from (("photos with a subject", pair.photo) for pair in pairs)
    for k, pair in enumerate(pairs):
        matrix = close_up_matrix(np.random.default_rng(SEED + k), pair, SIDE)
        if matrix is not None:
            yield "close-ups", warp(pair.photo, matrix, SIDE)
    for kind, make in (("made sweeps", studio), ("made textures", texture)):
        yield from ((kind, make(np.random.default_rng(SEED + k), SIDE)) for k in range(MADE))
    patches = (empty_patch(np.random.default_rng(SEED + k), pair) for k, pair in enumerate(pairs))
    found = itertools.islice((patch for patch in patches if patch is not None), MADE)
    yield from (("beside a subject", cv2.resize(patch, (SIDE, SIDE))) for patch in found)
    for k, (name, photo) in enumerate(sorted(read_backgrounds(data).items())):
        if held_out_background(name):
            yield "rooms and fronts", photo
            yield "cuts of these", square_cut(np.random.default_rng(SEED + k), photo, SIDE)


def judge(segmenter: Segmenter, data: Path, names: list[str]) -> dict[str, list[tuple[float, bool]]]:
    """(certainty, whether the product finds a subject) of every picture, by group."""
    limit = reading_of(segmenter.spec.name).certain
    found: dict[str, list[tuple[float, bool]]] = {}
    for group, photo in pictures(data, names):
        alpha = segmenter.alpha(np.ascontiguousarray(photo[..., ::-1]))
        found.setdefault(group, []).append((surest(alpha), has_subject(alpha, limit)))
    return found


def lines(found: dict[str, list[tuple[float, bool]]]) -> list[str]:
    """A Markdown table: refused now, refused at each of LIMITS by certainty alone, and the least certain three."""
    head = ["pictures", "count", "refused", *(f"at {limit}" for limit in LIMITS), "least certain"]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for group, results in found.items():
        sure = sorted(certainty for certainty, _ in results)
        cells = [group, len(results), sum(not kept for _, kept in results)]
        cells += [sum(certainty < limit for certainty in sure) for limit in LIMITS]
        rows.append(f"| {' | '.join(map(str, cells))} | {' '.join(f'{c:.3f}' for c in sure[:3])} |")
    return rows


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.certainty", description=__doc__.split("\n")[0]
    )
    p.add_argument("--data", help="data folder; unset: $CUTOUTD_TRAINING_DATA")
    p.add_argument("--names", type=Path, required=True, help="text file: these pairs")
    p.add_argument("--every", type=int, default=1, help="one pair in so many")
    p.add_argument("--model", default="cutout-m", help="an installed model")
    p.add_argument("--threads", type=int, default=2)
    options = p.parse_args()
    spec = resolve(options.model, models_dir())
    names = options.names.read_text().split()[:: options.every]
    segmenter = Segmenter(spec, providers=("cpu",), threads=options.threads)
    say("\n".join(lines(judge(segmenter, data_folder(options.data), names))))


if __name__ == "__main__":
    main()
