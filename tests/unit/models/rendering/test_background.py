from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.support.profiles import one_way_icc

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.output import Output
from cutoutd.models.decoding import icc
from cutoutd.models.decoding.colour import is_usable
from cutoutd.models.rendering.background import backdrop, load_background

RED, BLUE = (200, 0, 0), (0, 0, 200)


def halves() -> NDArray[np.uint8]:
    """40 × 20, red at the left and blue at the right."""
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, :20], picture[:, 20:] = RED, BLUE
    return picture


def behind(how: str, canvas: tuple[int, int]) -> NDArray[np.uint8]:
    order = Output.model_validate({"background": "./sky.png", "background_fit": how})
    got = backdrop(order, canvas, None, halves())
    assert got is not None
    return got


def test_nothing_and_plain_colours() -> None:
    assert backdrop(Output(), (5, 5), None) is None
    plain = backdrop(Output(background="#010203"), (5, 5), None)
    assert plain is not None
    assert plain.tolist() == [1, 2, 3]


def test_fill_covers_the_canvas_and_cuts_the_rest() -> None:
    got = behind("fill", (100, 100))
    assert got.shape == (100, 100, 3)
    assert tuple(got[50, 2]) == RED
    assert tuple(got[50, 97]) == BLUE
    assert tuple(got[0, 2]) == RED


def test_fit_shows_all_of_it_on_white() -> None:
    got = behind("fit", (100, 100))
    assert tuple(got[5, 50]) == (255, 255, 255)
    assert tuple(got[50, 2]) == RED
    assert tuple(got[50, 97]) == BLUE


def test_tile_repeats_it_at_its_own_size() -> None:
    got = behind("tile", (90, 30))
    assert got.shape == (30, 90, 3)
    assert np.array_equal(got[:20, 40:80], halves())
    assert np.array_equal(got[20:, :40], halves()[:10])


def test_white_stays_white_and_colours_are_converted_into_the_photos_space() -> None:
    p3 = icc.display_p3_icc()
    white = backdrop(Output(background="white"), (5, 5), p3)
    red = backdrop(Output(background="#ff0000"), (5, 5), p3)
    assert white is not None
    assert red is not None
    assert white.tolist() == [255, 255, 255]
    # sRGB red in Display P3 is (234, 51, 35), as published by those who defined the space.
    assert np.abs(red.astype(int) - [234, 51, 35]).max() <= 2


@pytest.mark.parametrize("background", ["white", "./sky.png"])
def test_a_profile_without_a_way_back_is_a_named_failure(background: str) -> None:
    scanner = one_way_icc()
    assert is_usable(scanner)
    with pytest.raises(PhotoError, match="works in one direction only") as refused:
        backdrop(Output.model_validate({"background": background}), (5, 5), scanner, halves())
    assert refused.value.reason is Reason.CANNOT_RENDER
    assert "keep-profile" in refused.value.fix


def test_a_picture_is_read_from_its_path_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "sky.png"
    for number, colour in enumerate((RED, BLUE)):
        Image.new("RGB", (4, 4), colour).save(path)
        os.utime(path, (1000 + number, 1000 + number))
        assert tuple(load_background(path)[0, 0]) == colour


@pytest.mark.parametrize("how", ["fill", "fit", "tile"])
def test_what_is_transparent_in_a_picture_shows_white_and_never_what_it_hides(
    tmp_path: Path, how: str
) -> None:
    picture = np.zeros((30, 30, 4), np.uint8)  # black under its transparency, as most programs leave it
    picture[:, :10] = (*RED, 255)
    picture[:, 10:20] = (*RED, 128)
    path = tmp_path / "label.png"
    Image.fromarray(picture).save(path)
    order = Output.model_validate({"background": str(path), "background_fit": how})
    got = backdrop(order, (30, 30), None)
    assert got is not None
    assert tuple(got[15, 2]) == RED
    assert np.abs(got[15, 15].astype(int) - (227, 127, 127)).max() <= 1
    assert tuple(got[15, 27]) == (255, 255, 255)


@pytest.mark.parametrize("content", [None, b"", b"no picture at all"])
def test_a_missing_or_broken_picture_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "sky.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"background picture .*sky\.png") as refused:
        load_background(path)
    assert refused.value.reason is Reason.CANNOT_RENDER
    assert "background" in refused.value.fix
