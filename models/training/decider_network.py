"""The deciding network: cutout-s, shown a first answer beside the photo, says what of it is subject.

Not for training it (`decider`) nor for running it (`cutoutd.models.networks.decider`). The encoder's first
stages see the photo alone and stay cutout-s's own; the answer enters behind them and at every scale of the decoder,
through layers that are zero at first. So an untrained one averages the answer with cutout-s's, and training only has
to learn where not to.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutoutd.models.training.network import (
    DECODER_CHANNELS,
    ENCODERS,
    TAPS,
    CutoutNet,
    conv_norm_relu,
    double,
)

# What is shown of the first answer: its logit, divided by LOGIT_SCALE.
HINTS: Final = 1
LOGIT_SCALE: Final = 4.0
# A look is as sure as it can be beyond these, as in models/networks/closer.py, in eight bits.
SURE: Final = 0.002
FIRST_HINT: Final = "hint.0.0.weight"
# Channels of the hints at 1/2, 1/4, 1/8 and 1/16.
HINT_CHANNELS: Final = (12, 16, 24, 32)
# The answer enters the encoder before these stages, whose inputs have 1/8 and 1/16 of the photo's size.
ENTRIES: Final = (3, 4)
# How much the first answer and cutout-s's own have to say before anything is learned.
FIRST_SAY, OWN_SAY = 0.65, 0.35


class Decider(nn.Module):
    """Photo (N, 3, H, W) and hints (N, HINTS, H, W), sides multiples of 32, to logits or alpha.

    While training, logits of four scales, the finest first and at the photo's own size; while evaluating, alpha
    (N, 1, H, W) in 0..1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = CutoutNet("lite0")
        wide = (HINTS, *HINT_CHANNELS)
        self.hint = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.ReLU(inplace=True), conv_norm_relu(o, o))
                for i, o in pairwise(wide)
            ]
        )
        widths = [stage.channels for stage in ENCODERS["lite0"]]
        into = [widths[stage - 1] for stage in ENTRIES]
        self.enter = nn.ModuleList([silent(HINT_CHANNELS[k], o) for k, o in zip((2, 3), into, strict=True)])
        self.side = nn.ModuleList(
            [silent(i, o) for i, o in zip(reversed(HINT_CHANNELS), DECODER_CHANNELS, strict=True)]
        )
        self.say = nn.Parameter(torch.tensor([FIRST_SAY, OWN_SAY]))

    def forward(self, photo: Tensor, hints: Tensor) -> list[Tensor] | Tensor:
        """What the class says."""
        net, scales = self.net, _pyramid(self.hint, hints)
        with torch.no_grad():
            x = net.enc.stem(photo)
        features: list[Tensor] = []
        for number, stage in enumerate(net.enc.stages):
            if number in ENTRIES:
                place = ENTRIES.index(number)
                x = x + self.enter[place](scales[2 + place])
            if number < ENTRIES[0]:
                with torch.no_grad():
                    x = stage(x)
            else:
                x = stage(x)
            if number in TAPS:
                features.append(x)
        y = net.top(features[-1])
        everywhere = net.gp(y.mean((2, 3), keepdim=True)).expand(-1, -1, *y.shape[2:])
        y = net.mix(torch.cat([branch(y) for branch in net.ctx] + [everywhere], 1))
        own: list[Tensor] = []
        for k in range(len(DECODER_CHANNELS)):
            beside = net.lat[k](features[-2 - k]) + self.side[k](scales[-1 - k])
            y = net.dec[k](F.relu(double(net.red[k](y)) + beside))
            own.append(net.head[k](y))
        first = hints * LOGIT_SCALE
        finest = self.say[0] * first + self.say[1] * double(own[-1].float())
        if not self.training:
            return torch.sigmoid(finest)
        coarse = [
            self.say[0] * F.avg_pool2d(first, 2 ** (level + 1)) + self.say[1] * logits
            for level, logits in enumerate(reversed(own))
        ]
        return [finest, *coarse[1:]]

    def load_first(self, path: Path) -> None:
        """Take cutout-s's weights, or a deciding network's own."""
        saved: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        whole = {k: v.float() if v.is_floating_point() else v for k, v in saved.items()}
        if FIRST_HINT in whole:  # the first ones were also shown how far two looks differ
            whole[FIRST_HINT] = whole[FIRST_HINT][:, :HINTS]
        (self if "say" in whole else self.net).load_state_dict(whole)


def silent(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1 x 1 convolution that says nothing until it has learned to."""
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def _pyramid(layers: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """The hints at 1/2, 1/4, 1/8 and 1/16."""
    found: list[Tensor] = []
    for layer in layers:
        x = layer(x)
        found.append(x)
    return found


def as_logit(alpha: Tensor) -> Tensor:
    """Alpha 0..1 to a logit that is held in where nothing is surer."""
    held = alpha.clamp(SURE, 1 - SURE)
    return torch.log(held / (1 - held))


def hints_of(answer: Tensor) -> Tensor:
    """A first answer (N, 1, H, W) in 0..1 to what the network is shown of it, (N, HINTS, H, W)."""
    return as_logit(answer) / LOGIT_SCALE
