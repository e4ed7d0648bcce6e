"""Every format, mode and orientation arrives as upright RGB, with its transparency."""

# scikit-image and parts of Pillow are untyped; a test may look inside a module.
# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from tests.support import photos
from tests.support.format_cases import chunk
from tests.support.shared import shared_folder

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import pillow, png
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_bytes, read_header

pytestmark = pytest.mark.slow

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)
SEEDS = Path(__file__).parents[3] / "reliability" / "fuzz" / "seeds"
SHARED = shared_folder("photos", "CUTOUTD_TEST_PHOTOS")
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the camera files are not on this machine")


def astronaut(size: tuple[int, int] = (160, 120)) -> Image.Image:
    return _astronaut(size).copy()


@functools.cache
def _astronaut(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(photos.pixels()[:384]).resize(size, Image.Resampling.LANCZOS)


def opened(data: bytes, name: str = "x", **options: object) -> Photo:
    header = read_header(data, name, LIMITS)
    photo = decode(data, header, **options)  # type: ignore[arg-type]
    assert photo.rgb.dtype == np.uint8
    assert photo.rgb.flags.c_contiguous
    assert photo.rgb.flags.writeable
    assert photo.rgb.shape == (header.height, header.width, 3)
    return photo


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())


LOSSLESS: list[tuple[str, dict[str, object]]] = [
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("BMP", {}),
    ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
]


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_lossless_formats_come_bit_for_bit(kind: str, options: dict[str, object]) -> None:
    picture = astronaut()
    got = opened(saved(picture, kind, **options)).rgb
    assert difference(got, np.asarray(picture)) <= (1.5 if kind == "AVIF" else 0)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "GIF"])
def test_lossy_formats_come_close(kind: str) -> None:
    picture = astronaut()
    got = opened(saved(picture, kind)).rgb
    assert difference(got, np.asarray(picture)) < 9


def test_jpeg_is_exactly_what_its_decoder_gives_even_over_many_strips() -> None:
    data = saved(astronaut((1603, 1201)), "JPEG", quality=90)  # odd sizes: strips do not divide the height
    assert (opened(data).rgb == np.asarray(Image.open(io.BytesIO(data)))).all()


def test_heic_comes_close_and_is_not_turned_twice() -> None:
    for name in ("astronaut.heic", "turned.heic"):
        got = opened((SEEDS / name).read_bytes())
        assert got.header.format == "HEIC"
        assert difference(got.rgb, np.asarray(astronaut())) < 9, name


def test_heic_transparency_is_kept() -> None:
    got = opened((SEEDS / "alpha.heic").read_bytes())
    assert got.alpha is not None
    assert got.alpha[0].mean() < 5
    assert got.alpha[-1].mean() > 250


def test_opening_heic_leaves_pillows_own_formats_alone() -> None:
    opened((SEEDS / "astronaut.heic").read_bytes())
    assert "HEIF" not in Image.registered_extensions().values()


def test_animations_give_their_first_frame() -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert (opened(data).rgb == (255, 0, 0)).all(), kind


def test_a_jpeg_with_a_second_picture_gives_its_first() -> None:
    data = saved(astronaut(), "MPO", save_all=True, append_images=[Image.new("RGB", (160, 120), "red")])
    got = opened(data)
    assert got.header.format == "JPEG"
    assert difference(got.rgb, np.asarray(astronaut())) < 9


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_alone_turns_no_picture(kind: str) -> None:
    """It often stays behind when a program has turned the pixels and taken the orientation out of the EXIF."""
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        data = saved(astronaut(), kind, pnginfo=text)
    else:
        data = saved(
            astronaut(), kind, **({"tiffinfo": {700: packet}} if kind == "TIFF" else {"xmp": packet})
        )
    assert b"Orientation" in data
    got = opened(data)
    assert (got.header.width, got.header.height) == astronaut().size
    assert difference(got.rgb, np.asarray(astronaut())) < 9


@pytest.mark.parametrize("kind", ["AVIF", "WEBP"])
def test_a_pillow_built_without_a_decoder_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(feature: str) -> bool:
        return feature not in ("avif", "webp")

    data = saved(astronaut(), kind)
    monkeypatch.setattr(pillow.features, "check", lacking)
    with pytest.raises(PhotoError, match="Pillow was built without") as caught:
        opened(data)
    assert caught.value.reason is Reason.NEEDS_DECODER


