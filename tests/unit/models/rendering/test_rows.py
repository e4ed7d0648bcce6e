"""Interleaving erases what nobody sees, for every kind of picture, and the strips cover it exactly once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from cutoutd.models.rendering import rows

RNG = np.random.default_rng(3)


def picture(kind: type, *shape: int) -> Any:
    return RNG.integers(1, np.iinfo(kind).max, shape, dtype=kind)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_hidden_colour_is_gone_and_shown_colour_untouched(
    kind: type, channels: int, order: Literal["<", ">"]
) -> None:
    colour = picture(kind, 9, 7) if channels == 1 else picture(kind, 9, 7, 3)
    alpha = picture(kind, 9, 7)
    alpha[2:5, 1:4] = 0
    assert rows.channels(colour, alpha) == channels + 1
    out = np.empty((9, 7, channels + 1), np.dtype(kind).newbyteorder(order))
    rows.interleave(colour, alpha, out)
    hidden = alpha == 0
    assert not out[hidden].any()
    assert (out[~hidden][:, -1] == alpha[~hidden]).all()
    assert (out[~hidden][:, :-1] == colour.reshape(9, 7, channels)[~hidden]).all()


def test_without_alpha_nothing_is_erased() -> None:
    colour = picture(np.uint8, 4, 5, 3)
    out = np.empty((4, 5, 3), np.uint8)
    rows.interleave(colour, None, out)
    assert (out == colour).all()
    assert rows.channels(colour, None) == 3


def test_what_is_hidden_is_erased_from_interleaved_pixels() -> None:
    rgba = picture(np.uint8, 6, 5, 4)
    rgba[2:4, 1:3, 3] = 0
    before = rgba.copy()
    assert rows.erase_hidden(rgba)
    assert not rgba[2:4, 1:3].any()
    assert (rgba[before[..., 3] > 0] == before[before[..., 3] > 0]).all()


def test_pixels_that_nobody_sees_leave_nothing() -> None:
    rgba = picture(np.uint8, 6, 5, 4)
    rgba[..., 3] = 0
    assert not rows.erase_hidden(rgba)
    assert not rgba.any()


def test_the_whole_picture_is_the_same_in_strips() -> None:
    colour, alpha = picture(np.uint8, 700, 900, 3), picture(np.uint8, 700, 900)
    alpha[::3] = 0
    whole = np.dstack([colour * (alpha > 0)[..., None], alpha])
    assert (rows.rgba_image_array(colour, alpha) == whole).all()


@pytest.mark.parametrize(("height", "row_bytes"), [(1, 1), (1, 1 << 24), (999, 4096), (5000, 40_000), (3, 0)])
def test_strips_cover_every_row_once(height: int, row_bytes: int) -> None:
    found = rows.strips(height, row_bytes)
    assert [row for top, bottom in found for row in range(top, bottom)] == list(range(height))
    assert all(bottom - top == 1 or (bottom - top) * row_bytes <= rows.STRIP_BYTES for top, bottom in found)
