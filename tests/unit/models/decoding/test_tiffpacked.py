"""TIFF pixels of odd depths, packed here bit by bit."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.config.errors import PhotoError
from cutoutd.models.decoding.tiffpacked import is_packed, unpacked


def packed(values: NDArray[np.int64], bits: int) -> bytes:
    """Each row filled up to whole bytes."""
    rows = [
        "".join(f"{value:0{bits}b}" for value in row).ljust(-(-len(row) * bits // 8) * 8, "0")
        for row in values.reshape(len(values), -1).tolist()
    ]
    return b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)


def page(height: int, width: int, bits: int, strips: list[tuple[int, int]], **more: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            "bitspersample": bits, "samplesperpixel": 3, "compression": 1, "is_tiled": False, "planarconfig": 1,
            "predictor": 1, "imagewidth": width, "imagelength": height, "rowsperstrip": height,
            "dataoffsets": [at for at, _ in strips], "databytecounts": [size for _, size in strips], **more,
        }
    )  # fmt: skip


@pytest.mark.parametrize("bits", [2, 5, 10, 12, 14])
@pytest.mark.parametrize("deflated", [False, True])
def test_every_value_comes_over_the_full_range(bits: int, deflated: bool) -> None:
    full = (1 << bits) - 1
    values = np.arange(5 * 7 * 3).reshape(5, 7, 3) * full // (5 * 7 * 3 - 1)
    data = packed(values, bits)
    data = zlib.compress(data) if deflated else data
    one = page(5, 7, bits, [(3, len(data))], compression=8 if deflated else 1)
    assert is_packed(one)
    got = unpacked(b"xyz" + data, one)
    assert got.dtype == np.uint16
    assert np.array_equal(got, np.round(values * (65535 / full)).astype(np.uint16))


def test_several_strips_lie_one_below_the_other() -> None:
    values = np.arange(5 * 2 * 3).reshape(5, 2, 3)
    upper, lower = packed(values[:3], 12), packed(values[3:], 12)
    one = page(5, 2, 12, [(len(lower), len(upper)), (0, len(lower))], rowsperstrip=3)
    got = unpacked(lower + upper, one)
    assert np.array_equal(got, np.round(values * (65535 / 4095)).astype(np.uint16))


@pytest.mark.parametrize(
    ("bits", "odd"), [(1, False), (8, False), (16, False), (12, True), ((8, 8, 8), False)]
)
def test_which_depths_are_odd(bits: Any, odd: bool) -> None:
    assert is_packed(SimpleNamespace(bitspersample=bits)) is odd


@pytest.mark.parametrize(
    "more",
    [{"is_tiled": True}, {"planarconfig": 2}, {"predictor": 2}, {"compression": 5}, {"rowsperstrip": 2}],
    ids=str,
)
def test_what_is_not_read_is_said(more: dict[str, Any]) -> None:
    data = packed(np.zeros((4, 2, 3), np.int64), 12)
    with pytest.raises(PhotoError):
        unpacked(data, page(4, 2, 12, [(0, len(data))], **more))


def test_missing_bytes_are_incomplete() -> None:
    data = packed(np.zeros((4, 2, 3), np.int64), 12)
    with pytest.raises(PhotoError, match="incomplete"):
        unpacked(data[:-1], page(4, 2, 12, [(0, len(data))]))
