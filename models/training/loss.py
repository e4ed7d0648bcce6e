"""What training minimises: how far four predicted scales are from the true alpha. Not for scores: see
evaluate.py.

Each scale is judged at its own resolution (deep supervision). The finest is judged at the size of the photo,
where two terms more hold: the plain error (so that unsure haze costs what it costs in the final alpha) and
the error of the gradient (so that edges are sharp where the truth is sharp and soft where it is soft).
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from cutoutd.models.training.network import double

# Weight of the scales at 1/2 (judged at full size), 1/4, 1/8 and 1/16 of the photo.
SCALE_WEIGHTS: Final = (1.0, 0.5, 0.3, 0.2)
# Pixels near an edge count up to 1 + the sum of these times as much. 15 px tells limbs from ground; 5 px is
# the rim.
EDGE_WINDOWS: Final = ((15, 4.0), (5, 2.0))
ERROR_WEIGHT: Final = 0.6
GRADIENT_WEIGHT: Final = 1.0


def edge_weight(
    truth: Tensor, valid: Tensor, windows: tuple[tuple[int, float], ...] = EDGE_WINDOWS
) -> Tensor:
    """1 inside and outside, more near the edges of `truth`, 0 where not valid. All (N, 1, H, W)."""
    weight = torch.ones_like(truth)
    for side, gain in windows:
        weight = weight + gain * (box_mean(truth, side) - truth).abs()
    return weight * valid


def box_mean(plane: Tensor, side: int) -> Tensor:
    """Mean over a square window, in two passes: a fifth of the time of one on a processor."""
    half = side // 2
    across = F.avg_pool2d(plane, (1, side), 1, (0, half), count_include_pad=False)
    return F.avg_pool2d(across, (side, 1), 1, (half, 0), count_include_pad=False)


def region_loss(logits: Tensor, truth: Tensor, valid: Tensor, weight: Tensor) -> Tensor:
    """Edge-weighted binary cross-entropy plus one minus soft IoU, averaged over the photos."""
    over = (1, 2, 3)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * weight).sum(over) / weight.sum(over).clamp_min(1)
    alpha, truth = torch.sigmoid(logits) * valid, truth * valid
    both = (alpha * truth * weight).sum(over)
    either = ((alpha + truth) * weight).sum(over) - both
    return (entropy + 1 - (both + 1) / (either + 1)).mean()


def gradient_error(alpha: Tensor, truth: Tensor, valid: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and vertical gradients, weighted towards the edges."""
    difference = (alpha - truth) * valid
    keep = weight * valid
    across = (difference.diff(dim=3).abs() * keep[..., 1:]).sum() / keep.sum().clamp_min(1)
    down = (difference.diff(dim=2).abs() * keep[..., 1:, :]).sum() / keep.sum().clamp_min(1)
    return across + down


def total_loss(logits: list[Tensor], truth: Tensor, valid: Tensor) -> Tensor:
    """The loss of one batch. `logits` finest first; `truth` and `valid` (N, 1, H, W) float in 0..1."""
    finest = double(logits[0].float())
    weight = edge_weight(truth, valid)
    alpha = torch.sigmoid(finest)
    loss = SCALE_WEIGHTS[0] * region_loss(finest, truth, valid, weight)
    loss = loss + ERROR_WEIGHT * ((alpha - truth).abs() * valid).sum() / valid.sum().clamp_min(1)
    loss = loss + GRADIENT_WEIGHT * gradient_error(alpha, truth, valid, weight)
    for level, gain in enumerate(SCALE_WEIGHTS[1:], start=1):
        factor = 2 ** (level + 1)
        small = F.avg_pool2d(truth, factor)
        small_valid = (F.avg_pool2d(valid, factor) > 0.99).float()
        small_weight = edge_weight(small, small_valid, EDGE_WINDOWS[:1])
        loss = loss + gain * region_loss(logits[level].float(), small, small_valid, small_weight)
    return loss
