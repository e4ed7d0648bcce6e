"""Networks of a few hundred bytes, written by hand, with the signature of the real families.

An ONNX file is a protocol-buffer message; the few fields used here are spelled out so that tests need no
package that writes them.
"""

from __future__ import annotations

import numpy as np

FLOAT = 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_number(1, n) for n in values.shape)
    return dims + _number(2, FLOAT) + _message(8, name) + _message(9, values.astype("<f4").tobytes())


def _value(name: str, shape: tuple[int | str, ...], kind: int = FLOAT) -> bytes:
    dims = b"".join(_message(1, _message(2, n) if isinstance(n, str) else _number(1, n)) for n in shape)
    return _message(1, name) + _message(2, _message(1, _number(1, kind) + _message(2, dims)))


def _node(operator: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    names = b"".join(_message(1, name) for name in inputs)
    return names + _message(2, output) + _message(4, operator) + attributes


# A convolution whose answer is as large as its input: the attribute `auto_pad`, a text.
_SAME_SIZE = _message(5, _message(1, "auto_pad") + _message(4, "SAME_UPPER") + _number(20, 3))
_BUSY_CHANNELS = 32


def _busy(layers: int) -> tuple[list[bytes], list[bytes]]:
    """Tensors and nodes that work long on "mixed" and change it by next to nothing, as "kept"."""
    noise = np.random.default_rng(4)
    wide = noise.normal(0, 0.05, (_BUSY_CHANNELS, _BUSY_CHANNELS, 3, 3))
    tensors = [
        _tensor("spread", np.full((_BUSY_CHANNELS, 1, 1, 1), 0.1)),
        _tensor("wide", wide),
        _tensor("gather", np.full((1, _BUSY_CHANNELS, 1, 1), 1e-9)),
    ]
    nodes = [_node("Conv", ["mixed", "spread"], "layer0")]
    nodes += [_node("Conv", [f"layer{n}", "wide"], f"layer{n + 1}", _SAME_SIZE) for n in range(layers)]
    nodes += [
        _node("Conv", [f"layer{layers}", "gather"], "little"),
        _node("Add", ["mixed", "little"], "kept"),
    ]
    return tensors, nodes


def tiny_network(
    size: int | str = 320,
    *,
    weights: tuple[float, ...] = (0.9, 0.4, -0.7),
    bias: float = 0.1,
    channels: int = 3,
    planes: int = 1,
    sigmoid: bool = True,
    extra_outputs: int = 0,
    extra_inputs: int = 0,
    not_numbers: bool = False,
    padding_bytes: int = 0,
    busy_layers: int = 0,
) -> bytes:
    """An ONNX file that mixes the channels of each pixel into one number.

    Args:
        size: side of its square input; text makes it dynamic.
        weights: per channel.
        bias: added.
        channels: of the input.
        planes: of the answer.
        sigmoid: True answers in 0..1, False in logits.
        extra_outputs: further copies of the answer, as U²-Net has.
        extra_inputs: further inputs, which no photo can fill.
        not_numbers: answers with NaN.
        padding_bytes: makes the file larger, with noise that does not compress.
        busy_layers: so many convolutions of 32 channels before the answer: about 10^10 multiplications each at
            1,024 pixels, 0.2 s of processor time. For one plane only.
    """
    mix = np.resize(np.asarray(weights, np.float32), (planes, channels, 1, 1))
    tensors = [_tensor("w", mix), _tensor("b", np.full(planes, bias, np.float32))]
    if padding_bytes:
        tensors.append(_tensor("padding", np.random.default_rng(3).random(padding_bytes // 4, np.float32)))
    nodes = [_node("Conv", ["photo", "w", "b"], "mixed")]
    last = "mixed"
    if busy_layers:
        more_tensors, more_nodes = _busy(busy_layers)
        tensors, nodes, last = tensors + more_tensors, nodes + more_nodes, "kept"
    if sigmoid:
        nodes.append(_node("Sigmoid", [last], "soft"))
        last = "soft"
    if not_numbers:
        nodes += [_node("Neg", [last], "negative"), _node("Log", ["negative"], "nan")]
        last = "nan"
    shape = (1, planes, size, size)
    names = ["answer", *(f"side{n}" for n in range(extra_outputs))]
    nodes += [_node("Identity", [last], name) for name in names]
    inputs = [
        _value("photo", (1, channels, size, size)),
        *(_value(f"more{n}", (1,)) for n in range(extra_inputs)),
    ]
    graph = b"".join(_message(1, node) for node in nodes) + _message(2, "tiny")
    graph += b"".join(_message(5, tensor) for tensor in tensors)
    graph += b"".join(_message(11, value) for value in inputs)
    graph += b"".join(_message(12, _value(name, shape)) for name in names)
    return _number(1, 8) + _message(7, graph) + _message(8, _message(1, "") + _number(2, 13))
