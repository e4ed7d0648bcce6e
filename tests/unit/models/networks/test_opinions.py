"""A sure answer needs one further opinion."""

from __future__ import annotations

import numpy as np
import pytest

from cutoutd.models.networks.opinions import SURE, doubt_in, is_sure
from cutoutd.models.planes import Alpha


def square(subject: float, rest: float = 0.0) -> Alpha:
    alpha = np.full((100, 100), rest, np.float32)
    alpha[20:70, 20:70] = subject
    return alpha


def test_doubt_is_what_is_undecided_as_a_share_of_the_subject() -> None:
    assert doubt_in(square(1.0)) == 0
    assert doubt_in(square(0.9)) == pytest.approx(0.1 / 0.9, rel=1e-4)
    # A quarter of the photo is subject, three quarters are a hundredth of one.
    assert doubt_in(square(1.0, 0.01)) == pytest.approx(0.03 / 1.03, rel=1e-4)
    assert doubt_in(square(0.0)) == 1


@pytest.mark.parametrize(
    ("doubt", "sure"), [(0.0, True), (SURE - 0.001, True), (SURE + 0.001, False), (1.0, False)]
)
def test_little_doubt_is_sure(doubt: float, sure: bool) -> None:
    assert is_sure(square(1 / (1 + doubt))) is sure