# --- modes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    grey = astronaut().convert("L")
    got = opened(saved(grey, kind)).rgb
    assert (got[..., 0] == got[..., 1]).all()
    assert (got[..., 0] == got[..., 2]).all()
    assert difference(got[..., 0], np.asarray(grey)) < 5


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "BMP"])
def test_palettes_become_colours(kind: str) -> None:
    palette = astronaut().quantize(64)
    assert (opened(saved(palette, kind)).rgb == np.asarray(palette.convert("RGB"))).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_black_and_white_becomes_0_and_255(kind: str) -> None:
    bits = astronaut().convert("1")
    got = opened(saved(bits, kind)).rgb
    assert set(np.unique(got)) == {0, 255}
    assert (got[..., 0] == np.asarray(bits.convert("L"))).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_not_a_negative(kind: str) -> None:
    # Adobe writes CMYK JPEGs inverted; read plainly, skin turns blue.
    got = opened(saved(astronaut().convert("CMYK"), kind, quality=95)).rgb
    assert difference(got, np.asarray(astronaut())) < 12


def test_lab_tiff_is_converted() -> None:
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    picture = ImageCms.profileToProfile(astronaut(), srgb, lab, outputMode="LAB")
    assert picture is not None
    picture.info.pop("icc_profile", None)
    assert difference(opened(saved(picture, "TIFF")).rgb, np.asarray(astronaut())) < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_upper_byte(kind: str) -> None:
    ramp = np.linspace(0, 65535, 4096).reshape(64, 64).astype(np.uint16)
    assert (opened(saved(Image.fromarray(ramp), kind)).rgb[..., 1] == ramp >> 8).all()


def test_float_grey_counts_one_as_white() -> None:
    ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    got = opened(saved(Image.fromarray(ramp), "TIFF")).rgb[..., 0]
    assert difference(got, np.round(ramp * 255).astype(np.uint8)) < 0.1


# --- transparency


def half_seen() -> tuple[Image.Image, NDArray[np.uint8]]:
    alpha = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (120, 1))
    picture = astronaut()
    picture.putalpha(Image.fromarray(alpha))
    return picture, alpha


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True}), ("AVIF", {})],
)
def test_alpha_is_kept_straight(kind: str, options: dict[str, object]) -> None:
    picture, alpha = half_seen()
    got = opened(saved(picture, kind, **options))
    assert got.header.has_alpha
    assert got.alpha is not None
    assert got.alpha.shape == (120, 160)
    assert difference(got.alpha, alpha) < 2
    seen = alpha > 200
    assert difference(got.rgb[seen], np.asarray(astronaut())[seen]) < 5


def test_grey_with_alpha_is_kept() -> None:
    picture, alpha = half_seen()
    got = opened(saved(picture.convert("LA"), "PNG"))
    assert got.alpha is not None
    assert (got.alpha == alpha).all()
    assert (got.rgb[..., 0] == np.asarray(astronaut().convert("L"))).all()


def test_transparent_palette_entries_are_kept() -> None:
    palette = astronaut().quantize(16)
    for kind in ("PNG", "GIF"):
        got = opened(saved(palette, kind, transparency=3))
        assert got.alpha is not None
        assert set(np.unique(got.alpha)) == {0, 255}


def test_around_a_picture_that_fills_a_part_of_its_gif_there_is_nothing() -> None:
    data = bytearray(saved(astronaut((40, 30)).quantize(64), "GIF"))
    whole = opened(bytes(data))
    head = 13 + 3 * (2 << (data[10] & 7))
    picture = data.index(b"\x2c\0\0\0\0\x28\0\x1e\0", head)
    struct.pack_into("<2H", data, 6, 60, 50)
    struct.pack_into("<2H", data, picture + 1, 7, 9)
    got = opened(bytes(data))
    assert got.alpha is not None
    assert (got.rgb[9:39, 7:47] == whole.rgb).all()
    assert got.alpha[9:39, 7:47].min() == 255
    assert int(got.alpha.astype(int).sum()) == 255 * 40 * 30


