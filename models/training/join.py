"""Joins networks that were trained apart into one file that answers with the mean of their opinions.

Not for averaging weights: that is `soup`, and needs networks of one kind. One command::

    python -m cutoutd.models.training.join JOINED.onnx SMALL.onnx=0.5 LARGE.onnx=0.5

Method: Hansen and Salamon, "Neural network ensembles" (1990). Networks with different encoders are wrong in
different places; NOTES.md has what it gains here. The mean is taken before the sigmoid, so that a network that is
sure outweighs one that is not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper

from cutoutd.models.training.export import INPUT, OUTPUT
from cutoutd.models.training.soup import portion


def without_sigmoid(part: ModelProto, output: str) -> str:
    """Take the last sigmoid out of a network; returns the name of the logits it was applied to.

    Raises:
        ValueError: the answer does not come from a sigmoid.
    """
    last = next((node for node in part.graph.node if list(node.output) == [output]), None)
    if last is None or last.op_type != "Sigmoid":
        raise ValueError("a network whose answer is a sigmoid is needed, as `export` writes it")
    part.graph.node.remove(last)
    return last.input[0]


def join(models: list[ModelProto], shares: list[float]) -> ModelProto:
    """One model, input and output named as those of `export`: the sigmoid of the weighted mean of their logits.

    Args:
        models: two or more, as `export` writes them.
        shares: one for each model, in any unit.

    Raises:
        ValueError: fewer than two, or one has other inputs or outputs than `export` writes.
    """
    if len(models) < 2 or any(
        [i.name for i in m.graph.input] != [INPUT] or [o.name for o in m.graph.output] != [OUTPUT]
        for m in models
    ):
        raise ValueError("two networks or more are needed, each with a photo as input and an alpha as output")
    parts = [compose.add_prefix(model, f"n{k}/") for k, model in enumerate(models)]
    logits = [without_sigmoid(part, f"n{k}/{OUTPUT}") for k, part in enumerate(parts)]
    nodes = [helper.make_node("Identity", [INPUT], [f"n{k}/{INPUT}"]) for k in range(len(parts))]
    nodes += [node for part in parts for node in part.graph.node]
    weights: list[TensorProto] = []
    for k, (name, share) in enumerate(zip(logits, shares, strict=True)):
        weights.append(numpy_helper.from_array(np.float32(share / sum(shares)), f"share{k}"))
        nodes.append(helper.make_node("Mul", [name, f"share{k}"], [f"weighted{k}"]))
    nodes.append(helper.make_node("Sum", [f"weighted{k}" for k in range(len(parts))], ["mean"]))
    nodes.append(helper.make_node("Sigmoid", ["mean"], [OUTPUT]))
    shape = [1, 1, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "joined",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)],
        [*weights, *(tensor for part in parts for tensor in part.graph.initializer)],
    )
    joined = helper.make_model(graph, opset_imports=models[0].opset_import, ir_version=models[0].ir_version)
    onnx.checker.check_model(joined)
    return joined


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.join", description=__doc__.split("\n")[0]
    )
    p.add_argument("out", type=Path)
    p.add_argument("networks", nargs="+", type=portion, metavar="FILE=SHARE")
    options = p.parse_args()
    models = [onnx.load(str(path)) for path, _ in options.networks]
    onnx.save(join(models, [share for _, share in options.networks]), str(options.out))


if __name__ == "__main__":
    main()
