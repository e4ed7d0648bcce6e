"""Networks of a few hundred bytes, written by hand, with the signature of the real families.

An ONNX file is a protocol-buffer message; the few fields used here are spelled out so that tests need no
package that writes them.
"""

from __future__ import annotations

import numpy as np

FLOAT, FLOAT16 = 1, 10


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


def _node(operator: str, inputs: list[str], output: str) -> bytes:
    return b"".join(_message(1, name) for name in inputs) + _message(2, output) + _message(4, operator)


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
    """
    mix = np.resize(np.asarray(weights, np.float32), (planes, channels, 1, 1))
    tensors = [_tensor("w", mix), _tensor("b", np.full(planes, bias, np.float32))]
    if padding_bytes:
        tensors.append(_tensor("padding", np.random.default_rng(3).random(padding_bytes // 4, np.float32)))
    nodes = [_node("Conv", ["photo", "w", "b"], "mixed")]
    last = "mixed"
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
