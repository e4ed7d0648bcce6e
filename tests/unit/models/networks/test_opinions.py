"""A sure answer is asked about once, a doubtful one from both sides."""

from __future__ import annotations

import numpy as np
import pytest

from cutoutd.models.networks.opinions import DOUBTFUL, SURE, USUAL, Opinions, doubt_in, opinions
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
    ("doubt", "asked"),
    [
        (SURE - 0.001, Opinions(mirrored=False, decided_twice=False)),
        (SURE + 0.001, USUAL),
        (DOUBTFUL - 0.001, USUAL),
        (DOUBTFUL + 0.001, Opinions(mirrored=True, decided_twice=True)),
    ],
)
def test_the_surer_the_first_answer_the_less_is_asked(doubt: float, asked: Opinions) -> None:
    assert opinions(square(1 / (1 + doubt))) == asked
