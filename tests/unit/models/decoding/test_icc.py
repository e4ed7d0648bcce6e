"""Profiles as bytes: what they say, and that a rebuilt one says nothing else."""

# scikit-image and parts of Pillow are untyped; a test may look inside a module.
# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from cutoutd.models.decoding import icc, icctags


def profile(data: bytes) -> Any:
    return ImageCms.ImageCmsProfile(io.BytesIO(data))


def test_made_profiles_are_read_by_littlecms_with_the_standards_colorants() -> None:
    made = profile(icc.srgb_icc()).profile
    red, green, blue = made.red_colorant, made.green_colorant, made.blue_colorant
    assert red is not None
    assert green is not None
    assert blue is not None
    # IEC 61966-2-1 adapted to D50, as in every published sRGB profile.
    assert red[0] == pytest.approx((0.4361, 0.2225, 0.0139), abs=2e-4)
    assert green[0] == pytest.approx((0.3851, 0.7169, 0.0971), abs=2e-4)
    assert blue[0] == pytest.approx((0.1431, 0.0606, 0.7139), abs=4e-4)
    assert made.xcolor_space.strip() == "RGB"


def test_the_same_profile_is_always_the_same_bytes() -> None:
    icc.srgb_icc.cache_clear()
    first = icc.srgb_icc()
    icc.srgb_icc.cache_clear()
    assert icc.srgb_icc() == first
    assert len(first) < 600


def test_srgb_is_known_by_its_numbers_whoever_made_it() -> None:
    theirs = profile_bytes("sRGB")
    assert theirs != icc.srgb_icc()
    assert icc.looks_like_srgb(theirs)
    assert icc.looks_like_srgb(icc.srgb_icc())


def profile_bytes(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [icc.display_p3_icc(), icc.adobe_rgb_icc(), b"", b"x" * 500])
def test_other_spaces_and_rubbish_are_not_srgb(other: bytes) -> None:
    assert not icc.looks_like_srgb(other)


def test_the_gamma_of_a_curve_counts() -> None:
    same_primaries = icc.matrix_profile(icc._SRGB, icc._gamma_tag(1.8))
    assert not icc.looks_like_srgb(same_primaries)


def test_a_rebuilt_profile_shows_the_same_colours() -> None:
    pixels = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for original in (icc.adobe_rgb_icc(), icc.display_p3_icc(), profile_bytes("sRGB")):
        rebuilt = icc.rebuild(original)
        assert rebuilt is not None
        srgb = ImageCms.createProfile("sRGB")
        before = ImageCms.profileToProfile(pixels, profile(original), srgb)
        after = ImageCms.profileToProfile(pixels, profile(rebuilt), srgb)
        assert np.abs(np.asarray(before).astype(int) - np.asarray(after).astype(int)).max() <= 1


def test_a_rebuilt_profile_carries_no_name_date_maker_or_private_tag() -> None:
    secret = b"Serial 12345 of Jane's screen"
    original = bytearray(with_tag(icc.adobe_rgb_icc(), b"mmod", b"mmod\0\0\0\0" + secret))
    original[24:36] = bytes([7, 234, 0, 11, 0, 3, 0, 9, 0, 30, 0, 1])  # 2026-11-03 09:30:01
    original[48:56] = b"JANEX100"  # device maker and model
    original[80:84] = b"JANE"  # creator
    rebuilt = icc.rebuild(bytes(original))
    assert rebuilt is not None
    assert secret not in rebuilt
    assert b"JANE" not in rebuilt
    assert rebuilt[24:36] == bytes(12)
    assert set(icc._tags(rebuilt)) <= icctags.COLOUR_TAGS | {b"desc", b"cprt"}
    opened = profile(rebuilt).profile
    assert (opened.profile_description, opened.manufacturer, opened.model) == ("RGB", None, None)


def test_a_text_hidden_under_a_colour_tags_name_is_dropped() -> None:
    rebuilt = icc.rebuild(with_tag(icc.adobe_rgb_icc(), b"gamt", b"text\0\0\0\0Jane was here"))
    assert rebuilt is not None
    assert b"Jane" not in rebuilt


def test_bytes_behind_a_colour_tags_own_numbers_are_dropped() -> None:
    curve = icc.srgb_curve_tag()
    rebuilt = icc.rebuild(with_tag(icc.adobe_rgb_icc(), b"rTRC", curve + b"Jane was here"))
    assert rebuilt is not None
    assert b"Jane" not in rebuilt


def with_tag(data: bytes, name: bytes, body: bytes) -> bytes:
    header = icc.header_of(data)
    assert header is not None
    return icc._assemble(header, {**{one: bytes(tag) for one, tag in icc._tags(data).items()}, name: body})


