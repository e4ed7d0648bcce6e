from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.models.evaluation import scores


def near(value: float, expected: float, tolerance: float = 1e-6) -> bool:
    return abs(value - expected) <= tolerance


def disc(
    radius: float = 30, centre: tuple[float, float] = (50, 60), shape: tuple[int, int] = (100, 120)
) -> NDArray[np.bool_]:
    yy, xx = np.mgrid[0 : shape[0], 0 : shape[1]]
    return (yy - centre[0]) ** 2 + (xx - centre[1]) ** 2 < radius**2


def as_mask(truth: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(truth, 255, 0).astype(np.uint8)


def as_alpha(truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    return truth.astype(np.float32)


def test_a_perfect_answer() -> None:
    one = scores.score(as_alpha(disc()), as_mask(disc()))
    total = scores.summarise([one])
    assert one.iou == 1
    assert one.mae == 0
    assert one.boundary_iou == 1
    assert near(one.s_measure, 1, 1e-3)
    assert near(total.max_f, 1, 1e-3)


def test_the_opposite_of_the_truth() -> None:
    one = scores.score(as_alpha(~disc()), as_mask(disc()))
    assert one.iou == 0
    assert one.mae == 1
    assert one.s_measure < 0.1


def test_a_shifted_disc_scores_as_computed_by_hand() -> None:
    ours, truth = disc(centre=(50, 66)), disc()
    one = scores.score(as_alpha(ours), as_mask(truth))
    assert one.iou == (ours & truth).sum() / (ours | truth).sum()
    assert near(one.mae, (ours ^ truth).mean())
    assert one.boundary_iou < one.iou


def test_haze_is_forgiven_by_the_normalised_figures_only() -> None:
    half = as_alpha(disc()) * np.float32(0.4)
    one = scores.score(half, as_mask(disc()))
    assert near(one.mae_normalised, 0)
    assert near(one.mae, 0.6 * disc().mean(), 1e-4)
    assert one.iou == 0
    total = scores.summarise([one])
    assert near(total.max_f, 1, 1e-3)


def test_precision_and_recall_are_averaged_over_photos_before_f_is_taken() -> None:
    truth = disc()
    good = scores.score(as_alpha(truth), as_mask(truth))
    blind = scores.score(np.zeros(truth.shape, np.float32), as_mask(truth))
    # At every threshold but 0: precision 1/2 and recall 1/2 on average, so F is 1/2 however beta weighs them.
    # At threshold 0 everything is subject for the blind one: recall 1, precision the subject's share.
    share = float(truth.mean())
    precision, recall = (share + share) / 2, 1.0
    at_zero = 1.3 * precision * recall / (0.3 * precision + recall)
    assert near(scores.summarise([good, blind]).max_f, max(0.5, at_zero), 0.002)


def test_max_f_of_known_curves() -> None:
    precision, recall = np.array([1.0, 0.8, 0.5]), np.array([0.2, 0.8, 1.0])
    assert near(scores.max_f([precision], [recall]), 0.8)


def test_trimap_border_is_not_judged() -> None:
    mask = as_mask(disc(25))
    mask[disc(35) & ~disc(25)] = 128
    assert scores.is_trimap(mask)
    tight, wide = (scores.score(as_alpha(disc(r)), mask) for r in (25, 35))
    assert tight.iou == wide.iou == 1
    assert tight.mae == wide.mae == 0
    assert np.isnan(tight.boundary_iou)
    assert np.isnan(scores.summarise([tight]).boundary_iou)


def test_soft_edges_are_not_taken_for_a_trimap() -> None:
    mask = as_mask(disc())
    for radius, value in ((30, 50), (29, 128), (28, 200)):
        mask[disc(radius) & ~disc(radius - 1)] = value
    assert not scores.is_trimap(mask)
    assert not scores.is_trimap(as_mask(disc()))


def test_erosion_takes_the_frame_for_an_edge() -> None:
    full = np.ones((9, 12), np.bool_)
    assert scores.eroded(full, 2).sum() == 5 * 8
    assert scores.eroded(full, 2)[2:-2, 2:-2].all()


def test_erosion_that_goes_on_beyond_the_frame_takes_outlines_alone() -> None:
    mask = np.zeros((20, 20), np.bool_)
    mask[:, :10] = True
    inner = scores.eroded(mask, 3, frame_is_edge=False)
    assert np.array_equal(inner, np.broadcast_to(np.arange(20) < 7, (20, 20)))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_masks_without_or_full_of_subject(share: float) -> None:
    truth = np.full((40, 50), bool(share))
    one = scores.score(as_alpha(truth), as_mask(truth))
    assert one.iou == 1
    assert one.mae == 0
    assert one.s_measure == 1


def test_s_measure_prefers_structure_over_the_same_error_scattered() -> None:
    rng = np.random.default_rng(1)
    truth = disc()
    grown = disc(32)
    wrong = int((grown ^ truth).sum())
    scattered = truth.copy().ravel()
    flips = rng.choice(truth.size, wrong, replace=False)
    scattered[flips] = ~scattered[flips]
    compact = scores.s_measure(as_alpha(grown), truth)
    assert compact > scores.s_measure(as_alpha(scattered.reshape(truth.shape)), truth)


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        scores.score(np.zeros((4, 4), np.float32), np.zeros((5, 4), np.uint8))
