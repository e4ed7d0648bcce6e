"""A photo in any colour space shows the same colours after it: Delta E below 1 on flat patches."""

# scikit-image and parts of Pillow are untyped; a test may look inside a module.
# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from cutoutd.models.decoding import icc
from cutoutd.models.decoding.colour import to_srgb
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)

# From the standards' own texts, not from the code under test: linear RGB to XYZ under D65.
TO_XYZ = {
    "srgb": np.array(
        [
            [0.4123908, 0.3575843, 0.1804808],
            [0.2126390, 0.7151687, 0.0721923],
            [0.0193308, 0.1191948, 0.9505322],
        ]
    ),
    "p3": np.array(
        [[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0.0, 0.0451134, 1.0439444]]
    ),
    "adobe": np.array(
        [
            [0.5766690, 0.1855582, 0.1882286],
            [0.2973450, 0.6273636, 0.0752915],
            [0.0270314, 0.0706889, 0.9913375],
        ]
    ),
    "bt2020": np.array(
        [[0.6369580, 0.1446169, 0.1688810], [0.2627002, 0.6779981, 0.0593017], [0.0, 0.0280727, 1.0609851]]
    ),
}


def srgb_curve(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def adobe_curve(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(linear, 0) ** (256 / 563)


def measures() -> Any:
    """What scikit-image measures colours with; it loads SciPy, for which a mere look at the tests need not wait."""
    import skimage.color

    return skimage.color


def patches() -> NDArray[np.float64]:
    """Linear sRGB of 125 colours, all of them inside sRGB, so that nothing may be clipped."""
    steps = np.array([0.02, 0.1, 0.3, 0.6, 0.95])
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)


def true_lab() -> NDArray[np.float64]:
    return measures().xyz2lab(patches() @ TO_XYZ["srgb"].T)


def in_space(space: str) -> NDArray[np.uint8]:
    """The patches as (25, 40, 3) pixels, each 8 wide, in that space's own numbers."""
    linear = patches() @ TO_XYZ["srgb"].T @ np.linalg.inv(TO_XYZ[space]).T
    encoded = adobe_curve(linear) if space == "adobe" else srgb_curve(linear)
    values = np.round(np.clip(encoded, 0, 1) * 255).astype(np.uint8)
    return np.repeat(values.reshape(25, 5, 3), 8, axis=1)


def png(pixels: NDArray[Any], **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


def opened(data: bytes, colour: str = "srgb") -> Photo:
    return decode(data, read_header(data, "x", LIMITS), colour=colour)  # type: ignore[arg-type]


def worst(photo: Photo) -> float:
    """The largest Delta E (CIEDE2000) of the decoded patches, seen as sRGB."""
    assert photo.icc is None
    return float(
        measures().deltaE_ciede2000(measures().rgb2lab(photo.rgb[:, ::8].reshape(-1, 3)), true_lab()).max()
    )


PROFILES = {"adobe": icc.adobe_rgb_icc(), "p3": icc.display_p3_icc()}


def test_the_measure_itself_sees_an_unconverted_photo() -> None:
    assert worst(opened(png(in_space("adobe")))) > 5


def test_untagged_pixels_are_srgb_and_stay_as_they_are() -> None:
    pixels = in_space("srgb")
    photo = opened(png(pixels))
    assert (photo.rgb == pixels).all()
    assert worst(photo) < 1
    assert photo.notes == ()


@pytest.mark.parametrize("space", ["adobe", "p3"])
def test_a_wide_gamut_photo_shows_the_same_colours_as_srgb(space: str) -> None:
    assert worst(opened(png(in_space(space), icc_profile=PROFILES[space]))) < 1


@pytest.mark.parametrize("space", ["adobe", "p3"])
def test_a_kept_profile_keeps_numbers_and_colours(space: str) -> None:
    pixels = in_space(space)
    photo = opened(png(pixels, icc_profile=PROFILES[space]), "keep-profile")
    assert (photo.rgb == pixels).all()
    assert photo.icc is not None
    assert float(measures().deltaE_ciede2000(through(photo.icc, pixels), true_lab()).max()) < 1


def through(profile: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How a colour-managed viewer shows the patches, as Lab."""
    seen = ImageCms.profileToProfile(
        Image.fromarray(pixels),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    return measures().rgb2lab(np.asarray(seen)[:, ::8].reshape(-1, 3))


@pytest.mark.parametrize("space", ["srgb", "adobe", "p3"])
def test_display_p3_is_made_from_any_space(space: str) -> None:
    options = {} if space == "srgb" else {"icc_profile": PROFILES[space]}
    photo = opened(png(in_space(space), **options), "display-p3")
    assert photo.icc is not None
    assert photo.icc == icc.display_p3_icc()
    assert np.abs(photo.rgb.astype(int) - in_space("p3")).max() <= 2
    assert float(measures().deltaE_ciede2000(through(photo.icc, photo.rgb), true_lab()).max()) < 1


def test_an_srgb_profile_costs_nothing_and_is_not_handed_on() -> None:
    pixels = in_space("srgb")
    for colour in ("srgb", "keep-profile"):
        photo = opened(png(pixels, icc_profile=icc.srgb_icc()), colour)
        assert (photo.rgb == pixels).all()
        assert photo.icc is None


def test_a_camera_set_to_adobe_rgb_without_a_profile_is_understood() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: "R03", 2: b"0100"}}
    out = io.BytesIO()
    Image.fromarray(np.repeat(in_space("adobe"), 8, axis=0)).save(
        out, "JPEG", quality=100, subsampling=0, exif=exif
    )
    photo = opened(out.getvalue())
    got = measures().rgb2lab(photo.rgb[4::8, 4::8].reshape(-1, 3))
    assert float(np.median(measures().deltaE_ciede2000(got, true_lab()))) < 1


def test_code_points_of_a_png_are_understood() -> None:
    data = png(in_space("p3"))
    import zlib

    body = b"cICP" + bytes([12, 13, 0, 1])
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    at = data.index(b"IDAT") - 4
    assert worst(opened(data[:at] + chunk + data[at:])) < 1


# --- grey, CMYK and broken profiles


def gray_icc(gamma: float) -> bytes:
    tags = {
        b"wtpt": icc._xyz_tag((0.9642, 1.0, 0.8249)),
        b"kTRC": icc._gamma_tag(gamma),
    }
    return icc._assemble(icc.Header(b"\x02\x10\0\0", b"mntr", b"GRAY", b"XYZ "), tags)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.6])
def test_a_grey_profile_is_applied(gamma: float) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    photo = opened(png(ramp, icc_profile=gray_icc(gamma)))
    want = np.round(srgb_curve((ramp / 255) ** gamma) * 255)
    assert np.abs(photo.rgb[0, :, 1].astype(int) - want[0]).max() <= 1
    assert (photo.rgb[..., 0] == photo.rgb[..., 2]).all()


def cmyk_icc() -> bytes:
    """A printer whose paper is white and whose inks are perfect filters: RGB = (1 - ink)(1 - black)."""
    grid = 9
    axis = np.linspace(0, 1, grid)
    c, m, y, k = np.meshgrid(axis, axis, axis, axis, indexing="ij")
    rgb = np.stack([(1 - c) * (1 - k), (1 - m) * (1 - k), (1 - y) * (1 - k)], axis=-1)
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_d50 = np.array(  # sRGB to XYZ adapted to D50 (Bradford), as the profile connection space wants it
        [
            [0.4360747, 0.3850649, 0.1430804],
            [0.2225045, 0.7168786, 0.0606169],
            [0.0139322, 0.0971045, 0.7141733],
        ]
    )
    lab = measures().xyz2lab(light @ to_d50.T, illuminant="D50")
    # Lab of mft2: L 0..100 to 0..0xFF00, a and b -128..127 to 0..0xFF00 and 0x8000 as zero.
    table = np.stack([lab[..., 0] / 100 * 0xFF00, lab[..., 1] * 256 + 0x8000, lab[..., 2] * 256 + 0x8000], -1)
    ends = struct.pack(">2H", 0, 65535)
    lut = struct.pack(">4s4x4B", b"mft2", 4, 3, grid, 0)
    lut += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536) + struct.pack(">2H", 2, 2)
    lut += ends * 4 + np.clip(np.round(table), 0, 65535).astype(">u2").tobytes() + ends * 3
    return icc._assemble(icc.Header(b"\x02\x10\0\0", b"prtr", b"CMYK", b"Lab "), {b"A2B0": lut})


def test_srgb_needs_no_way_to_srgb_and_rubbish_has_none() -> None:
    assert to_srgb(None) is None
    with pytest.raises(ValueError, match="no profile"):
        to_srgb(b"rubbish")


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(kind: str) -> None:
    # Patches on the profile's own grid, where its table is exact: what remains is arithmetic. A JPEG of flat
    # 8 by 8 blocks at full quality loses nothing.
    levels = np.array([0, 64, 128, 191])
    inks = np.stack(np.meshgrid(levels, levels, levels, [0, 64]), axis=-1).reshape(16, 8, 4).astype(np.uint8)
    pixels = np.repeat(np.repeat(inks, 8, axis=0), 8, axis=1)
    out = io.BytesIO()
    picture = Image.frombytes("CMYK", (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    options = {"quality": 100} if kind == "JPEG" else {}
    picture.save(out, kind, icc_profile=cmyk_icc(), **options)
    photo = opened(out.getvalue())
    ink = inks / 255
    want = measures().rgb2lab((1 - ink[..., :3]) * (1 - ink[..., 3:])).reshape(-1, 3)
    got = measures().rgb2lab(photo.rgb[4::8, 4::8].reshape(-1, 3))
    assert float(measures().deltaE_ciede2000(got, want).max()) < 1
    assert photo.icc is None


def test_a_cmyk_profile_cannot_be_kept_and_that_is_said() -> None:
    out = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 100, 100, 0)).save(out, "TIFF", icc_profile=cmyk_icc())
    photo = opened(out.getvalue(), "keep-profile")
    assert photo.icc is None
    assert any("kept" in note for note in photo.notes)


@pytest.mark.parametrize("colour", ["srgb", "keep-profile", "display-p3"])
@pytest.mark.parametrize(
    "broken",
    [
        b"not a profile",
        bytes(500),
        icc.adobe_rgb_icc()[:200],
        cmyk_icc(),
        icc.adobe_rgb_icc()[:128] + b"\xff" * 400,
    ],
)
def test_a_broken_or_unfitting_profile_is_ignored_with_a_note(broken: bytes, colour: str) -> None:
    pixels = in_space("srgb")
    photo = opened(png(pixels, icc_profile=broken), colour)
    assert photo.rgb.shape == pixels.shape
    if colour != "display-p3":
        assert (photo.rgb == pixels).all()
    assert any("profile" in note for note in photo.notes)


def test_grey_under_an_rgb_profile_is_neutral() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    photo = opened(png(ramp, icc_profile=icc.adobe_rgb_icc()))
    spread = photo.rgb.max(axis=2).astype(int) - photo.rgb.min(axis=2)
    assert spread.max() <= 1


def test_transparency_goes_untouched_through_colour_conversion() -> None:
    alpha = np.tile(np.arange(200, dtype=np.uint8), (25, 1))[:, :40]
    photo = opened(png(np.dstack([in_space("p3"), alpha]), icc_profile=icc.display_p3_icc()))
    assert photo.alpha is not None
    assert (photo.alpha == alpha).all()
    assert worst(photo) < 1


def test_the_profile_of_a_bitmap_counts() -> None:
    profile = icc.adobe_rgb_icc()
    image = (
        Image.radial_gradient("L")
        .convert("RGB")
        .point([*range(256), *(255 - v for v in range(256)), *range(256)])
    )
    files = {kind: io.BytesIO() for kind in ("BMP", "PNG")}
    image.save(files["BMP"], "BMP")
    image.save(files["PNG"], "PNG", icc_profile=profile)
    plain, png = (files[kind].getvalue() for kind in ("BMP", "PNG"))
    pixels = plain[54:]
    header = struct.pack("<I", 124) + plain[18:54] + bytes(16) + b"DEBM" + bytes(48)
    header += struct.pack("<4I", 4, 124 + len(pixels), len(profile), 0)
    data = (
        b"BM" + struct.pack("<IHHI", 138 + len(pixels) + len(profile), 0, 0, 138) + header + pixels + profile
    )
    seen, meant = (decode(one, read_header(one, "x", LIMITS)).rgb for one in (data, png))
    assert (seen == meant).all()
    assert (seen != np.asarray(image)).any()


@pytest.mark.parametrize("told", [(1, 13), (12, 13), (2, 2), (9, 8)])
def test_a_png_of_narrow_range_shows_what_one_of_full_range_does(told: tuple[int, int]) -> None:
    ramp = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    values = np.dstack((ramp, 255 - ramp, np.full_like(ramp, 90)))
    narrow = np.round(values.astype(float) * 219 / 255 + 16).astype(np.uint8)

    def seen(pixels: NDArray[np.uint8], full: int) -> NDArray[np.uint8]:
        chunks = PngImagePlugin.PngInfo()
        chunks.add(b"cICP", bytes((*told, 0, full)))
        made = io.BytesIO()
        Image.fromarray(pixels).save(made, "PNG", pnginfo=chunks)
        return decode(made.getvalue(), read_header(made.getvalue(), "x.png", LIMITS)).rgb

    # Steps are 255 / 219 as far apart, and linear light is steep where it is dark.
    most = 6 if told != (9, 8) else 20
    assert np.abs(seen(narrow, 0).astype(int) - seen(values, 1)).max() <= most


@pytest.mark.parametrize("down", [False, True])
def test_the_one_bit_of_alpha_of_a_bitmap_counts(down: bool) -> None:
    opaque = np.zeros((6, 5), bool)
    opaque[1:4, 2:] = True
    rows = np.pad(np.where(opaque, 0x8000 | 0x7C00, 0x03E0).astype("<u2"), ((0, 0), (0, 1)))
    pixels = (rows if down else rows[::-1]).tobytes()
    header = struct.pack("<IiiHHIIiiII", 108, 5, -6 if down else 6, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    header += struct.pack("<4I", 0x7C00, 0x03E0, 0x1F, 0x8000) + bytes(52)
    data = b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + header + pixels
    photo = decode(data, read_header(data, "x.bmp", LIMITS))
    assert photo.alpha is not None
    assert ((photo.alpha == 255) == opaque).all()
    assert (photo.rgb[2, 3] == (255, 0, 0)).all()


def test_the_smallest_bitmap_of_all_is_read() -> None:
    """It is shorter than the headers of its successors, in which that bit was looked for."""
    data = b"BM" + struct.pack("<IHHII4H", 30, 0, 0, 26, 12, 1, 1, 1, 24) + b"\1\2\3\0"
    photo = decode(data, read_header(data, "x.bmp", LIMITS))
    assert (photo.rgb == (3, 2, 1)).all()
