"""Leaves away what is small beside the subject and seldom belongs to it: crumbs, specks, half a passer-by at the frame.

Not for telling one subject from several (`matting.controls`, where the user says how many), and not for points
(fixups.py). Pure functions of planes. How often such pieces belong to the subject, and what leaving them away is worth:
models/training/NOTES.md, "Small pieces apart".
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cutoutd.models.matting.controls import components
from cutoutd.models.matting.resample import dilate
from cutoutd.models.networks.haze import settled
from cutoutd.models.planes import Alpha, Mask

# From this alpha on, what hangs together is a piece, and from this one on there is something that a neck can join.
APPARENT, SOLID = 0.25, 0.5
# From this alpha on, what lies apart may be seen, as a speck; below, the edge engines call it background.
SEEN = 0.02
# Pieces of at least this share of the largest are subjects of their own; what is smaller than the others may go.
MAIN, SMALL, CRUMB = 0.25, 0.1, 0.01
# A piece belongs to a subject that it reaches by gaps no wider than twice this, in samples of the answer, from piece to
# piece: a strap, a chain and a wire are seen in parts. What the frame cuts off has to lie nearer.
GAP, GAP_CUT_OFF = 8, 5
# What the network is as sure of as this, on average, stays if it lies whole in the photo: one of a set, a ball.
SURE_WHOLE: Final = 0.75
# The same of what the frame cuts off and a neck joins to a subject: an arm, a strap.
SURE_JOINED: Final = 0.85
# A fainter rim goes with its piece.
RIM: Final = 4
# A neck is at most twice this wide, and a sample more.
NECK: Final = 2


class _Pieces(Struct, frozen=True):
    """What hangs together in an answer. Piece 0 is all the rest and has no size.

    labels: int32 (h, w), the piece at each sample.
    share: its size beside the largest, float64 (n,), where a size is the sum of its alpha.
    sure: the mean of what the network saw there, before haze was decided, float64 (n,).
    """

    labels: NDArray[np.int32]
    share: NDArray[np.float64]
    sure: NDArray[np.float64]

    def among(self, where: Mask) -> Mask:
        """Which pieces have a sample there, bool (n,)."""
        found = np.zeros(len(self.share), np.bool_)
        found[self.labels[where]] = True
        return found

    def cut_off(self) -> Mask:
        """Which pieces touch the frame, bool (n,)."""
        frame = np.ones(self.labels.shape, np.bool_)
        frame[1:-1, 1:-1] = False
        return self.among(frame)


def tidied(alpha: Alpha, wanted: Mask | None = None) -> Alpha:
    """A bundled network's alpha, float32 (h, w) in 0..1, as the product reads it: haze decided, strays left away."""
    return without_strays(settled(alpha), alpha, wanted)


def without_strays(alpha: Alpha, seen: Alpha, wanted: Mask | None = None) -> Alpha:
    """The answer without small pieces that lie apart from its subjects, or that the frame cuts off.

    Args:
        alpha: float32 (h, w) in 0..1, a bundled network's answer at its own scale, its haze decided.
        seen: the same before it was.
        wanted: bool (h, w), what the photo's owner said belongs to it; pieces with any of that stay.

    Returns:
        float32 (h, w); the same array where nothing goes.
    """
    return _without_specks(_without_hangers(_without_islands(alpha, seen, wanted), seen, wanted), wanted)


def _without_islands(alpha: Alpha, seen: Alpha, wanted: Mask | None) -> Alpha:
    """Without small pieces that lie apart from every subject; what reached one only over those goes with them."""
    pieces = _pieces(alpha > APPARENT, alpha, seen)
    small = pieces.share < SMALL
    if not small[1:].any():
        return alpha
    cut_off = _those(pieces, small & pieces.cut_off() & ~_reaching(pieces, GAP_CUT_OFF), wanted)
    unsure = (pieces.sure < SURE_WHOLE) | (pieces.share < CRUMB)
    apart = small & unsure & ~_reaching(pieces, GAP, without=cut_off)
    return _without(alpha, _those(pieces, cut_off | apart, wanted)[pieces.labels])


def _reaching(pieces: _Pieces, gap: int, without: Mask | None = None) -> Mask:
    """Which pieces gaps of twice as many samples join to a subject, directly or over others but for some."""
    there = pieces.labels > 0
    if without is not None:
        there &= ~without[pieces.labels]
    joined = components(dilate(there, gap), diagonal=True)
    subjects = np.zeros(int(joined.max()) + 1, np.bool_)
    subjects[joined[(pieces.share >= MAIN)[pieces.labels] & there]] = True
    return pieces.among(subjects[joined] & there)


def _without_hangers(alpha: Alpha, seen: Alpha, wanted: Mask | None) -> Alpha:
    """Without small and unsure pieces that the frame cuts off and only a neck joins to a subject."""
    if max(float(side.max()) for side in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])) <= SOLID:
        return alpha
    pieces = _pieces(~dilate(alpha <= SOLID, NECK), alpha, seen)
    goes = _those(pieces, (pieces.share < SMALL) & pieces.cut_off() & (pieces.sure < SURE_JOINED), wanted)
    if not goes.any():
        return alpha
    gone = goes[pieces.labels]
    stays = (pieces.labels > 0) & ~gone
    gone = dilate(gone, NECK + 1) & ~dilate(stays, NECK)
    # What only hung on it goes with it.
    rest = _pieces((alpha > APPARENT) & ~gone, alpha, seen)
    return _without(alpha, gone | ~rest.among(stays)[rest.labels] & (rest.labels > 0))


def _without_specks(alpha: Alpha, wanted: Mask | None) -> Alpha:
    """Without what lies apart and is nowhere half there, however small; all stays where nothing is more."""
    labels = components(alpha > SEEN, diagonal=True)
    stays = np.zeros(int(labels.max()) + 1, np.bool_)
    stays[labels[alpha > SOLID]] = True
    if not stays.any():
        return alpha
    if wanted is not None:
        stays[labels[wanted]] = True
    specks = (labels > 0) & ~stays[labels]
    return np.where(specks, np.float32(0), alpha) if specks.any() else alpha


def _pieces(there: Mask, alpha: Alpha, seen: Alpha) -> _Pieces:
    labels = components(there, diagonal=True)
    # Only what belongs to a piece is counted, as whole numbers of the width that counting wants.
    number = labels[there].astype(np.intp)
    many = int(labels.max()) + 1
    counts = np.bincount(number, minlength=many)
    sizes = np.bincount(number, weights=alpha[there], minlength=many)
    sure = np.bincount(number, weights=seen[there], minlength=many) / np.maximum(counts, 1)
    return _Pieces(labels, sizes / max(float(sizes.max()), 1e-9), sure)


def _those(pieces: _Pieces, goes: Mask, wanted: Mask | None) -> Mask:
    """The pieces that go, less what the photo's owner wants."""
    goes[0] = False
    return goes if wanted is None else goes & ~pieces.among(wanted)


def _without(alpha: Alpha, gone: Mask) -> Alpha:
    """Nothing is left of what is gone, nor of its rim, but for the rims of what stays."""
    if not gone.any():
        return alpha
    stays = (alpha > APPARENT) & ~gone
    return np.where(gone | dilate(gone, RIM) & ~dilate(stays, RIM), np.float32(0), alpha)