def test_a_transparent_colour_of_a_true_colour_png_is_kept() -> None:
    picture = Image.new("RGB", (8, 8), "red")
    picture.paste("blue", (0, 0, 4, 8))
    got = opened(saved(picture, "PNG", transparency=(0, 0, 255)))
    assert got.alpha is not None
    assert got.alpha[0].tolist() == [0] * 4 + [255] * 4


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_grey_of_a_png_of_any_depth_is_kept(bits: int) -> None:
    most = (1 << bits) - 1
    values = [number % (most + 1) for number in range(8)]
    row = int("".join(f"{value:0{bits}b}" for value in values), 2).to_bytes(bits, "big")
    head = struct.pack(">IIBBBBB", 8, 8, bits, 0, 0, 0, 0)
    key = chunk(b"tRNS", struct.pack(">H", 1))
    packed = chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
    got = opened(png.SIGNATURE + chunk(b"IHDR", head) + key + packed + chunk(b"IEND", b""))
    assert got.rgb[0, :, 0].tolist() == [value * (255 // most) for value in values]
    assert got.alpha is not None
    assert got.alpha[0].tolist() == [0 if value == 1 else 255 for value in values]


def test_an_opaque_alpha_channel_is_no_alpha() -> None:
    picture = astronaut()
    picture.putalpha(255)
    assert opened(saved(picture, "PNG")).alpha is None


# --- orientation

STORED: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda im: im,
    2: lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda im: im.transpose(Image.Transpose.ROTATE_180),
    4: lambda im: im.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda im: im.transpose(Image.Transpose.TRANSPOSE),
    6: lambda im: im.transpose(Image.Transpose.ROTATE_90),
    7: lambda im: im.transpose(Image.Transpose.TRANSVERSE),
    8: lambda im: im.transpose(Image.Transpose.ROTATE_270),
}


# Without effort for small files. AVIF's encoder moves the orientation into the container: it must not be turned twice.
QUICKLY: dict[str, dict[str, object]] = {
    "PNG": {"compress_level": 1},
    "WEBP": {"lossless": True, "exact": True, "method": 0},
    "AVIF": {"speed": 10},
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_every_orientation_in_every_format_stands_upright(kind: str, orientation: int) -> None:
    upright, alpha = half_seen()
    upright = upright.resize((720, 610))  # more than one strip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = STORED[orientation](upright)
    if kind == "JPEG":
        stored = stored.convert("RGB")
    got = opened(saved(stored, kind, exif=exif, **QUICKLY.get(kind, {})))
    want = np.asarray(upright.convert("RGB"))
    assert difference(got.rgb, want) < (0.01 if kind in ("PNG", "TIFF", "WEBP") else 8)
    if kind != "JPEG":
        assert got.alpha is not None
        assert difference(got.alpha, np.asarray(upright.getchannel("A"))) < (0.01 if kind != "AVIF" else 2)
    assert alpha.shape == (120, 160)


@pytest.mark.parametrize("value", [0, 9, 77, 65535])
def test_a_nonsense_orientation_is_no_orientation(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert opened(saved(astronaut(), "PNG", exif=exif)).rgb.shape == (120, 160, 3)


def test_an_orientation_behind_the_pixels_of_a_png_is_seen_in_the_header() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(astronaut(), "PNG", exif=exif)
    at = data.index(b"eXIf") - 4
    size = int.from_bytes(data[at : at + 4], "big") + 12
    moved = data[:at] + data[at + size : -12] + data[at : at + size] + data[-12:]
    header = read_header(moved, "x.png", LIMITS)
    assert (header.width, header.height, header.orientation) == (120, 160, 6)
    assert opened(moved).rgb.shape == (160, 120, 3)


def test_resolution_is_read_where_it_makes_sense() -> None:
    assert opened(saved(astronaut(), "JPEG", dpi=(300, 300))).dpi == (300, 300)
    assert opened(saved(astronaut(), "JPEG", dpi=(1, 1))).dpi is None
    assert opened(saved(astronaut(), "JPEG")).dpi is None


# --- real camera files


def camera_files() -> list[Path]:
    skipped = {"", ".rst", ".md"}
    folder = SHARED / "exif-samples"
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in skipped)


def is_dear(path: Path) -> bool:
    """Three of the HEIC files, each of which takes a second; smaller ones of two other sources do not."""
    return path.suffix.lower() in (".heic", ".heif") and path.stat().st_size > 850_000


@needs_shared
@pytest.mark.parametrize("dear", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_every_camera_file_opens_or_fails_by_name(*, dear: bool) -> None:
    files = [path for path in camera_files() if is_dear(path) is dear]
    assert len(files) >= (3 if dear else 90)
    refused: list[str] = []
    for path in files:
        try:
            opened(read_bytes(path, LIMITS).data, path.name)
        except PhotoError as exc:
            refused.append(f"{path.name}: {exc.reason}")
    # The collection's own broken file: its scan ends too early. All others, with trailers or without an end, are read.
    assert refused == ([] if dear else ["corrupted.jpg: unreadable"])


@needs_shared
@pytest.mark.parametrize("kind", ["landscape", "portrait"])
@pytest.mark.parametrize("folder", ["orientation", "exif-samples/jpg/orientation"])
def test_the_eight_orientations_of_a_camera_give_one_picture(folder: str, kind: str) -> None:
    files = sorted(p for p in (SHARED / folder).iterdir() if p.name.lower().startswith(kind))
    assert len(files) >= 8
    first = np.asarray(Image.fromarray(opened(files[0].read_bytes()).rgb).resize((60, 60)))
    for path in files[1:]:
        again = np.asarray(Image.fromarray(opened(path.read_bytes()).rgb).resize((60, 60)))
        assert difference(again, first) < 6, path
