"""Writes trained weights as ONNX: half-precision weights, single-precision arithmetic, checked against
PyTorch.

Not for choosing weights: see `train` and `soup`. One command::

    python -m cutoutd.models.training.export RUN/average16.pt models/bundled/cutout-s.onnx

With `--kind decider` the deciding network (`decider_network`), which is shown a first answer too. A `.toml`
beside the output that names it gets the new digest and size.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from cutoutd.models.training.decider_network import Decider, hints_of
from cutoutd.models.training.network import MEAN, STD, CutoutNet
from cutoutd.models.training.terminal import say
from cutoutd.models.training.train import load_weights

Plane = NDArray[np.float32]  # with a first axis of one picture, as networks are fed
Feed = Mapping[str, Plane]  # what a network is shown, by the names of its inputs

INPUT: Final = "photo"
HINTS: Final = "hints"  # the deciding network's second input
OUTPUT: Final = "alpha"
DECIDER: Final = "decider"  # the kind
OPSET: Final = 17
# Tensors below this many numbers (biases, shapes) stay in single precision: halving them saves nothing.
LEAST_HALVED: Final = 256
# Largest difference allowed between PyTorch and ONNX Runtime, both in single precision, at the worst pixel.
TOLERANCE: Final = 1e-3
# Halved weights may move the answer to a plain scene by this much on average. (On white noise, where the network
# has no opinion, it is six times as much.)
HALVING_TOLERANCE: Final = 1e-3
LARGEST_BYTES: Final = 12_000_000


def write_onnx(net: nn.Module, out: Path, example: Feed) -> None:
    """Trace the network with free height and width; batch normalisation is folded into the convolutions."""
    free = {2: "height", 3: "width"}
    torch.onnx.export(
        net,
        tuple(torch.from_numpy(plane) for plane in example.values()),
        str(out),
        input_names=list(example),
        output_names=[OUTPUT],
        opset_version=OPSET,
        dynamo=False,
        do_constant_folding=True,
        dynamic_axes=dict.fromkeys((*example, OUTPUT), free),
    )


def halve_weights(path: Path) -> None:
    """Store the large tensors in half precision; a Cast brings each back when the file is loaded."""
    model = onnx.load(str(path))
    graph = model.graph
    for tensor in list(graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < LEAST_HALVED:
            continue
        half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        graph.initializer.remove(tensor)
        graph.initializer.append(onnx.numpy_helper.from_array(half, f"{tensor.name}_half"))
        cast = onnx.helper.make_node(
            "Cast", [f"{tensor.name}_half"], [tensor.name], to=onnx.TensorProto.FLOAT
        )
        graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def run_onnx(path: Path, feed: Feed) -> Plane:
    """ONNX Runtime's answer on the processor: float32 (1, 1, s, s), 0..1."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([OUTPUT], dict(feed))[0], np.float32)


def feed_of(photo: Plane, kind: str) -> Feed:
    """A photo as a network of that kind is shown it; the deciding one also gets an answer: dark is subject."""
    if kind != DECIDER:
        return {INPUT: photo}
    dark = -torch.from_numpy(photo).mean(1, keepdim=True)
    answer = torch.sigmoid(8 * dark)  # in little doubt, as real answers are
    return {INPUT: photo, HINTS: hints_of(answer).numpy()}


def strange_pictures(side: int) -> list[Plane]:
    """Noise, a ramp, and a shape that is not square: whatever they show, both programs must agree."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, 3, side, side)).astype(np.float32)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    smooth = np.broadcast_to(ramp, (1, 3, side, side)).copy()
    return [noise, smooth, np.ascontiguousarray(noise[..., : max(32, side - 64)])]


def plain_scene(side: int) -> Plane:
    """A shaded ball before a bright wall, normalised: something the network has an opinion on."""
    yy, xx = np.mgrid[0:side, 0:side].astype(np.float32) / side
    wall = 0.8 + 0.1 * yy
    distance = np.hypot(yy - 0.5, xx - 0.5) / 0.3
    ball = 0.5 - 0.25 * np.clip(distance, 0, 1) * (yy - xx + 0.5)
    red, other = np.where(distance < 1, ball + 0.2, wall), np.where(distance < 1, ball * 0.4, wall)
    scene = (np.stack([red, other, other]) - MEAN) / STD
    return np.ascontiguousarray(scene[None], np.float32)


def differences(net: nn.Module, path: Path, feeds: list[Feed]) -> tuple[float, float]:
    """(largest, largest mean) difference between PyTorch's answers and the file's."""
    worst = mean = 0.0
    for feed in feeds:
        with torch.no_grad():
            ours = net(*(torch.from_numpy(plane) for plane in feed.values()))
        difference = np.abs(ours.numpy() - run_onnx(path, feed))
        worst, mean = max(worst, float(difference.max())), max(mean, float(difference.mean()))
    return worst, mean


def update_toml(path: Path) -> int:
    """Write digest and size of a network into each .toml beside it that names its file; says how many do."""
    data, found = path.read_bytes(), 0
    for card in path.parent.glob("*.toml"):
        text = card.read_text("utf-8")
        if f'file = "{path.name}"' in text:
            digest = hashlib.sha256(data).hexdigest()
            text = re.sub(r'(?m)^sha256 = "[0-9a-f]*"', f'sha256 = "{digest}"', text)
            card.write_text(re.sub(r"(?m)^bytes = \d+", f"bytes = {len(data)}", text), "utf-8")
            found += 1
    return found


def export(weights: Path, out: Path, kind: str, side: int) -> tuple[float, float]:
    """Weights file to checked ONNX file.

    Returns:
        The largest difference to PyTorch before the weights were halved, and the mean difference after.

    Raises:
        SystemExit: a check fails; nothing is written.
    """
    net = Decider() if kind == DECIDER else CutoutNet(kind)
    load_weights(net, weights)
    net.eval()
    temporary, scene = out.with_suffix(".tmp"), feed_of(plain_scene(side), kind)
    write_onnx(net, temporary, scene)
    worst, _ = differences(net, temporary, [feed_of(photo, kind) for photo in strange_pictures(side)])
    halve_weights(temporary)
    _, mean = differences(net, temporary, [scene])
    size = temporary.stat().st_size
    if worst > TOLERANCE or mean > HALVING_TOLERANCE or size > LARGEST_BYTES:
        temporary.unlink()
        raise SystemExit(f"Not written: differences {worst:.6f} and {mean:.6f}, {size} bytes.")
    temporary.replace(out)
    update_toml(out)
    return worst, mean


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.export", description=__doc__.split("\n")[0]
    )
    p.add_argument("weights", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--kind", default="lite0", help=f"encoder: lite0, lite1 or lite2; or {DECIDER}")
    p.add_argument("--side", type=int, default=320, help="side of the picture it is traced and checked with")
    options = p.parse_args()
    worst, mean = export(options.weights, options.out, options.kind, options.side)
    size = options.out.stat().st_size
    say(
        f"{options.out}: {size} bytes; ONNX Runtime differs by {worst:.6f}, halving moves {mean:.6f} on average"
    )


if __name__ == "__main__":
    main()
