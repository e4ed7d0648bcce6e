"""A JPEG 2000 whose container names its colours comes in these colours."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.support.boxes import box
from tests.support.format_cases import picture, saved
from tests.support.profiles import inks_icc

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import icc, jp2
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)


def named(data: bytes, way: int, content: bytes) -> bytes:
    """The same file with another box about its colours."""
    head, colr = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    length, old = (int.from_bytes(data[at : at + 4], "big") for at in (head, colr))
    new = box(b"colr", bytes((way, 0, 0)) + content)
    header = data[head + 8 : colr] + new + data[colr + old : head + length]
    return data[:head] + box(b"jp2h", header) + data[head + length :]


def small() -> Image.Image:
    return picture().resize((150, 100))


def opened(data: bytes) -> Photo:
    return decode(data, read_header(data, "photo.jp2", LIMITS))


def lossless(image: Image.Image) -> bytes:
    return saved("JPEG2000", image, irreversible=False, no_jp2=False)


@pytest.mark.parametrize("way", [2, 3])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_counts_as_in_every_other_format(way: int, mode: str) -> None:
    profile = icc.adobe_rgb_icc()
    seen = opened(named(lossless(small().convert(mode)), way, profile)).rgb
    assert (seen == opened(saved("PNG", small(), icc_profile=profile)).rgb).all()
    assert np.abs(seen.astype(int) - np.asarray(small())).mean() > 3


def test_four_inks_are_no_transparency() -> None:
    profile = inks_icc()
    inks = small().convert("CMYK")
    data = named(lossless(Image.frombytes("RGBA", inks.size, inks.tobytes())), 2, profile)
    assert not read_header(data, "photo.jp2", LIMITS).has_alpha
    photo = opened(data)
    assert photo.alpha is None
    assert (photo.rgb == opened(saved("TIFF", inks, icc_profile=profile)).rgb).all()


def test_wide_colours_by_number() -> None:
    romm = icc.calibrated_icc(
        icc.Chromaticities((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), 1.8
    )
    steps = ImageCms.profileToProfile(
        small(), ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(romm))
    )
    assert steps is not None
    seen = opened(named(lossless(steps), 1, struct.pack(">I", 21))).rgb
    assert np.abs(seen.astype(int) - np.asarray(small())).mean() < 2


@pytest.mark.parametrize("number", [1, 3, 14, 19, 20, 99])
def test_colours_that_are_not_read_are_refused_and_not_taken_for_others(number: int) -> None:
    with pytest.raises(PhotoError, match="stored in a way that cutoutd does not read") as raised:
        opened(named(lossless(small()), 1, struct.pack(">I", number)))
    assert raised.value.reason is Reason.UNREADABLE


@pytest.mark.parametrize("content", [icc.adobe_rgb_icc()[:40], b"x" * 400])
def test_a_damaged_box_costs_no_photo(content: bytes) -> None:
    seen = opened(named(lossless(small()), 2, content)).rgb
    assert (seen == np.asarray(small())).all()


def test_a_bare_codestream_names_nothing() -> None:
    data = saved("JPEG2000", small(), irreversible=False, no_jp2=True)
    assert jp2.colours(data) == jp2.Colours()
    assert (opened(data).rgb == np.asarray(small())).all()


# --- channels


def stored_as(bands: list[Image.Image], cdef: list[tuple[int, int, int]]) -> bytes:
    """Channels in the order in which they are given, and a box that says what each of them is."""
    values = np.dstack([np.asarray(band) for band in bands])
    image = Image.fromarray(values[:, :, 0] if len(bands) == 1 else values)
    data = lossless(image)
    head = data.index(b"jp2h") - 4
    length = int.from_bytes(data[head : head + 4], "big")
    said = box(b"cdef", struct.pack(">H", len(cdef)) + b"".join(struct.pack(">3H", *one) for one in cdef))
    header = data[head + 8 : head + length]
    written = header.find(b"cdef") - 4  # its writer takes a last channel for transparency
    header = header[:written] if written >= 0 else header
    return data[:head] + box(b"jp2h", header + said) + data[head + length :]


def fading(size: tuple[int, int]) -> Image.Image:
    return Image.linear_gradient("L").resize(size)


def test_channels_are_taken_for_what_they_are() -> None:
    red, green, blue = small().split()
    alpha = fading(small().size)
    usual = stored_as([red, green, blue, alpha], [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 0)])
    others = (
        stored_as([blue, green, red, alpha], [(0, 0, 3), (1, 0, 2), (2, 0, 1), (3, 1, 0)]),
        stored_as([alpha, red, green, blue], [(0, 1, 0), (1, 0, 1), (2, 0, 2), (3, 0, 3)]),
    )
    for data in (usual, *others):
        photo = opened(data)
        assert photo.alpha is not None
        assert (photo.alpha == np.asarray(alpha)).all()
        assert (photo.rgb == np.asarray(small())).all()


def test_a_channel_that_is_no_transparency_hides_nothing() -> None:
    bands = [*small().split(), fading(small().size)]
    data = stored_as(bands, [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 65535, 65535)])
    assert not read_header(data, "photo.jp2", LIMITS).has_alpha
    photo = opened(data)
    assert photo.alpha is None
    assert (photo.rgb == np.asarray(small())).all()


@pytest.mark.parametrize("grey", [False, True])
def test_colours_that_were_multiplied_by_their_alpha_are_divided(grey: bool) -> None:
    plain, alpha = small().convert("L" if grey else "RGB"), fading(small().size)
    share = np.asarray(alpha)[:, :, np.newaxis] / 255
    colours = np.asarray(plain).reshape(*share.shape[:2], -1)
    bands = [Image.fromarray(one) for one in np.moveaxis((colours * share + 0.5).astype(np.uint8), 2, 0)]
    count = len(bands)
    cdef = [*((at, 0, at + 1) for at in range(count)), (count, 2, 0)]
    photo = opened(stored_as([*bands, alpha], cdef))
    seen = share[:, :, 0] > 0.5
    assert np.abs(photo.rgb.astype(int) - colours)[seen].max() <= 3


def test_colours_in_a_way_that_is_not_known_are_left_to_others() -> None:
    profile = icc.adobe_rgb_icc()
    data = named(lossless(small()), 2, profile)
    head, colr = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    length = int.from_bytes(data[head : head + 4], "big")
    vendor = box(b"colr", bytes((4, 0, 0)) + bytes(16))
    header = data[head + 8 : colr] + vendor + data[colr : head + length]
    data = data[:head] + box(b"jp2h", header) + data[head + length :]
    assert (opened(data).rgb == opened(saved("PNG", small(), icc_profile=profile)).rgb).all()


# --- more than eight bits


def deepened(data: bytes, bits: int) -> bytes:
    """Quantised values grow with the depth that the file names: the same picture, of more bits."""
    changed = bytearray(data)
    sizes = data.index(b"\xff\x4f\xff\x51")
    for channel in range(int.from_bytes(data[sizes + 40 : sizes + 42], "big")):
        changed[sizes + 42 + 3 * channel] = bits - 1
    return bytes(changed)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("options", [{}, {"tile_size": (64, 64)}])
def test_white_of_more_than_eight_bits_is_not_black(bits: int, options: dict[str, object]) -> None:
    values = np.zeros((100, 150, 3), np.uint8)
    values[:, 40:100] = 255
    values[::7, ::5] = 200
    image = Image.fromarray(values)
    plain = saved(
        "JPEG2000",
        image,
        irreversible=True,
        quality_mode="rates",
        quality_layers=[12],
        no_jp2=True,
        **options,
    )
    seen, meant = opened(deepened(plain, bits)), opened(plain)
    assert np.abs(seen.rgb.astype(int) - meant.rgb).max() <= 2


def test_a_tile_that_ends_before_its_header_does_is_not_read_without_an_end() -> None:
    data = deepened(saved("JPEG2000", small(), no_jp2=True), 16)
    start = data.index(b"\xff\x90\x00\x0a")
    changed = data[: start + 6] + struct.pack(">I", 16) + data[start + 10 : start + 12]
    changed += 2 * b"\xff\x64\x00\x02" + data[start + 12 :]
    assert jp2.with_room(changed) is not None
