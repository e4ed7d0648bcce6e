"""The refiner's network: a body at quarter scale that mixes candidate alphas per pixel; training only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

FACTOR = 4  # pixel-unshuffle: the body works at a quarter of the tile's side
CANDIDATES = 5  # resampled, guided, by colour, 0, 1


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
        """Photo (n, 3, h, w) and hints (n, 9, h, w), all in 0..1, h and w multiples of 4; alpha (n, 1, h, w)."""
        plain, guided = hints[:, 0:1], hints[:, 1:2]
        subject, background = hints[:, 3:6], hints[:, 6:9]
        apart = subject - background
        contrast = (apart * apart).sum(1, keepdim=True)
        by_colour = ((photo - background) * apart).sum(1, keepdim=True) / (contrast + 0.004)
        by_colour = by_colour.clamp(0.0, 1.0)
        fine = F.pixel_unshuffle(torch.cat([photo, plain, guided, by_colour], 1), FACTOR)
        smooth = torch.cat([hints[:, 2:9], contrast], 1)
        x = F.relu(self.enter(torch.cat([fine - 0.5, F.avg_pool2d(smooth, FACTOR) - 0.5], 1)))
        for pair in self.pairs:
            x = F.relu(x + pair(x))
        logits = F.pixel_shuffle(self.leave(torch.cat([x, fine - 0.5], 1)), FACTOR)
        share = logits.softmax(1)
        mixed = share[:, 0:1] * plain + share[:, 1:2] * guided + share[:, 2:3] * by_colour + share[:, 4:5]
        return mixed.clamp(0.0, 1.0)
