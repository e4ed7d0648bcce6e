"""The network: an EfficientNet-Lite encoder with ImageNet weights and a plain-convolution decoder of four
scales.

Not for training it or for running it in the product (that is ONNX Runtime's work). The names of the
parameters are part of the interface: checkpoints continue across versions of this file only while they stay.

The encoder follows Tan and Le, "EfficientNet" (2019), in the Lite variant (no squeeze-and-excite, ReLU6),
batch normalisation with epsilon 1e-3 and stride-2 convolutions padded right and bottom, as the published
weights need.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Input normalisation of the published encoder weights: (value / 255 - MEAN) / STD.
MEAN: Final = 0.498
STD: Final = 0.502


class Stage(NamedTuple):
    """One row of the EfficientNet-Lite table: blocks, kernel, stride of the first block, expansion, channels
    out.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


ENCODERS: Final[dict[str, tuple[Stage, ...]]] = {
    "lite0": (
        Stage(1, 3, 1, 1, 16),
        Stage(2, 3, 2, 6, 24),
        Stage(2, 5, 2, 6, 40),
        Stage(3, 3, 2, 6, 80),
        Stage(3, 5, 1, 6, 112),
        Stage(4, 5, 2, 6, 192),
        Stage(1, 3, 1, 6, 320),
    ),
    "lite1": (
        Stage(1, 3, 1, 1, 16),
        Stage(3, 3, 2, 6, 24),
        Stage(3, 5, 2, 6, 40),
        Stage(4, 3, 2, 6, 80),
        Stage(4, 5, 1, 6, 112),
        Stage(5, 5, 2, 6, 192),
        Stage(1, 3, 1, 6, 320),
    ),
    "lite2": (
        Stage(1, 3, 1, 1, 16),
        Stage(3, 3, 2, 6, 24),
        Stage(3, 5, 2, 6, 48),
        Stage(4, 3, 2, 6, 88),
        Stage(4, 5, 1, 6, 120),
        Stage(5, 5, 2, 6, 208),
        Stage(1, 3, 1, 6, 352),
    ),
}

# The stages whose output the decoder reads: the last one at each of 1/2, 1/4, 1/8, 1/16 and 1/32.
TAPS: Final = (0, 1, 2, 4, 6)
STEM_CHANNELS: Final = 32
CONTEXT_CHANNELS: Final = 128
BRANCH_CHANNELS: Final = 48
DILATIONS: Final = (1, 2, 4)
DECODER_CHANNELS: Final = (96, 64, 40, 24)


class EncoderConv(nn.Module):
    """Convolution, batch normalisation and, if asked, ReLU6; a stride of 2 pads right and bottom."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
    ) -> None:
        super().__init__()
        before, after = (kernel - 2) // 2, (kernel - 1) // 2
        self.padding = None if stride == 1 else (before, after, before, after)
        inside = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, inside, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.active = active
        self.slow_in_short = groups > 1 and (kernel > 3 or stride > 1)

    def forward(self, x: Tensor) -> Tensor:
        """What the class says."""
        if self.padding is not None:
            x = F.pad(x, self.padding)
        if self.slow_in_short and x.device.type == "cpu":
            # On a processor the gradient of a 5 x 5 depth-wise convolution costs three times as much in
            # bfloat16 as in single precision, that of a 3 x 3 one that halves up to thirty times (159 against
            # 4.9 ms for 16 x 288 x 41 x 41).
            with torch.autocast("cpu", enabled=False):
                x = self.conv(x.float())
        else:
            x = self.conv(x)
        x = self.bn(x)
        return F.relu6(x) if self.active else x


class InvertedResidual(nn.Module):
    """Expand, filter depth-wise, project; the input is added where shape and stride allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = EncoderConv(inputs, middle, 1) if expansion > 1 else None
        self.dw = EncoderConv(middle, middle, kernel, stride=stride, groups=middle)
        self.project = EncoderConv(middle, outputs, 1, active=False)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """What the class says."""
        y = self.project(self.dw(self.expand(x) if self.expand is not None else x))
        return x + y if self.skip else y


