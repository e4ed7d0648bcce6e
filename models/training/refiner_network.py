"""The refiner's network: a body at quarter scale that mixes candidate alphas per pixel; training only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

FACTOR = 4  # pixel-unshuffle: the body works at a quarter of the tile's side
CANDIDATES = 5  # resampled, guided, by colour, 0, 1
LOGIT_MOST = 30.0  # e^30 and e^-30 are far inside float32 and far outside anything that matters


class Refiner(nn.Module):
    """Tile and hints in, alpha out.

    Every pixel's alpha is a convex mixture of five candidates, so that an untrained or doubtful network
    still answers with something sensible.

    Args:
        width: channels of the body.
        dilations: one residual pair of 3x3 convolutions for each.
    """

    def __init__(self, width: int = 32, dilations: tuple[int, ...] = (1, 2, 4)) -> None:
        super().__init__()
        fine = 6 * FACTOR**2  # RGB, resampled, guided and colour alpha, every pixel of a 4x4 block
        self.enter = nn.Conv2d(fine + 8, width, 1)
        self.pairs = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=d, dilation=d),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for d in dilations
        )
        self.leave = nn.Conv2d(width + fine, CANDIDATES * FACTOR**2, 1)
        nn.init.zeros_(self.leave.weight)
        bias = torch.tensor([0.0, 2.0, 0.0, -1.0, -1.0])  # start close to the guided filter
        with torch.no_grad():
            self.leave.bias.copy_(bias.repeat_interleave(FACTOR**2))

    def forward(self, photo: torch.Tensor, hints: torch.Tensor) -> torch.Tensor:
        """Photo (n, 3, h, w) and hints (n, 9, h, w), all in 0..1, h and w multiples of 4; alpha (n, 1, h, w).

        Written for ONNX Runtime: a 1x1 convolution after pixel-unshuffle is a 4x4 convolution with stride 4,
        and neither a softmax nor a sum over channels is left, which there cost more than all convolutions.
        """
        plain, guided = hints[:, 0:1], hints[:, 1:2]
        background = hints[:, 6:9]
        apart = hints[:, 3:6] - background
        contrast = _total(apart * apart)
        by_colour = _total((photo - background) * apart) / (contrast + 0.004)
        by_colour = by_colour.clamp(0.0, 1.0)
        fine = torch.cat([photo, plain, guided, by_colour], 1)
        smooth = F.avg_pool2d(torch.cat([hints[:, 2:9], contrast], 1), FACTOR)
        weight, split = self.enter.weight, fine.shape[1] * FACTOR**2
        bias = self.enter.bias - 0.5 * weight.sum((1, 2, 3))  # inputs are centred on one half
        x = F.relu(_unshuffled(fine, weight[:, :split], bias) + F.conv2d(smooth, weight[:, split:]))
        for pair in self.pairs:
            x = F.relu(x + pair(x))
        weight, split = self.leave.weight, x.shape[1]
        bias = self.leave.bias - 0.5 * weight[:, split:].sum((1, 2, 3))
        logits = _unshuffled(fine, weight[:, split:], bias) + F.conv2d(x, weight[:, :split])
        share = F.pixel_shuffle(logits, FACTOR).clamp(-LOGIT_MOST, LOGIT_MOST).exp()
        by = [share[:, k : k + 1] for k in range(CANDIDATES)]  # the fourth candidate is 0
        mixed = by[0] * plain + by[1] * guided + by[2] * by_colour + by[4]
        return (mixed / (by[0] + by[1] + by[2] + by[3] + by[4])).clamp(0.0, 1.0)


def _unshuffled(planes: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """What a 1x1 convolution would make of the pixel-unshuffled planes."""
    kernel = weight.reshape(weight.shape[0], planes.shape[1], FACTOR, FACTOR)
    return F.conv2d(planes, kernel, bias, stride=FACTOR)


def _total(planes: torch.Tensor) -> torch.Tensor:
    """The sum over three channels, (n, 1, h, w)."""
    return planes[:, 0:1] + planes[:, 1:2] + planes[:, 2:3]
