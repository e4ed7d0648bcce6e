"""All 16 bits of a file, in every layout that editors write; floats and separate planes too."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import icc
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)
DEEP = np.random.default_rng(5).integers(0, 65536, (41, 53, 3), dtype=np.uint16)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    if options.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    write: Any = tifffile.imwrite
    write(out, pixels, **{"photometric": "rgb", **options})
    return out.getvalue()


def opened(data: bytes, **options: Any) -> Photo:
    return decode(data, read_header(data, "scan.tif", LIMITS), **options)


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"byteorder": ">"},
    {"planarconfig": "separate"},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "zlib", "predictor": True, "byteorder": ">"},
    {"rowsperstrip": 7},
    {"tile": (16, 16)},
    {"tile": (16, 16), "compression": "zlib"},
    {"bigtiff": True},
    {"bigtiff": True, "byteorder": ">"},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_all_sixteen_bits_arrive_in_every_layout(layout: dict[str, Any]) -> None:
    data = tiff(DEEP, **layout)
    header = read_header(data, "scan.tif", LIMITS)
    assert (header.width, header.height, header.bits) == (53, 41, 16)
    photo = opened(data, colour="keep-profile", want_16bit=True)
    assert photo.rgb16 is not None
    assert photo.rgb16.dtype == np.uint16
    assert (photo.rgb16 == DEEP).all()
    assert (photo.rgb == DEEP >> 8).all()


def test_compressed_separate_planes_come_with_eight_bits_and_say_so() -> None:
    data = tiff(DEEP, planarconfig="separate", compression="zlib")
    photo = opened(data, colour="keep-profile", want_16bit=True)
    assert (photo.rgb == DEEP >> 8).all()
    assert photo.rgb16 is None
    assert any("8 bits" in note for note in photo.notes)


def test_without_being_asked_nothing_extra_is_decoded() -> None:
    assert opened(tiff(DEEP)).rgb16 is None


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_sixteen_bits_stand_upright_too(orientation: int, planar: str) -> None:
    data = tiff(DEEP, planarconfig=planar, extratags=[(274, 3, 1, orientation, True)])
    photo = opened(data, colour="keep-profile", want_16bit=True)
    want = {
        3: DEEP[::-1, ::-1],
        5: DEEP.transpose(1, 0, 2),
        6: np.rot90(DEEP, -1),
        8: np.rot90(DEEP),
    }[orientation]
    assert photo.rgb16 is not None
    assert (photo.rgb16 == want).all()
    assert (photo.rgb == want >> 8).all()
    assert (photo.header.width, photo.header.height) == (want.shape[1], want.shape[0])


def test_sixteen_bit_alpha_keeps_its_upper_byte() -> None:
    four = np.dstack([DEEP, DEEP[..., 0]])
    photo = opened(tiff(four, extrasamples=["unassalpha"]), colour="keep-profile", want_16bit=True)
    assert photo.rgb16 is not None
    assert (photo.rgb16 == DEEP).all()
    assert photo.alpha is not None
    assert (photo.alpha == DEEP[..., 0] >> 8).all()


@pytest.mark.parametrize("layout", ["contig float", "separate float", "separate whole"])
def test_colours_multiplied_by_their_alpha_are_divided_by_it(layout: str) -> None:
    planar, kind = layout.split()
    share = np.linspace(0, 1, 53)[np.newaxis].repeat(41, 0)
    floats = np.dstack([DEEP / 65535 * share[..., np.newaxis], share])
    stored: Any = floats.astype(np.float32) if kind == "float" else np.round(floats * 65535).astype(np.uint16)
    photo = opened(tiff(stored, planarconfig=planar, extrasamples=["assocalpha"]))
    assert photo.alpha is not None
    assert np.abs(photo.alpha - share * 255).max() <= 1
    seen = photo.alpha > 2
    assert np.abs(photo.rgb[seen].astype(int) - (DEEP[seen] >> 8)).max() <= 1


def test_lights_beyond_one_do_not_make_a_float_picture_transparent() -> None:
    stored = np.dstack([DEEP / 65535, np.ones((41, 53))]).astype(np.float32)
    stored[0, 0, :3] = 4.0
    assert opened(tiff(stored, extrasamples=["unassalpha"])).alpha is None


def test_white_is_zero_says_nothing_about_alpha() -> None:
    two = np.dstack([65535 - DEEP[..., 0], DEEP[..., 1]])
    photo = opened(tiff(two, photometric="miniswhite", extrasamples=["unassalpha"]))
    assert photo.alpha is not None
    assert (photo.alpha == DEEP[..., 1] >> 8).all()
    assert (photo.rgb == DEEP[..., :1] >> 8).all()


def test_sixteen_bit_grey_arrives_in_three_equal_channels() -> None:
    photo = opened(tiff(DEEP[..., 0], photometric="minisblack"), want_16bit=True)
    assert photo.rgb16 is not None
    assert (photo.rgb16 == DEEP[..., :1]).all()


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_grey_scan_whose_white_is_zero_is_no_negative(
    orientation: int, byteorder: str, compression: str | None
) -> None:
    grey = DEEP[..., 0]
    options: dict[str, Any] = {"byteorder": byteorder, "compression": compression}
    turned = [(274, 3, 1, orientation, True)]
    data = tiff(65535 - grey, photometric="miniswhite", extratags=turned, **options)
    photo = opened(data, want_16bit=True)
    want = {1: grey, 3: grey[::-1, ::-1], 6: np.rot90(grey, -1)}[orientation]
    assert photo.rgb16 is not None
    assert (photo.rgb16 == want[..., np.newaxis]).all()
    assert (photo.rgb == want[..., np.newaxis] >> 8).all()


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_eight_bits_of_a_big_endian_bigtiff_are_read_too(photometric: str) -> None:
    pixels = (DEEP >> 8).astype(np.uint8)
    pixels = pixels if photometric == "rgb" else pixels[..., 0]
    data = tiff(pixels, bigtiff=True, byteorder=">", photometric=photometric)
    photo = opened(data, want_16bit=True)
    assert photo.header.bits == 8
    assert photo.rgb16 is None
    assert (photo.rgb == (pixels if photometric == "rgb" else pixels[..., np.newaxis])).all()


def test_float_grey_whose_white_is_zero_is_no_negative() -> None:
    ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    photo = opened(tiff(1 - ramp, photometric="miniswhite"))
    assert np.abs(photo.rgb[..., 1] - ramp * 255).max() <= 1


def grey_profile(gamma: float) -> bytes:
    """A profile for grey pixels, as scanners write it: one curve and nothing else."""
    tags = {
        b"wtpt": struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061),
        b"kTRC": struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256)),
    }
    head = bytearray(128)
    head[8:24] = b"\x02\x10\0\0mntrGRAYXYZ "
    head[36:40] = b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(value))
        body += value
    head[:4] = struct.pack(">I", len(head) + len(table) + len(body))
    return bytes(head) + table + body


@pytest.mark.parametrize("colour", ["keep-profile", "display-p3", "srgb"])
def test_sixteen_bits_of_converted_grey_are_not_handed_on_beside_the_converted_picture(colour: str) -> None:
    linear = np.linspace(0, 65535, 4096).reshape(64, 64).astype(np.uint16)
    data = tiff(linear, photometric="minisblack", iccprofile=grey_profile(1.0))
    photo = opened(data, colour=colour, want_16bit=True)
    # A fifth of the light is 124 of 255 in the curve of sRGB and of Display P3.
    assert abs(int(photo.rgb.reshape(-1, 3)[819, 0]) - 124) <= 2
    assert photo.rgb16 is None
    assert any("8 bits" in note for note in photo.notes)


def png16(pixels: NDArray[np.uint16], key: tuple[int, ...] = ()) -> bytes:
    """A 16-bit PNG from the standard library, rows filtered with "up" to exercise the decoder.

    key: the value that is transparent, if any.
    """
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    rows = np.vstack([rows[:1], np.diff(rows, axis=0)])
    body = np.hstack([np.full((height, 1), 2, np.uint8), rows]).tobytes()
    head = struct.pack(">2I5B", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + (chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b"")
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [3, 4])
def test_a_sixteen_bit_png_gives_all_bits(channels: int) -> None:
    pixels = DEEP if channels == 3 else np.dstack([DEEP, DEEP[..., 1]])
    photo = opened(png16(pixels), colour="keep-profile", want_16bit=True)
    assert photo.rgb16 is not None
    assert (photo.rgb16 == DEEP).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("want_16bit", [True, False])
def test_the_transparent_value_of_a_sixteen_bit_png_is_compared_whole(
    channels: int, want_16bit: bool
) -> None:
    pixels = np.full((4, 6, channels), 0x1234, np.uint16)
    pixels[:, 1] = 0x1235
    pixels[:, 2] = 0x3412  # what a comparison of single bytes would take for it
    pixels[:, 3] = 0x3434
    photo = opened(png16(pixels, (0x1234,) * channels), want_16bit=want_16bit)
    assert photo.header.has_alpha
    assert photo.alpha is not None
    assert photo.alpha[0].tolist() == [0, 255, 255, 255, 0, 0]
    assert opened(png16(pixels, (0x0101,) * channels)).alpha is None


def test_sixteen_bits_of_a_wide_gamut_are_kept_only_with_their_profile() -> None:
    data = tiff(DEEP, iccprofile=icc.adobe_rgb_icc())
    kept = opened(data, colour="keep-profile", want_16bit=True)
    assert kept.rgb16 is not None
    assert (kept.rgb16 == DEEP).all()
    assert kept.icc is not None
    converted = opened(data, want_16bit=True)
    assert converted.rgb16 is None
    assert any("8 bits" in note for note in converted.notes)


def test_separate_planes_carry_their_profile() -> None:
    photo = opened(tiff(DEEP, planarconfig="separate", iccprofile=icc.adobe_rgb_icc()), colour="keep-profile")
    assert photo.icc is not None


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_float_colours_count_one_as_white(planar: str) -> None:
    floats = (DEEP / 65535).astype(np.float32)
    floats[0, 0] = np.nan
    photo = opened(tiff(floats, planarconfig=planar))
    want = DEEP >> 8
    want[0, 0] = 0
    assert np.abs(photo.rgb.astype(int) - want).max() <= 1


def test_a_depth_that_nothing_reads_says_what_to_do() -> None:
    data = tiff(np.ones((8, 8, 3), np.complex64), photometric="rgb")
    with pytest.raises(PhotoError, match="Export it") as caught:
        opened(data)
    assert caught.value.reason is Reason.UNREADABLE


@pytest.mark.parametrize(
    ("factor", "kind"), [(1, "u4"), (1, "i4"), (257, "u4"), (1 << 24, "u4"), (8421504, "i4")]
)
@pytest.mark.parametrize("packed", [None, "zlib"])
def test_grey_of_thirty_two_bits_is_no_negative_number(factor: int, kind: str, packed: str | None) -> None:
    grey = np.tile(np.arange(256, dtype=np.int64), (40, 1))
    stored = tiff((grey * factor).astype(kind), photometric="minisblack", compression=packed)
    assert np.abs(opened(stored).rgb[:, :, 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("kind", ["i1", "i2"])
def test_grey_with_a_sign_is_asked_for_without(kind: str) -> None:
    """Its darker half came out black, or all of it half as light."""
    stored = tiff(np.tile(np.arange(-100, 100).astype(kind), (40, 1)), photometric="minisblack")
    with pytest.raises(PhotoError, match="of type int") as caught:
        opened(stored)
    assert "Export it" in caught.value.fix


def test_colours_that_nothing_reads_are_asked_for_in_rgb() -> None:
    rgb, unknown = (struct.pack("<HHIHH", 262, 3, 1, meaning, 0) for meaning in (2, 10))
    data = tiff(DEEP, photometric="rgb").replace(rgb, unknown)
    with pytest.raises(PhotoError, match="colours of this TIFF") as caught:
        opened(data)
    assert caught.value.reason is Reason.UNREADABLE
    assert "RGB" in caught.value.fix


def test_limits_hold_for_these_files_too() -> None:
    data = tiff(DEEP.astype(np.float32))
    with pytest.raises(PhotoError) as caught:
        read_header(data, "scan.tif", PhotoLimits(10**9, 0.001))
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_size_that_is_a_list_is_unreadable() -> None:
    data = tiff(DEEP.astype(np.float32))
    lie = data.replace(struct.pack("<HHI", 256, 3, 1), struct.pack("<HHI", 256, 3, 2), 1)
    lie = lie.replace(struct.pack("<HHI", 256, 4, 1), struct.pack("<HHI", 256, 4, 2), 1)
    assert lie != data
    with pytest.raises(PhotoError) as caught:
        read_header(lie, "scan.tif", LIMITS)
    assert caught.value.reason is Reason.UNREADABLE
