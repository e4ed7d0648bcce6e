"""Boxes around a band: they cover it once, fit it, and are cut only where that saves work."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.models.matting import boxes
from cutoutd.models.matting.boxes import Box, cut

SHAPE = (150, 230)


def _ring() -> NDArray[np.bool_]:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.abs(np.hypot(y - 75, x - 110) - 60) < 3


def _specks() -> NDArray[np.bool_]:
    return np.random.default_rng(2).random(SHAPE) < 0.002


def _work(found: list[Box], margin: int, call: float) -> float:
    wide = [box.widened(margin, (10_000, 10_000)) for box in found]
    return sum((w.bottom - w.top) * (w.right - w.left) + call for w in wide)


@pytest.mark.parametrize("band", [_ring(), _specks(), np.ones(SHAPE, np.bool_), np.zeros(SHAPE, np.bool_)])
@pytest.mark.parametrize("margin", [0.0, 2.0, 8.0, 5.5])
def test_boxes_cover_the_band_once_and_fit_it(band: NDArray[np.bool_], margin: float) -> None:
    covered = np.zeros(SHAPE, int)
    for box in cut(band, margin=margin, call=20, largest=(64, 100)):
        part = band[box.top : box.bottom, box.left : box.right]
        assert part.shape[0] <= 64
        assert part.shape[1] <= 100
        for side in (part[0], part[-1], part[:, 0], part[:, -1]):
            assert side.any()
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert covered.max(initial=0) <= 1
    assert covered[band].all()


@pytest.mark.parametrize("band", [_ring(), _specks(), _ring() | _specks()])
@pytest.mark.parametrize("call", [20.0, 500.0])
def test_the_quick_look_changes_no_box(
    band: NDArray[np.bool_], call: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_enough(_part: NDArray[np.bool_], _margin: float) -> float:
        """No box is spared a search."""
        return -np.inf

    quick = cut(band, margin=5.5, call=call)
    monkeypatch.setattr(boxes, "_least_of_two", never_enough)
    assert quick == cut(band, margin=5.5, call=call)


def test_a_thin_ring_is_cut_until_pieces_cost_more() -> None:
    ring = _ring()
    whole = cut(ring, margin=4, call=1e9, largest=(64, 100))
    pieces = cut(ring, margin=4, call=100, largest=(64, 100))
    assert len(pieces) > len(whole)
    assert _work(pieces, 4, 100) < 0.8 * _work(whole, 4, 100)
    for box in pieces:  # no single cut would help any of them
        part = ring[box.top : box.bottom, box.left : box.right]
        again = cut(part, margin=4, call=100, largest=part.shape)
        assert len(again) == 1


def test_a_box_on_a_finer_grid_stays_inside() -> None:
    assert Box(1, 3, 2, 4).times(3, (8, 100)) == Box(3, 8, 6, 12)
    assert Box(0, 3, 2, 4).widened(2, (4, 5)) == Box(0, 4, 0, 5)


def test_the_largest_comes_first() -> None:
    found = cut(_specks() | _ring(), margin=2.0, call=40.0)
    sizes = [(box.bottom - box.top) * (box.right - box.left) for box in found]
    assert len(sizes) > 3
    assert sizes == sorted(sizes, reverse=True)
