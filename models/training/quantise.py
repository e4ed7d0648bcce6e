"""Turns an exported network into one with eight-bit arithmetic: two fifths of the time, half the file.

Not for half-precision files (`export` writes those) and not for other people's networks. One command::

    python -m cutoutd.models.training.quantise NETWORK.onnx models/bundled/cutout-m.onnx [--data DATA]

The deciding network's ranges come from what `answers` kept (`--answers FOLDER`).

Static quantisation (Jacob and others, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", 2018): activations unsigned with one range a tensor, taken from photos of the
training split; weights signed, one scale a channel.

Processors with AVX2 but no VNNI add products in pairs, in sixteen bits, and an overflow there is silent: with
full-range weights the answer moved by up to .03 on an emulated one. The usual cure, weights of seven bits, costs
.003 of IoU. Here each channel's scale is widened just so far that no pair can overflow (by three tenths on average),
and the answer has the same bits on a processor with VNNI and on one without. What rounding adds to the mean of a
channel is taken from its bias.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from msgspec import Struct
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from cutoutd.models.training.answers import Kept, open_kept
from cutoutd.models.training.dataset import data_folder, held_out, listing, read_pair
from cutoutd.models.training.decider import one
from cutoutd.models.training.decider_network import hints_of
from cutoutd.models.training.export import (
    DECIDER,
    HINTS,
    INPUT,
    Feed,
    feed_of,
    plain_scene,
    run_onnx,
    update_toml,
)
from cutoutd.models.training.network import MEAN, STD, normalise
from cutoutd.models.training.streamline import streamline
from cutoutd.models.training.terminal import say

# Photos that the ranges of activations, and the means of channels, are taken from. Half as many give the same scores.
PHOTOS: Final = 200
PHOTOS_FOR_MEANS: Final = 40
# The answer to a plain scene may move by this much on average; NOTES.md has what it does to the scores. The deciding
# network is shown an answer beside it that no photo has, and is in doubt.
TOLERANCES: Final = {"": 5e-3, DECIDER: 2e-2}
# A channel of zeros still needs a range.
LEAST_RANGE: Final = 1e-8

Weights = NDArray[np.float32]


class Photos(CalibrationDataReader):
    """Training photos as the network's input, one a call."""

    def __init__(self, data: Path, count: int, side: int) -> None:
        entries = [entry for k, entry in enumerate(listing(data)) if not held_out(k)]
        chosen = np.random.default_rng(0).permutation(len(entries))[:count]
        self._photos = self._read([entries[k] for k in chosen], side)

    @staticmethod
    def _read(entries: list[tuple[str, str, Path]], side: int) -> Iterator[Mapping[str, Weights]]:
        for entry in entries:
            small = cv2.resize(read_pair(*entry).photo, (side, side), interpolation=cv2.INTER_AREA)
            planes = (small[..., ::-1].astype(np.float32) / 255 - MEAN) / STD
            yield {INPUT: np.ascontiguousarray(planes.transpose(2, 0, 1)[None], np.float32)}

    def get_next(self) -> Any:
        """The next photo, None after the last."""
        return next(self._photos, None)


class Answered(CalibrationDataReader):
    """Training photos with what a first network answered, as the deciding network's inputs, one a call."""

    def __init__(self, kept: Kept, count: int, side: int) -> None:
        chosen = np.random.default_rng(0).permutation(kept.done())[:count]
        self._samples = self._read(kept, [int(place) for place in chosen], side)

    @staticmethod
    def _read(kept: Kept, places: list[int], side: int) -> Iterator[Feed]:
        rng = np.random.default_rng(0)
        for place in places:
            photo, answer, _ = one(rng, kept, place, side)
            planes = normalise(torch.from_numpy(photo[None]))
            hints = hints_of(torch.from_numpy(answer[None, None]).float() / 255)
            yield {INPUT: planes.contiguous().numpy(), HINTS: hints.numpy()}

    def get_next(self) -> Any:
        """The next sample, None after the last."""
        return next(self._samples, None)


# So many samples of some side.
Samples = Callable[[int, int], CalibrationDataReader]


