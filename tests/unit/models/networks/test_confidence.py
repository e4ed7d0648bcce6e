from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cutoutd.models.networks.confidence import (
    CALIBRATION,
    REVIEW_BELOW,
    confidence,
    expected_overlap,
    with_doubt,
)
from cutoutd.models.networks.doubt import Doubt
from cutoutd.models.planes import Plane


def blurred(plane: NDArray[np.float64] | Plane, sigma: float) -> Plane:
    """The plane, 0..1, under a Gaussian of that width; the eight bits of Pillow's blur are enough here."""
    grey = Image.fromarray((plane * 255).astype(np.uint8))
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(sigma)), np.float32) / np.float32(255)


def stretched(plane: Plane) -> Plane:
    return (plane - plane.min()) / max(float(np.ptp(plane)), 1e-6)


def disc(radius: float = 80, centre: tuple[int, int] = (160, 160)) -> Plane:
    yy, xx = np.mgrid[0:320, 0:320]
    hard = (np.hypot(yy - centre[0], xx - centre[1]) < radius).astype(np.float32)
    return blurred(hard, 1.2).clip(0.001, 0.999)


def test_a_plain_answer_needs_no_review() -> None:
    judged = confidence(disc())
    assert (judged.iou or 0) > 0.95
    assert not judged.review
    assert judged.reasons == ()


def test_the_overlap_is_what_chances_let_expect() -> None:
    rng = np.random.default_rng(3)
    alpha = stretched(blurred(rng.random((320, 320)), 6))
    found: list[float] = []
    for _ in range(20):  # truths drawn with these very chances
        truth = rng.random(alpha.shape) < alpha
        taken = alpha > 0.5
        found.append(np.count_nonzero(taken & truth) / np.count_nonzero(taken | truth))
    assert expected_overlap(alpha) == pytest.approx(np.mean(found), abs=0.005)


def test_a_veil_inside_is_named() -> None:
    alpha = disc()
    alpha[100:200, 110:210] = np.minimum(alpha[100:200, 110:210], 0.6)
    judged = confidence(alpha)
    assert judged.review
    assert judged.reasons[0] is Doubt.INSIDE


def test_haze_beside_it_is_named() -> None:
    alpha = disc(60)
    alpha[250:310, 10:310] = 0.4
    judged = confidence(alpha)
    assert judged.review
    assert Doubt.BESIDE in judged.reasons
    assert Doubt.INSIDE not in judged.reasons


def test_the_frame_is_a_reason_only_beside_doubt() -> None:
    whole = disc(90, (320, 160))
    assert not confidence(whole).review
    doubtful = whole.copy()
    doubtful[250:, 80:240] = np.minimum(doubtful[250:, 80:240], 0.6)
    assert Doubt.FRAME in confidence(doubtful).reasons


def test_faint_small_and_nothing_at_all() -> None:
    faint = confidence((disc() * 0.8).astype(np.float32))
    assert faint.reasons[0] is Doubt.FAINT
    small = disc(9)
    small[150:170, 150:170] = np.minimum(small[150:170, 150:170], 0.75)
    assert Doubt.SMALL in confidence(small).reasons
    nothing = confidence(np.zeros((320, 320), np.float32))
    assert (nothing.iou, nothing.review) == (0.0, True)


def test_what_is_nowhere_certain_is_worth_a_look_however_even_it_is() -> None:
    judged = confidence((disc() * 0.96).astype(np.float32))
    assert (judged.iou or 0) > REVIEW_BELOW
    assert judged.reasons == (Doubt.FAINT,)


def test_review_always_has_a_reason_and_trust_never() -> None:
    rng = np.random.default_rng(0)
    seen: set[bool] = set()
    for blur in (0.5, 1, 2, 4, 8, 16, 32):
        noise = stretched(blurred(rng.random((96, 128)), blur)) - np.float32(0.5)
        for gain in (4, 16, 150):
            alpha = (1 / (1 + np.exp(-gain * noise))).astype(np.float32)
            judged = confidence(alpha)
            assert judged.review == bool(judged.reasons)
            assert judged.review or (judged.iou or 0) >= REVIEW_BELOW
            seen.add(judged.review)
    assert seen == {True, False}


def test_the_calibration_rises() -> None:
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(CALIBRATION))
    assert CALIBRATION[0][0] == 0
    assert CALIBRATION[-1][0] == 1


def test_two_pieces_are_named_and_a_crumb_is_none() -> None:
    two = np.maximum(disc(50, (160, 80)), disc(40, (160, 240)))
    veiled = np.minimum(two, 0.6)
    assert Doubt.TWO in confidence(veiled).reasons
    crumb = np.minimum(np.maximum(disc(50, (160, 80)), disc(12, (160, 240))), 0.6)
    assert Doubt.TWO not in confidence(crumb).reasons
    assert not confidence(two).review  # sure of both


def test_another_reason_comes_first_and_asks_for_a_look() -> None:
    judged = with_doubt(confidence(disc()), Doubt.ENLARGED)
    assert (judged.review, judged.reasons) == (True, (Doubt.ENLARGED,))
    assert judged.iou == confidence(disc()).iou
