"""Every format, read back by an independent decoder: pixels, profile, density, and nothing else inside."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageFilter
from tests.support.photos import pixels

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.output import Output
from cutoutd.models.rendering.encode import Picture, encode

pytestmark = pytest.mark.slow

PHOTO = pixels("astronaut")[:200, :300].copy()
ALPHA = np.zeros((200, 300), np.uint8)
ALPHA[40:160, 60:240] = 255
ALPHA[40:160, 60:70] = 128
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def back(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
@pytest.mark.parametrize("compression", ["fast", "small", 0, 9])
def test_lossless_formats_give_every_sample_back(kind: str, compression: Any) -> None:
    order = Output.model_validate({"format": kind, "lossless": True, "compression": compression})
    image = back(encode(Picture(PHOTO, ALPHA, None), order))
    got = np.asarray(image.convert("RGBA"))
    assert (got[..., 3] == ALPHA).all()
    assert (got[ALPHA > 0][:, :3] == PHOTO[ALPHA > 0]).all()
    assert not got[ALPHA == 0].any()  # no background under alpha 0


# Further from what shows than this many pixels, an encoder's blocks hold nothing but erased pixels and its own noise:
# at its worst quality WebP was seen to leave 14 of 255 there, AVIF 13.
BLOCK_PX, NOISE = 16, 16


@pytest.mark.parametrize(
    ("photo", "kind"),
    [
        ("astronaut", "webp"),
        ("chelsea", "avif"),
        *(
            pytest.param(photo, kind, marks=pytest.mark.thorough)
            for photo, kind in itertools.product(
                ("astronaut", "chelsea", "coffee", "rocket"), ("webp", "avif")
            )
            if (photo, kind) not in {("astronaut", "webp"), ("chelsea", "avif")}
        ),
    ],
)
def test_a_lossy_format_keeps_nothing_of_the_background(photo: str, kind: str) -> None:
    colour = pixels(photo)[:200, :260].copy()
    y, x = np.mgrid[: colour.shape[0], : colour.shape[1]]
    away = np.hypot((y - 100) / 64, (x - 130) / 64)
    alpha = (np.clip((1.05 - away) / 0.1, 0, 1) * 255).astype(np.uint8)
    other = np.where((alpha == 0)[..., None], 255 - colour[::-1], colour)
    shown = Image.fromarray(alpha).filter(ImageFilter.MaxFilter(2 * BLOCK_PX + 1))
    distant = np.asarray(shown) == 0
    for quality in (1, 30, 80):
        for compression in ("fast", "small"):
            order = Output.model_validate({"format": kind, "quality": quality, "compression": compression})
            data = encode(Picture(colour, alpha, None), order)
            # What lies under alpha 0 cannot come of a background that makes no difference to a single byte.
            assert data == encode(Picture(other, alpha, None), order)
            got = np.asarray(back(data).convert("RGBA"))
            far = got[(got[..., 3] == 0) & distant][:, :3]
            assert far.max(initial=0) <= NOISE, (quality, compression)


@pytest.mark.parametrize("kind", ["webp", "avif", "jpeg"])
def test_lossy_formats_look_like_the_picture_and_better_with_quality(kind: str) -> None:
    errors: list[float] = []
    for quality in (30, 95):
        order = Output.model_validate({"format": kind, "quality": quality, "background": "white"})
        image = back(encode(Picture(PHOTO, None, None), order))
        errors.append(float(np.abs(np.asarray(image.convert("RGB"), float) - PHOTO).mean()))
    assert errors[1] < errors[0] < 12


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_stay_sixteen_bits(kind: str) -> None:
    deep = PHOTO.astype(np.uint16) * 257 ^ np.arange(300, dtype=np.uint16)[None, :, None]
    data = encode(Picture(deep, None, None), Output.model_validate({"format": kind}))
    if kind == "tiff":
        assert (tifffile.imread(io.BytesIO(data)) == deep).all()
    else:
        assert data[24] == 16  # PNG's header: bits per sample


@pytest.mark.parametrize("kind", ["png", "tiff", "webp", "avif", "jpeg"])
def test_the_profile_is_embedded_and_metadata_is_not(kind: str) -> None:
    printed = kind in ("png", "tiff", "jpeg")  # the others have no place for it
    order = Output.model_validate(
        {"format": kind, "background": "white", **({"dpi": 300} if printed else {})}
    )
    with_profile = back(encode(Picture(PHOTO, None, PROFILE), order))
    assert with_profile.info.get("icc_profile") == PROFILE
    plain = back(encode(Picture(PHOTO, None, None), order))
    assert "icc_profile" not in plain.info
    assert not {"exif", "xmp", "comment", "photoshop"} & set(plain.info)
    if printed:
        assert round(float(plain.info["dpi"][0])) == 300


def test_a_size_that_a_format_cannot_hold_says_what_to_do() -> None:
    wide = np.zeros((1, 20_000, 3), np.uint8)
    with pytest.raises(PhotoError, match="at most 16,383 pixels per side") as caught:
        encode(Picture(wide, None, None), Output.model_validate({"format": "webp"}))
    assert caught.value.reason is Reason.CANNOT_RENDER
    assert "max_size" in caught.value.fix
    assert back(encode(Picture(wide, None, None), Output.model_validate({"format": "png"}))).size == (
        20_000,
        1,
    )


@pytest.mark.parametrize("kind", ["png", "avif"])
def test_the_bytes_do_not_depend_on_threads(kind: str) -> None:
    order = Output.model_validate({"format": kind})
    picture = Picture(np.tile(PHOTO, (4, 3, 1)), np.tile(ALPHA, (4, 3)), None)
    assert encode(picture, order, threads=1) == encode(picture, order, threads=3)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_grey_pictures_stay_grey(kind: str) -> None:
    data = encode(Picture(PHOTO[..., 0].copy(), None, None), Output.model_validate({"format": kind}))
    image = back(data)
    assert image.mode == "L"
    assert (np.asarray(image) == PHOTO[..., 0]).all()
