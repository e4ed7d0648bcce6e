from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.models.rendering import shadow


def block(size: int = 400) -> NDArray[np.uint8]:
    alpha = np.zeros((size, size), np.uint8)
    alpha[size // 4 : size * 3 // 4, size * 3 // 8 : size * 5 // 8] = 255
    return alpha


@pytest.mark.parametrize("kind", ["drop", "contact"])
def test_strength_is_the_darkest_point(kind: shadow.Kind) -> None:
    strong, weak = shadow.cast(kind, block(), 80), shadow.cast(kind, block(), 20)
    assert 0.6 * 0.8 * 255 < strong.max() <= 0.8 * 255 + 1
    assert weak.max() == pytest.approx(strong.max() / 4, abs=2)


@pytest.mark.parametrize("kind", ["drop", "contact"])
@pytest.mark.parametrize("size", [400, 3000])
def test_a_shadow_stays_within_its_reach(kind: shadow.Kind, size: int) -> None:
    cast = shadow.cast(kind, block(size), 100)
    reach = shadow.reach(kind).times(size / 2)
    rows, columns = np.flatnonzero(cast.max(axis=1) > 4), np.flatnonzero(cast.max(axis=0) > 4)
    slack = size / 100
    assert rows[0] >= size / 4 - reach.top - slack
    assert rows[-1] <= size * 3 / 4 + reach.bottom + slack
    assert columns[0] >= size * 3 / 8 - reach.left - slack
    assert columns[-1] <= size * 5 / 8 + reach.right + slack


def test_a_contact_shadow_lies_below_and_a_drop_shadow_to_the_right_too() -> None:
    alpha = block()
    outside = alpha == 0
    contact, drop = shadow.cast("contact", alpha, 50), shadow.cast("drop", alpha, 50)
    assert contact[:200][outside[:200]].max() == 0
    assert contact[302:308, 200].min() > 20
    assert drop[200, 250:256].min() > 10
    assert drop[200, 255] > drop[200, 144]


def test_a_shadow_looks_the_same_at_every_size() -> None:
    small, large = shadow.cast("drop", block(400), 50), shadow.cast("drop", block(1600), 50)
    difference = large[::4, ::4].astype(int) - small
    assert np.abs(difference).mean() < 1.5


def test_haze_and_nothing_cast_no_shadow() -> None:
    assert not shadow.cast("drop", np.full((50, 50), 60, np.uint8), 100).any()
    assert not shadow.cast("contact", np.zeros((50, 50), np.uint8), 100).any()
    assert not shadow.cast("none", block(), 100).any()