def widened_ranges(weights: Weights) -> Weights:
    """The range of each output channel within which two neighbouring products never overflow sixteen bits.

    Args:
        weights: float32 (outputs, inputs, height, width) of one ungrouped convolution.

    Returns:
        float32 (outputs,): the value that becomes 127. Products are added in pairs in the order kernel row, kernel
        column, input channel. The weights of a pair that have the same sign add up to 127 at most, after rounding
        to 128, and 255 x 128 fits.
    """
    flat = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    flat = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2)))
    pairs = flat.reshape(len(weights), -1, 2)
    up, down = pairs.clip(0, None).sum(2).max(1), -pairs.clip(None, 0).sum(2).min(1)
    return np.maximum(np.maximum(up, down), LEAST_RANGE).astype(np.float32)


def own_ranges(weights: Weights) -> Weights:
    """The range of each channel of a depth-wise convolution, whose products are added in 32 bits.

    Returns:
        float32 (outputs,): the value that becomes 127.
    """
    return np.maximum(np.abs(weights).reshape(len(weights), -1).max(1), LEAST_RANGE).astype(np.float32)


def rounding_errors(weights: Weights, ranges: Weights) -> Weights:
    """What eight bits change about each kernel as a whole: float32 (outputs, inputs), summed over rows and columns."""
    step = (ranges / 127)[:, None, None, None]
    return ((np.round(weights / step).clip(-127, 127) * step - weights).sum((2, 3))).astype(np.float32)


class Convolution(Struct, frozen=True):
    """One convolution of a graph: names of its input, weights and bias, and the weights' ranges."""

    source: str
    weights: str
    bias: str
    grouped: bool
    ranges: Weights


def convolutions(graph: GraphProto) -> list[Convolution]:
    """Every convolution; each has a bias by now (`own_biases`)."""
    tensors = values(graph)
    found: list[Convolution] = []
    for node in graph.node:
        if node.op_type == "Conv":
            source, weights, bias = node.input
            grouped = next((a.i for a in node.attribute if a.name == "group"), 1) > 1
            ranges = (own_ranges if grouped else widened_ranges)(tensors[weights])
            found.append(Convolution(source, weights, bias, grouped, ranges))
    return found


def values(graph: GraphProto) -> dict[str, Weights]:
    """The stored tensors by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def channel_means(model: ModelProto, names: list[str], photos: CalibrationDataReader) -> dict[str, Weights]:
    """The mean of each channel of the named inner results over all photos: float32 (channels,) each."""
    probe = ModelProto()
    probe.CopyFrom(model)
    shown = {each.name for each in model.graph.input}
    inner = [name for name in names if name not in shown]
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    sums: dict[str, list[Weights]] = {}
    while (fed := photos.get_next()) is not None:
        for name, plane in (*zip(inner, session.run(inner, fed), strict=True), *fed.items()):
            sums.setdefault(name, []).append(np.asarray(plane).mean((0, 2, 3)))
    return {name: np.mean(each, 0, dtype=np.float64).astype(np.float32) for name, each in sums.items()}


def own_biases(graph: GraphProto) -> None:
    """Give each convolution a bias of its own: exporters store equal tensors once, and none where it is zero."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for number, node in enumerate(node for node in graph.node if node.op_type == "Conv"):
        if len(node.input) == 2:
            zeros = np.zeros(tensors[node.input[1]].dims[0], np.float32)
            graph.initializer.append(numpy_helper.from_array(zeros, f"{node.input[1]}_bias_{number}"))
            node.input.append(f"{node.input[1]}_bias_{number}")
            continue
        mine = TensorProto()
        mine.CopyFrom(tensors[node.input[2]])
        mine.name = f"{node.input[2]}_{number}"
        graph.initializer.append(mine)
        node.input[2] = mine.name
    read = {name for node in graph.node for name in node.input}
    for name, tensor in tensors.items():
        if name not in read:
            graph.initializer.remove(tensor)


def correct_biases(model: ModelProto, photos: CalibrationDataReader) -> None:
    """Take from each bias what the rounded weights will add to the mean of their channel.

    Method: Nagel and others, "Data-free quantization through weight equalization and bias correction" (2019), with
    the means of real photos.
    """
    own_biases(model.graph)
    found = convolutions(model.graph)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    means = channel_means(model, list(dict.fromkeys(c.source for c in found)), photos)
    for conv in found:
        errors = rounding_errors(numpy_helper.to_array(tensors[conv.weights]), conv.ranges)
        mean = means[conv.source]
        added = errors[:, 0] * mean if conv.grouped else errors @ mean
        bias = tensors[conv.bias]
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - added, conv.bias))


