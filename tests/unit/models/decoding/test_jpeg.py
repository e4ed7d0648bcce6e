"""JPEG: markers followed to the picture's end, what they say, and files that stop too soon."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding.jpeg import check_strip, header, load, markers


def encoded(size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: object) -> bytes:
    y, x = np.mgrid[: size[1], : size[0]]
    pixels = np.stack([x * 3 % 256, y * 5 % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def test_the_markers_say_size_kind_and_facts() -> None:
    exif = Image.Exif()
    exif[274] = 6
    found = markers(encoded(exif=exif, icc_profile=b"a profile", dpi=(300, 150)))
    assert (found.width, found.height, found.bits, len(found.components)) == (64, 48, 8, 3)
    assert found.has_end
    assert found.icc == b"a profile"
    assert found.exif is not None
    facts = header(encoded(exif=exif))
    assert (facts.width, facts.height, facts.orientation) == (48, 64, 6)


def test_what_fills_up_the_name_of_its_camera_data_does_not_matter() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(exif=exif.tobytes()).replace(b"Exif\0\0", b"Exif\0\xff", 1)
    assert header(data).orientation == 6


def test_a_progressive_file_has_several_scans_and_the_head_only_needs_one() -> None:
    data = encoded(progressive=True)
    assert len(markers(data).scans) > 1
    assert len(markers(data, whole=False).scans) == 0
    assert markers(data, whole=False).width == 64


def test_a_long_profile_comes_back_from_its_pieces() -> None:
    profile = bytes(range(256)) * 600  # more than one segment holds
    assert markers(encoded(icc_profile=profile)).icc == profile


def test_fill_bytes_and_markers_that_stand_alone_are_passed_over() -> None:
    data = encoded()
    assert markers(data[:2] + b"\xff\xff\xff" + data[3:]).width == 64
    assert markers(data[:2] + b"\xff\x01" + data[2:]).width == 64


def test_what_follows_the_end_is_another_matter() -> None:
    data = encoded()
    assert np.array_equal(np.asarray(load(data + bytes(4096)).image), np.asarray(load(data).image))
    assert np.array_equal(np.asarray(load(data + encoded((8, 8))).image), np.asarray(load(data).image))


@pytest.mark.parametrize("part", [0.2, 0.5, 0.95])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_file_says_incomplete(part: float, progressive: bool) -> None:
    data = encoded((400, 300), progressive=progressive)
    with pytest.raises(PhotoError, match="incomplete") as caught:
        load(data[: int(len(data) * part)])
    assert caught.value.reason is Reason.UNREADABLE


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_smaller_picture_shows_the_same_and_sees_the_same_damage(reduction: int, progressive: bool) -> None:
    data = encoded((403, 301), progressive=progressive)
    small = np.asarray(load(data, reduction).image, np.float64)
    assert small.shape == (-(-301 // reduction), -(-403 // reduction), 3)
    whole = np.asarray(load(data).image, np.float64)
    high, wide = 301 // reduction, 403 // reduction
    blocks = whole[: high * reduction, : wide * reduction].reshape(high, reduction, wide, reduction, 3)
    assert np.abs(small[:high, :wide] - blocks.mean((1, 3))).mean() < 4
    for part in (0.3, 0.97):
        with pytest.raises(PhotoError, match="incomplete"):
            load(data[: int(len(data) * part)], reduction)


def test_an_end_that_was_reserved_and_not_written_is_unreadable() -> None:
    data = encoded((400, 300))
    half = len(data) // 2
    with pytest.raises(PhotoError):
        load(data[:half] + bytes(half))


def test_grey_and_cmyk_come_as_they_are_stored() -> None:
    assert np.asarray(load(encoded(mode="L")).image).shape[:2] == (48, 64)
    cmyk = load(encoded(mode="CMYK")).image
    assert isinstance(cmyk, Image.Image)
    assert cmyk.mode == "CMYK"


def test_a_marker_without_its_data_is_damaged() -> None:
    with pytest.raises(PhotoError, match="marker"):
        markers(b"\xff\xd8\xff\xdb\0\0")


def test_a_strip_of_a_tiff_is_checked_with_its_tables() -> None:
    whole = encoded((64, 48))
    at = whole.index(b"\xff\xda")
    cuts = [whole.index(b"\xff\xdb"), whole.index(b"\xff\xc0"), whole.index(b"\xff\xc4")]
    tables = whole[:2] + whole[cuts[0] : cuts[1]] + whole[cuts[2] : at] + b"\xff\xd9"
    strip = whole[:2] + whole[cuts[1] : cuts[2]] + whole[at:]
    check_strip(strip, tables)
    check_strip(whole, b"")
    with pytest.raises(PhotoError):
        check_strip(strip[: len(strip) // 2], tables)
    with pytest.raises(PhotoError, match="no picture"):
        check_strip(b"\xff\xd8\xff\xd9", b"")