class Encoder(nn.Module):
    """Photo (N, 3, H, W) to five feature maps at 1/2 .. 1/32."""

    def __init__(self, kind: str = "lite0") -> None:
        super().__init__()
        self.stem = EncoderConv(3, STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = STEM_CHANNELS
        for stage in ENCODERS[kind]:
            blocks: list[nn.Module] = []
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                blocks.append(
                    InvertedResidual(channels, stage.channels, stage.kernel, stride, stage.expansion)
                )
                channels = stage.channels
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """What the class says."""
        x = self.stem(x)
        features: list[Tensor] = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPS:
                features.append(x)
        return features

    def load_imagenet(self, path: Path) -> None:
        """Take the weights of a published EfficientNet-Lite state dict, whose names number the blocks
        throughout.
        """
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        ours: dict[str, Tensor] = {}

        def take(name: str, conv: str, norm: str) -> None:
            ours[f"{name}.conv.weight"] = theirs[f"{conv}.weight"]
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                ours[f"{name}.bn.{part}"] = theirs[f"{norm}.{part}"]

        take("stem", "_conv_stem", "_bn0")
        count = 0
        for i, stage in enumerate(self.stages):
            for j, block in enumerate(cast("Iterable[InvertedResidual]", stage)):
                here, there = f"stages.{i}.{j}", f"_blocks.{count}"
                if block.expand is not None:
                    take(f"{here}.expand", f"{there}._expand_conv", f"{there}._bn0")
                take(f"{here}.dw", f"{there}._depthwise_conv", f"{there}._bn1")
                take(f"{here}.project", f"{there}._project_conv", f"{there}._bn2")
                count += 1
        self.load_state_dict(ours)


def conv_norm(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Convolution and batch normalisation, size kept."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


def conv_norm_relu(inputs: int, outputs: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU, size kept."""
    padding = (kernel // 2) * dilation
    conv = nn.Conv2d(inputs, outputs, kernel, 1, padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3 x 3 convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = conv_norm_relu(channels, channels)
        self.b = conv_norm(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """What the class says."""
        return F.relu(x + self.b(self.a(x)))


class CutoutNet(nn.Module):
    """Photo (N, 3, H, W), normalised, sides multiples of 32, to alpha.

    While training, the logits of four scales, finest (1/2) first; while evaluating, alpha (N, 1, H, W) in
    0..1.
    """

    def __init__(self, kind: str = "lite0") -> None:
        super().__init__()
        widths = [stage.channels for stage in ENCODERS[kind]]
        lateral = [widths[t] for t in reversed(TAPS[:-1])]
        coarser = (CONTEXT_CHANNELS, *DECODER_CHANNELS[:-1])
        self.enc = Encoder(kind)
        self.top = conv_norm_relu(widths[TAPS[-1]], CONTEXT_CHANNELS, 1)
        self.ctx = nn.ModuleList([conv_norm_relu(CONTEXT_CHANNELS, BRANCH_CHANNELS, 3, d) for d in DILATIONS])
        self.gp = nn.Conv2d(CONTEXT_CHANNELS, BRANCH_CHANNELS, 1)
        self.mix = conv_norm_relu(BRANCH_CHANNELS * (len(DILATIONS) + 1), CONTEXT_CHANNELS, 1)
        self.lat = nn.ModuleList([conv_norm(i, o, 1) for i, o in zip(lateral, DECODER_CHANNELS, strict=True)])
        self.red = nn.ModuleList([conv_norm(i, o, 1) for i, o in zip(coarser, DECODER_CHANNELS, strict=True)])
        self.dec = nn.ModuleList([Residual(c) for c in DECODER_CHANNELS])
        self.head = nn.ModuleList([nn.Conv2d(c, 1, 3, 1, 1) for c in DECODER_CHANNELS])

    def forward(self, x: Tensor) -> list[Tensor] | Tensor:
        """What the class says."""
        features = self.enc(x)
        y = self.top(features[-1])
        everywhere = self.gp(y.mean((2, 3), keepdim=True)).expand(-1, -1, *y.shape[2:])
        y = self.mix(torch.cat([branch(y) for branch in self.ctx] + [everywhere], 1))
        logits: list[Tensor] = []
        for k in range(len(DECODER_CHANNELS)):
            y = F.relu(double(self.red[k](y)) + self.lat[k](features[-2 - k]))
            y = self.dec[k](y)
            logits.append(self.head[k](y))
        return logits[::-1] if self.training else torch.sigmoid(double(logits[-1]))


def double(x: Tensor) -> Tensor:
    """Twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def normalise(photos: Tensor) -> Tensor:
    """RGB uint8 (N, H, W, 3) to the network's float input (N, 3, H, W), channels last in memory."""
    scaled = (photos.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
    return scaled.contiguous(memory_format=torch.channels_last)
