"""Small pieces go where they lie apart, are cut off or hang on by a neck; what is sure, near, large or wanted stays."""

from __future__ import annotations

import numpy as np
import pytest

from cutoutd.models.networks.strays import tidied, without_strays
from cutoutd.models.planes import Plane

SIDE = 320
FAINT, SURE = 0.7, 0.97


def scene(*pieces: tuple[slice, slice, float]) -> tuple[Plane, Plane]:
    """A subject of 100 x 100 samples in the middle and pieces of a certainty: decided, and as it was seen."""
    seen = np.zeros((SIDE, SIDE), np.float32)
    seen[110:210, 110:210] = 0.99
    for rows, columns, certainty in pieces:
        seen[rows, columns] = certainty
    return np.where(seen > 0.5, np.float32(1), seen), seen


CRUMB = np.s_[20:25, 40:45]  # 25 samples of 10,000
NEAR_CRUMB = np.s_[210 + 14 : 210 + 19, 150:155]
PIECE = np.s_[30:50, 30:60]  # 600
NEAR_PIECE = np.s_[210 + 14 : 210 + 34, 150:180]
AT_THE_FRAME = np.s_[150:180, 0:20]
LARGE = np.s_[0:60, 0:50]  # 3,000
HANDLE = np.s_[150:153, 210:302]


@pytest.mark.parametrize(
    ("where", "certainty", "goes"),
    [
        (CRUMB, FAINT, True),
        (CRUMB, SURE, True),
        (NEAR_CRUMB, FAINT, False),
        (PIECE, FAINT, True),
        (PIECE, SURE, False),
        (NEAR_PIECE, FAINT, False),
        (AT_THE_FRAME, FAINT, True),
        (AT_THE_FRAME, SURE, True),
        (LARGE, FAINT, False),
    ],
)
def test_what_goes_is_small_and_apart_or_cut_off(
    where: tuple[slice, slice], certainty: float, goes: bool
) -> None:
    alpha, seen = scene((*where, certainty))
    left = without_strays(alpha, seen)
    assert (left[where] == (0 if goes else alpha[where])).all()
    rest = np.ones_like(alpha, np.bool_)
    rest[where] = False
    assert (left[rest] == alpha[rest]).all()
    if not goes:
        assert left is alpha


def with_speck(certainty: float, *, bridge: float = 0.0) -> Plane:
    """A subject and a piece of 4 x 4 samples near it, with something between the two."""
    alpha = scene()[0]
    alpha[210:216, 150:154] = bridge
    alpha[216:220, 150:154] = certainty
    return alpha


@pytest.mark.parametrize(
    ("certainty", "bridge", "goes"),
    [
        (0.03, 0.0, True),
        (0.2, 0.0, True),
        (0.45, 0.0, True),
        (0.45, 0.01, True),  # what joins them is background to every edge engine
        (0.6, 0.0, False),
        (0.45, 0.1, False),  # a shadow of a limb, a strand
    ],
)
def test_a_speck_that_is_nowhere_half_there_goes_however_near(
    certainty: float, bridge: float, goes: bool
) -> None:
    alpha = with_speck(certainty, bridge=bridge)
    left = without_strays(alpha, alpha)
    assert (left[216:220, 150:154] == (0 if goes else np.float32(certainty))).all()
    assert (left[110:210, 110:210] == 1).all()


def test_a_speck_that_the_owner_wants_and_a_subject_that_is_all_faint_stay() -> None:
    alpha, wanted = with_speck(0.45), np.zeros((SIDE, SIDE), np.bool_)
    wanted[217, 151] = True
    assert without_strays(alpha, alpha, wanted) is alpha
    glass = alpha * np.float32(0.4)
    assert without_strays(glass, glass) is glass


def test_a_faint_rim_goes_with_its_piece_and_no_other() -> None:
    alpha, seen = scene((*PIECE, FAINT))
    alpha[27:53, 27:63] = np.maximum(alpha[27:53, 27:63], np.float32(0.2))
    alpha[107:213, 107:213] = np.maximum(alpha[107:213, 107:213], np.float32(0.2))
    left = without_strays(alpha, seen)
    assert not left[:60, :70].any()
    assert (left[105:215, 105:215] == alpha[105:215, 105:215]).all()


@pytest.mark.parametrize(("certainty", "goes"), [(FAINT, True), (SURE, False)])
def test_what_the_frame_cuts_off_goes_although_a_neck_joins_it(certainty: float, goes: bool) -> None:
    patch = np.s_[140:165, 302:320]
    alpha, seen = scene((*HANDLE, FAINT), (*patch, certainty))
    left = without_strays(alpha, seen)
    assert (left[141:164, 303:] == (0 if goes else 1)).all()
    assert left[110:210, 110:210].all()
    assert left[151, 210:290].all(), "the neck is the subject's"


def test_a_strap_that_is_seen_in_parts_stays_to_its_end() -> None:
    parts = [(slice(150, 154), slice(left, left + 10), FAINT) for left in range(215, 300, 22)]
    alpha, seen = scene(*parts)
    assert without_strays(alpha, seen) is alpha
    alpha[150:154, 237:247] = 0  # a gap of 34 samples
    left = without_strays(alpha, seen)
    assert left[150:154, 215:225].all()
    assert not left[150:154, 240:].any()


def test_what_reached_the_subject_only_over_what_goes_goes_too() -> None:
    """Of a second bloom, which the frame cuts off, the rim of a petal stayed."""
    cut_off, rim = np.s_[150:155, 224:320], np.s_[168:172, 300:310]
    alpha, seen = scene((*cut_off, FAINT), (*rim, FAINT))
    left = without_strays(alpha, seen)
    assert not left[:, 220:].any()
    assert left[110:210, 110:210].all()


def test_a_limb_that_the_frame_cuts_off_stays() -> None:
    arm = np.s_[150:170, 200:320]
    alpha, seen = scene((*arm, FAINT))
    assert without_strays(alpha, seen) is alpha


def test_what_the_owner_wants_stays() -> None:
    alpha, seen = scene((*CRUMB, FAINT), (*PIECE, FAINT))
    wanted = np.zeros(alpha.shape, np.bool_)
    wanted[22, 42] = True
    left = without_strays(alpha, seen, wanted)
    assert left[CRUMB].all()
    assert not left[PIECE].any()


def test_two_subjects_of_one_size_and_nothing_at_all_stay_as_they_are() -> None:
    alpha, seen = scene((*np.s_[10:100, 10:100], FAINT))
    assert without_strays(alpha, seen) is alpha
    nothing = np.zeros((SIDE, SIDE), np.float32)
    assert without_strays(nothing, nothing) is nothing


def test_haze_is_decided_before_pieces_are_told_apart() -> None:
    """A veil that joins a piece to the subject is gone by then."""
    _, seen = scene((*PIECE, FAINT))
    seen[50:112, 35:130] = np.maximum(seen[50:112, 35:130], np.float32(0.3))
    left = tidied(seen)
    assert not left[PIECE].any()
    assert left[120:200, 120:200].min() > 0.95
