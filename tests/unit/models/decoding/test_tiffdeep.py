"""TIFF pixels of many bits in every layout: what is unpacked is what was stored, number by number."""

from __future__ import annotations

import io
import zlib
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tests.support.format_cases import coffee
from tests.support.tiffs_by_hand import packed_numbers

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding.tiffdeep import is_unpacked_here, unpacked

HEIGHT, WIDTH = 21, 37


def stored(part: NDArray[Any], predictor: int, order: Literal["<", ">"]) -> bytes:
    """The rows of one part as they are before they are packed."""
    bits = np.dtype(f"{order}u{part.itemsize}")
    height, _, samples = part.shape
    if predictor == 2:
        whole = part.view(f"u{part.itemsize}")
        return np.diff(whole, axis=1, prepend=whole[:, :1] * 0).astype(bits).tobytes()
    if predictor == 3:
        by_byte = part.astype(part.dtype.newbyteorder(">")).reshape(height, -1, 1).view(np.uint8)
        flat = np.moveaxis(by_byte, 2, 1).reshape(height, -1, samples)
        return np.diff(flat, axis=1, prepend=flat[:, :1] * 0).tobytes()
    return part.astype(part.dtype.newbyteorder(order)).tobytes()


def laid_out(
    values: NDArray[Any], *, tile: int, apart: bool, predictor: int, order: Literal["<", ">"]
) -> tuple[bytes, Any]:
    """Deflated tiles (strips of 8 rows, where 0), and what tifffile says of such a file."""
    planes = [values[:, :, at : at + 1] for at in range(values.shape[2])] if apart else [values]
    high, wide = (tile, tile) if tile else (8, WIDTH)
    parts = list[bytes]()
    for plane in planes:
        room = ((0, -HEIGHT % high if tile else 0), (0, -WIDTH % wide), (0, 0))
        filled = np.pad(plane, room, "edge")
        parts += [
            zlib.compress(
                stored(np.ascontiguousarray(filled[top : top + high, left : left + wide]), predictor, order)
            )
            for top in range(0, HEIGHT, high)
            for left in range(0, WIDTH, wide)
        ]
    sizes = list(map(len, parts))
    page = SimpleNamespace(
        compression=8, dtype=values.dtype, bitspersample=8 * values.itemsize, predictor=predictor,
        imagewidth=WIDTH, imagelength=HEIGHT, samplesperpixel=values.shape[2], planarconfig=2 if apart else 1,
        is_tiled=bool(tile), tilewidth=tile, tilelength=tile, rowsperstrip=8,
        dataoffsets=[sum(sizes[:at]) for at in range(len(sizes))], databytecounts=sizes,
        parent=SimpleNamespace(byteorder=order),
    )  # fmt: skip
    return b"".join(parts), page


@pytest.mark.parametrize("tile", [0, 16, 48])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "predictor"), [("u2", 2), ("u4", 1), ("u4", 2), ("f4", 2), ("f4", 3), ("f8", 3)]
)
def test_every_number_comes_as_it_was_stored(
    tile: int, apart: bool, order: Literal["<", ">"], kind: str, predictor: int
) -> None:
    values = np.random.default_rng(7).random((HEIGHT, WIDTH, 3)) * (1 if "f" in kind else 60_000)
    values = values.astype(kind)
    data, page = laid_out(values, tile=tile, apart=apart, predictor=predictor, order=order)
    assert is_unpacked_here(page)
    assert np.array_equal(unpacked(data, page), values)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"])
def test_every_packing_of_libtiff(compression: str) -> None:
    data = packed_numbers("f4", compression, 3)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages.first
        assert np.array_equal(unpacked(data, page), (coffee() / 255).astype("f4"))


def test_what_it_cannot_do_is_left_to_others() -> None:
    _, page = laid_out(np.zeros((HEIGHT, WIDTH, 3), "f4"), tile=0, apart=False, predictor=1, order="<")
    for changed in ({"compression": 7}, {"dtype": None}, {"dtype": np.dtype("i4")}, {"bitspersample": 24}):
        assert not is_unpacked_here(SimpleNamespace(**{**vars(page), **changed}))


@pytest.mark.parametrize("tile", [0, 16])
def test_hostile_layouts_are_damaged(tile: int) -> None:
    data, page = laid_out(np.zeros((HEIGHT, WIDTH, 3), "f4"), tile=tile, apart=False, predictor=1, order="<")
    limit = Image.MAX_IMAGE_PIXELS
    huge = {"is_tiled": True, "tilewidth": 1 << 16, "tilelength": 1 << 16}
    many = {"databytecounts": [len(data)] * len(page.databytecounts)}
    for changed in (huge, many):
        with pytest.raises(PhotoError) as caught:
            unpacked(data, SimpleNamespace(**{**vars(page), **changed}))
        assert caught.value.reason is Reason.UNREADABLE
    with pytest.raises(OSError, match="decoder error"):
        unpacked(bytes(len(data)), page)
    assert limit == Image.MAX_IMAGE_PIXELS
