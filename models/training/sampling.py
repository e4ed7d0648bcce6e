"""Which sample comes next: the weights of the sources and the shares of views, close-ups, composites, empty
scenes.

Not for making the samples: see `augment` and `composite`. An endless, seeded stream of numpy batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from cutoutd.models.training.augment import Random, Sample, view
from cutoutd.models.training.composite import composite, empty_scene
from cutoutd.models.training.dataset import Collection, Pair, Pixels

# How often a photo of each source is drawn, against one of DUTS. Portraits are few and matter most to users;
# flowers and Caltech are easy and many. Emoji are drawings: pasted now and then, never shown whole.
SOURCE_WEIGHTS: Final = {
    "duts": 1.0,
    "icoseg": 0.8,
    "ccp": 0.9,
    "human": 1.6,
    "cats": 1.0,
    "flowers": 0.2,
    "caltech": 0.35,
    "pets": 1.0,
    "coco": 1.0,
    "emoji": 0.2,
}
# The masks of this source are too coarse to be cut along.
NEVER_PASTED: Final = frozenset({"coco"})


class Shares(Struct, frozen=True):
    """Shares of each kind of sample; what is left are plain views."""

    composites: float = 0.33
    close_ups: float = 0.15
    empty: float = 0.03


class Batch(NamedTuple):
    """`photos` uint8 (N, n, n, 3) RGB, `alphas` and `valid` uint8 (N, n, n)."""

    photos: Pixels
    alphas: Pixels
    valid: Pixels


class Mixture:
    """Draws samples from a collection; equal seeds draw equal samples."""

    def __init__(self, collection: Collection, size: int, shares: Shares) -> None:
        self._pairs = collection.train
        self._pasted = [p for p in collection.train if p.source not in NEVER_PASTED] + collection.cutouts
        self._rooms = collection.backgrounds
        self._size = size
        self._shares = shares
        self._pair_odds = _cumulated(self._pairs)
        self._pasted_odds = _cumulated(self._pasted)

    def sample(self, rng: Random) -> Sample:
        """The next sample."""
        kind, shares = rng.random(), self._shares
        pair = _draw(rng, self._pairs, self._pair_odds)
        if kind < shares.composites:
            subject = _draw(rng, self._pasted, self._pasted_odds)
            made = composite(rng, subject, self._size, self._rooms, pair)
            return made if made is not None else self.sample(rng)
        if kind < shares.composites + shares.empty:
            return empty_scene(rng, self._size, self._rooms, pair)
        return view(rng, pair, self._size, close_up=kind > 1 - shares.close_ups)

    def batches(self, seed: int, count: int) -> Iterator[Batch]:
        """Endless batches of `count` samples."""
        rng = np.random.default_rng(seed)
        while True:
            samples = [self.sample(rng) for _ in range(count)]
            photos = np.ascontiguousarray(np.stack([s.photo for s in samples])[..., ::-1])
            yield Batch(photos, np.stack([s.alpha for s in samples]), np.stack([s.valid for s in samples]))


def _cumulated(pairs: list[Pair]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    weights = np.array([SOURCE_WEIGHTS.get(pair.source, 1.0) for pair in pairs])
    return np.cumsum(weights / weights.sum())


def _draw(rng: Random, pairs: list[Pair], odds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Pair:
    return pairs[min(int(np.searchsorted(odds, rng.random())), len(pairs) - 1)]
