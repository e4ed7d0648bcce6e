"""How far one alpha is from the true mask: IoU, error, F-measure, S-measure, boundary IoU. Pure functions of
arrays.

Not for running networks or reading files: that is evaluate.py. Everything is computed at the mask's
resolution, and pixels that are not valid (128 in trimaps) are left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cutoutd.models.planes import Alpha, Mask

Curve = NDArray[np.float64]

# F-measure as the salient-object literature reports it: precision counts more than recall.
BETA_SQUARED: Final = 0.3
THRESHOLDS: Final = 255

# Boundary IoU (Cheng, Girshick, Dollár, Berg, Kirillov 2021): the band is 2 % of the diagonal wide.
BOUNDARY_SHARE: Final = 0.02

# A mask is a trimap when nearly all its in-between values are exactly 128; resampled edges have 128 as one
# of many.
TRIMAP_GREY: Final = 128
TRIMAP_SHARE: Final = 0.8


class PhotoScore(Struct, frozen=True):
    """The scores of one alpha against one mask.

    Args:
        iou: intersection over union at 0.5.
        mae: mean absolute error, the alpha as it is.
        mae_normalised: the same with the alpha divided by its maximum.
        boundary_iou: IoU of the bands along both outlines; nan for trimaps, whose border is unknown.
        s_measure: structure measure.
        precision: at each of 255 thresholds, the alpha divided by its maximum.
        recall: likewise.
        precision_plain: at each of 255 thresholds, the alpha as it is.
        recall_plain: likewise.
    """

    iou: float
    mae: float
    mae_normalised: float
    boundary_iou: float
    s_measure: float
    precision: Curve
    recall: Curve
    precision_plain: Curve
    recall_plain: Curve


class Summary(Struct, frozen=True):
    """Means over photos. `max_f` and `mae_normalised` follow the U²-Net authors' protocol and compare with
    papers.
    """

    photos: int
    iou: float
    mae: float
    mae_normalised: float
    max_f: float
    max_f_plain: float
    s_measure: float
    boundary_iou: float


def is_trimap(mask: NDArray[np.uint8]) -> bool:
    """Whether 128 means "do not judge" in this mask: it makes up nearly all of the values between 0 and
    255.
    """
    between = int(np.count_nonzero((mask > 0) & (mask < 255)))
    grey = int(np.count_nonzero(mask == TRIMAP_GREY))
    return grey >= 16 and grey >= TRIMAP_SHARE * between


def score(alpha: Alpha, mask: NDArray[np.uint8]) -> PhotoScore:
    """Judge one answer.

    Args:
        alpha: float32 (H, W) in 0..1, already at the mask's size.
        mask: uint8 (H, W); above 128 is subject; in a trimap (see `is_trimap`) 128 is not judged.

    Raises:
        ValueError: the shapes differ.
    """
    if alpha.shape != mask.shape:
        raise ValueError(f"alpha {alpha.shape} and mask {mask.shape} differ in size")
    trimap = is_trimap(mask)
    valid = (mask != TRIMAP_GREY) if trimap else np.ones(mask.shape, np.bool_)
    truth = (mask > TRIMAP_GREY) & valid
    soft = truth.astype(np.float32) if trimap else mask.astype(np.float32) / np.float32(255)
    alpha = np.where(valid, alpha, np.float32(0)).astype(np.float32)
    normalised = (alpha / max(float(alpha.max()), 1e-8)).astype(np.float32)
    precision, recall = precision_recall(normalised[valid], truth[valid])
    precision_plain, recall_plain = precision_recall(alpha[valid], truth[valid])
    ours = (alpha > 0.5) & valid
    return PhotoScore(
        iou=iou(ours, truth),
        mae=float(np.abs(alpha - soft)[valid].mean()),
        mae_normalised=float(np.abs(normalised - soft)[valid].mean()),
        boundary_iou=float("nan") if trimap else boundary_iou(ours, truth),
        s_measure=s_measure(alpha, truth),
        precision=precision,
        recall=recall,
        precision_plain=precision_plain,
        recall_plain=recall_plain,
    )


def summarise(scores: list[PhotoScore]) -> Summary:
    """Average over photos; precision and recall are averaged per threshold before F is taken. Needs one
    photo.
    """
    judged = [s.boundary_iou for s in scores if not np.isnan(s.boundary_iou)]

    def mean(values: list[float]) -> float:
        """Of one score over all."""
        return float(np.mean(values))

    return Summary(
        photos=len(scores),
        iou=mean([s.iou for s in scores]),
        mae=mean([s.mae for s in scores]),
        mae_normalised=mean([s.mae_normalised for s in scores]),
        max_f=max_f([s.precision for s in scores], [s.recall for s in scores]),
        max_f_plain=max_f([s.precision_plain for s in scores], [s.recall_plain for s in scores]),
        s_measure=mean([s.s_measure for s in scores]),
        boundary_iou=mean(judged) if judged else float("nan"),
    )


def iou(ours: Mask, truth: Mask) -> float:
    """Intersection over union of two masks, bool (H, W): 0..1; 1 where both are empty."""
    either = np.count_nonzero(ours | truth)
    return float(np.count_nonzero(ours & truth) / either) if either else 1.0


def precision_recall(values: Alpha, truth: Mask) -> tuple[Curve, Curve]:
    """Precision and recall of `values >= t / 255` for t = 254 .. 0, as the U²-Net authors' tool counts them.

    Args:
        values: float32 in 0..1, the pixels that are judged.
        truth: bool, which of them are subject.

    Returns:
        Two curves, float64 (255,), in 0..1.
    """
    bins = np.arange(THRESHOLDS + 1)
    levels = values * np.float32(THRESHOLDS)
    hits = np.cumsum(np.histogram(levels[truth], bins)[0][::-1])
    misses = np.cumsum(np.histogram(levels[~truth], bins)[0][::-1])
    # 1e-4 keeps thresholds that nothing reaches at precision 0 without a division by zero, as in that tool.
    return hits / (hits + misses + 1e-4), hits / (np.count_nonzero(truth) + 1e-4)


def max_f(precisions: list[Curve], recalls: list[Curve]) -> float:
    """The largest F (0..1) over all thresholds of mean precision and mean recall, curves of `precision_recall`."""
    precision, recall = np.mean(precisions, 0), np.mean(recalls, 0)
    below = BETA_SQUARED * precision + recall
    f = (1 + BETA_SQUARED) * precision * recall / np.maximum(below, 1e-8)
    return float(f.max())


def eroded(mask: Mask, radius: int, *, frame_is_edge: bool = True) -> Mask:
    """What is left of a mask, bool (H, W), after taking `radius` pixels off every edge (square window).

    Args:
        mask: the mask.
        radius: pixels, 1 or more.
        frame_is_edge: outside the photo counts as empty; else the mask goes on there as it is at the frame.
    """
    side = 2 * radius + 1
    padded = np.pad(mask, radius, mode="constant" if frame_is_edge else "edge").astype(np.int32)
    sums = np.pad(padded.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    window = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(window == side * side)


def boundary_iou(ours: Mask, truth: Mask) -> float:
    """IoU (0..1) of the inner bands along the outlines of two masks, bool (H, W); the photo's frame is an outline too.

    After Cheng, Girshick, Dollár, Berg and Kirillov 2021, with a band of BOUNDARY_SHARE of the diagonal.
    """
    radius = max(1, round(BOUNDARY_SHARE * float(np.hypot(*truth.shape))))
    return iou(ours & ~eroded(ours, radius), truth & ~eroded(truth, radius))


def s_measure(alpha: Alpha, truth: Mask) -> float:
    """Structure measure (Fan, Cheng, Liu, Li, Borji 2017), object and region parts weighed equally: 0..1.

    Args:
        alpha: float32 (H, W) in 0..1.
        truth: bool (H, W).
    """
    share = float(truth.mean())
    if share == 0:
        return 1 - float(alpha.mean())
    if share == 1:
        return float(alpha.mean())
    inside = share * _object_part(alpha[truth])
    outside = (1 - share) * _object_part(1 - alpha[~truth])
    return max(0.0, 0.5 * (inside + outside) + 0.5 * _region_part(alpha, truth))


def _object_part(values: Alpha) -> float:
    """High where values are high and even."""
    mean, spread = float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else 0.0
    return 2 * mean / (mean * mean + 1 + spread + 1e-8)


def _region_part(alpha: Alpha, truth: Mask) -> float:
    """Structural similarity of the four quadrants around the subject's centre, weighed by their areas."""
    rows, columns = np.nonzero(truth)
    y, x = round(float(rows.mean())) + 1, round(float(columns.mean())) + 1
    total = 0.0
    for down in (slice(None, y), slice(y, None)):
        for across in (slice(None, x), slice(x, None)):
            quadrant = truth[down, across].astype(np.float64)
            if quadrant.size:
                similarity = _similarity(alpha[down, across].astype(np.float64), quadrant)
                total += quadrant.size / truth.size * similarity
    return total


def _similarity(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    count = max(a.size - 1, 1)
    mean_a, mean_b = float(a.mean()), float(b.mean())
    spread = float(((a - mean_a) ** 2).sum() + ((b - mean_b) ** 2).sum()) / count
    together = float(((a - mean_a) * (b - mean_b)).sum()) / count
    above, below = 4 * mean_a * mean_b * together, (mean_a**2 + mean_b**2) * spread
    if above != 0:
        return above / (below + 1e-12)
    return 1.0 if below == 0 else 0.0
