"""Stored pixels into upright arrays: every orientation, in more than one strip, and every mode split rightly."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from cutoutd.models.decoding import pixels

RNG = np.random.default_rng(11)
# More than one strip of 400,000 pixels, and sides that divide nothing.
WIDTH, HEIGHT = 1003, 901
STORED = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Pillow's own answer."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    image.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_in_strips_is_the_same_as_in_one_piece(orientation: int) -> None:
    expected = np.asarray(upright(Image.fromarray(STORED), orientation))
    got = pixels.upright_rgb(Image.fromarray(STORED), orientation, None)
    assert got.flags.c_contiguous
    assert (got == expected).all()
    grey = pixels.upright_grey(Image.fromarray(STORED[..., 1].copy()), orientation)
    assert (grey == expected[..., 1]).all()


def test_a_transform_sees_every_pixel_once() -> None:
    seen = 0

    def invert(strip: Image.Image) -> Image.Image:
        nonlocal seen
        seen += strip.width * strip.height
        return ImageOps.invert(strip)

    got = pixels.upright_rgb(Image.fromarray(STORED), 6, invert)
    assert seen == WIDTH * HEIGHT
    assert (got == 255 - np.rot90(STORED, -1)).all()
    assert (pixels.converted(STORED, ImageOps.invert) == 255 - STORED).all()


@pytest.mark.parametrize(
    ("mode", "colour", "has_alpha"),
    [
        ("RGB", "RGB", False), ("L", "L", False), ("CMYK", "CMYK", False), ("1", "L", False),
        ("P", "RGB", False), ("RGBA", "RGB", True), ("LA", "L", True), ("RGBa", "RGB", True),
        ("YCbCr", "RGB", False), ("HSV", "RGB", False), ("I;16", "L", False), ("F", "L", False),
    ],
)  # fmt: skip
def test_colour_and_transparency_part(mode: str, colour: str, has_alpha: bool) -> None:
    if mode in ("I;16", "F"):
        kind = np.uint16 if mode == "I;16" else np.float32
        image = Image.fromarray(RNG.integers(0, 60_000, (5, 6)).astype(kind))
    else:
        base = Image.fromarray(RNG.integers(0, 200, (5, 6, 4), dtype=np.uint8), "RGBA")
        image = (
            base
            if mode == "RGBA"
            else base.convert("LA" if mode == "LA" else "RGBA" if mode == "RGBa" else "RGB")
        )
        image = image.convert(mode)
    got, alpha = pixels.split(image)
    assert got.mode == colour
    assert (alpha is not None) is has_alpha
    assert got.size == image.size


def test_transparency_that_is_nowhere_is_none() -> None:
    opaque = Image.fromarray(np.full((4, 4, 4), 255, np.uint8), "RGBA")
    assert pixels.split(opaque)[1] is None


def test_a_palettes_transparent_entry_counts() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.info["transparency"] = 1
    colour, alpha = pixels.split(image)
    assert alpha is not None
    assert [alpha.getpixel((0, 0)), alpha.getpixel((1, 0))] == [255, 0]
    assert colour.getpixel((0, 0)) == (10, 20, 30)


def test_deep_grey_keeps_its_white() -> None:
    sixteen = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    assert list(np.asarray(pixels.split(sixteen)[0])[0]) == [0, 128, 255]
    floats = Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32))
    assert list(np.asarray(pixels.split(floats)[0])[0]) == [0, 128, 255, 0]