def overrides(graph: GraphProto) -> dict[str, list[dict[str, Any]]]:
    """The weights' ranges as the quantiser wants to be told."""
    kind = {"quant_type": QuantType.QInt8, "symmetric": True, "axis": 0}
    return {
        conv.weights: [{**kind, "rmin": -float(r), "rmax": float(r)} for r in conv.ranges]
        for conv in convolutions(graph)
    }


def pads_into_convolutions(graph: GraphProto) -> int:
    """Let convolutions pad for themselves where their eight-bit input is padded with zeros; how many pads are gone.

    Exporters pad before a convolution that halves its input, since that needs more on one side than on the other.
    Such a pad has its numbers brought out of eight bits and back again, a sixth of the network's time. A convolution
    pads by itself, with the number that stands for 0: the answer keeps its bits.

    Raises:
        ValueError: a pad adds channels, or lies between two ranges.
    """
    tensors = values(graph)
    maker = {name: node for node in graph.node for name in node.output}
    pads = [node for node in graph.node if node.op_type == "Pad"]
    for pad in pads:
        opened, (closed,) = maker[pad.input[0]], _readers(graph, pad)
        (again,) = _readers(graph, closed)
        if any(
            (tensors[a] != tensors[b]).any() for a, b in zip(opened.input[1:], closed.input[1:], strict=True)
        ):
            raise ValueError(f"{pad.name} lies between two ranges")
        before, after = np.split(tensors[pad.input[1]], 2)
        if before[:2].any() or after[:2].any():
            raise ValueError(f"{pad.name} adds channels")
        for convolution in _readers(graph, again):
            own = next(one for one in convolution.attribute if one.name == "pads")
            own.ints[:] = np.add(own.ints, [*before[2:], *after[2:]])
            convolution.input[0] = opened.output[0]
        for node in (pad, closed, again):
            graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    return len(pads)


def _readers(graph: GraphProto, node: NodeProto) -> list[NodeProto]:
    return [other for other in graph.node if node.output[0] in other.input]


def in_single_precision(network: Path, out: Path) -> None:
    """Fold the casts of half-precision weights, so that the quantiser finds plain convolutions."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])


def quantise(
    network: Path, out: Path, samples: Samples, *, kind: str = "", side: int = 320, photos: int = PHOTOS
) -> float:
    """Exported ONNX file to checked eight-bit ONNX file; `samples` are what the network is asked about.

    Returns:
        The mean difference of both answers to a plain scene, 0..1.

    Raises:
        SystemExit: it is larger than TOLERANCES allow; nothing is written.
    """
    with tempfile.TemporaryDirectory() as folder:
        single, ready, done = (Path(folder) / f"{name}.onnx" for name in ("single", "ready", "done"))
        in_single_precision(network, single)
        quant_pre_process(str(single), str(ready), skip_symbolic_shape=True)
        model = onnx.load(str(ready))
        correct_biases(model, samples(min(photos, PHOTOS_FOR_MEANS), side))
        quantize_static(
            model,
            str(done),
            samples(photos, side),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"TensorQuantOverrides": overrides(model.graph)},
        )
        eight_bits = onnx.load(str(done))
        pads_into_convolutions(eight_bits.graph)
        onnx.save(eight_bits, str(done))
        scene = feed_of(plain_scene(side), kind)
        moved = float(np.abs(run_onnx(network, scene) - run_onnx(done, scene)).mean())
        if moved > TOLERANCES[kind]:
            raise SystemExit(f"Not written: the answer moves by {moved:.6f} on average.")
        streamline(done, kind=kind, side=side)
        out.write_bytes(done.read_bytes())
    update_toml(out)
    return moved


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.quantise", description=__doc__.split("\n")[0]
    )
    p.add_argument("network", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--data", help="data folder; unset: $CUTOUTD_TRAINING_DATA")
    p.add_argument("--answers", type=Path, help="for the deciding network: a folder that `answers` filled")
    p.add_argument("--side", type=int, default=320)
    options = p.parse_args()
    if options.answers is None:
        kind, samples = "", partial(Photos, data_folder(options.data))
    else:
        kind, samples = DECIDER, partial(Answered, open_kept(options.answers))
    moved = quantise(options.network, options.out, samples, kind=kind, side=options.side)
    say(f"{options.out}: {options.out.stat().st_size} bytes; the answer moves by {moved:.6f} on average")


if __name__ == "__main__":
    main()