@pytest.mark.parametrize(
    ("at", "said"),
    [(10, b"JA"), (12, b"JANE"), (16, b"link"), (20, b"Jane")],
    ids=["version", "class", "space", "pcs"],
)
def test_the_few_fields_that_are_taken_over_say_no_more_than_they_must(at: int, said: bytes) -> None:
    original = icc.adobe_rgb_icc()
    rebuilt = icc.rebuild(original[:at] + said + original[at + len(said) :])
    assert rebuilt is None or said not in rebuilt


def test_many_names_for_the_same_bytes_take_no_more_room_than_they_do() -> None:
    """Two hundred tags may each be the whole profile, and every one a curve of eight million numbers."""
    size = icc.MAX_PROFILE_BYTES
    names = [*icctags.COLOUR_TAGS, *(b"%04d" % number for number in range(200))]
    table = b"".join(struct.pack(">4sII", name, 4096, size - 4096) for name in names)
    head = icc.adobe_rgb_icc()[:128] + struct.pack(">I", len(names)) + table
    curve = b"curv\0\0\0\0" + struct.pack(">I", (size - 4096 - 12) // 2)
    hostile = head.ljust(4096, b"\0") + curve.ljust(size - 4096, b"J")
    tracemalloc.start()
    try:
        icc.looks_like_srgb(hostile)
        rebuilt = icc.rebuild(hostile)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rebuilt is None
    assert most < 8 * size


def test_no_rgb_profile_no_rebuilding() -> None:
    assert icc.rebuild(b"junk") is None
    assert icc.rebuild(bytes(600)) is None


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_paper_white_becomes_white(transfer: int) -> None:
    made = icc.cicp_icc(9, transfer)
    assert made is not None
    # 203 cd/m² is 0.5806 in PQ and 0.75 in HLG (ITU-R BT.2408).
    white = 148 if transfer == 16 else 191
    grey = Image.new("RGB", (1, 1), (white, white, white))
    seen = ImageCms.profileToProfile(grey, profile(made), ImageCms.createProfile("sRGB"))
    assert seen is not None
    assert min(seen.getpixel((0, 0))) >= 250  # type: ignore[arg-type]
    dark = ImageCms.profileToProfile(
        Image.new("RGB", (1, 1), (60, 60, 60)), profile(made), ImageCms.createProfile("sRGB")
    )
    assert dark is not None
    assert max(dark.getpixel((0, 0))) < 120  # type: ignore[arg-type]


# Red, green, blue and white of H.273, table 2.
PRIMARIES = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290)),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), (0.3127, 0.3290)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), (0.3127, 0.3290)),
}
BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))


def to_xyz(primaries: int) -> tuple[Any, Any]:
    """From linear light to XYZ, and the white."""
    *colours, (x, y) = PRIMARIES[primaries]
    white = np.array((x / y, 1, (1 - x - y) / y))
    matrix = np.array([(x, y, 1 - x - y) for x, y in colours]).T
    return matrix * np.linalg.solve(matrix, white), white


def srgb_light(stored: Any) -> Any:
    """Linear light of what sRGB stores."""
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)


LIGHT: dict[int, Callable[[Any], Any]] = {
    4: lambda v: v**2.2,
    5: lambda v: v**2.8,
    8: lambda v: v,
    13: srgb_light,
    17: lambda v: np.minimum(v**2.6 * 52.37 / 48, 1),
}


@pytest.mark.parametrize("primaries", PRIMARIES)
@pytest.mark.parametrize("transfer", LIGHT)
def test_code_points_are_what_the_standard_says(primaries: int, transfer: int) -> None:
    stored = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    (source, white), (srgb, daylight) = to_xyz(primaries), to_xyz(1)
    adapted = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ daylight) / (BRADFORD @ white)) @ BRADFORD
    linear = np.clip(LIGHT[transfer](stored / 255) @ (np.linalg.inv(srgb) @ adapted @ source).T, 0, 1)
    meant = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    made = icc.cicp_icc(primaries, transfer)
    seen = Image.fromarray(stored)
    if made is not None:
        relative = ImageCms.Intent.RELATIVE_COLORIMETRIC
        seen = ImageCms.profileToProfile(
            seen, profile(made), profile(icc.srgb_icc()), renderingIntent=relative
        )
    assert np.abs(np.asarray(seen) - meant).max() < 2


def test_code_points_that_mean_srgb_need_no_profile() -> None:
    for primaries, transfer in ((1, 13), (2, 2), (1, 1), (1, 6), (2, 14)):
        assert icc.cicp_icc(primaries, transfer) is None
