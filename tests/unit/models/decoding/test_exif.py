"""EXIF as stored bytes, whole, odd and damaged."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from cutoutd.models.decoding.exif import is_adobe_rgb, orientation, resolution


def exif(**tags: Any) -> bytes:
    made: Any = Image.Exif()
    for tag, value in tags.items():
        made[int(tag[1:])] = value
    return bytes(made.tobytes())


@pytest.mark.parametrize("value", range(1, 9))
def test_each_orientation_is_read(value: int) -> None:
    assert orientation(exif(_274=value)) == value


@pytest.mark.parametrize(
    "stored", [None, b"", b"Exif\0\0", b"Exif\0\0MM\0*garbage", exif(_274=9), exif(_274=0)]
)
def test_without_a_sound_one_the_photo_stands_as_stored(stored: bytes | None) -> None:
    assert orientation(stored) == 1


def test_resolution_is_per_inch_whatever_the_unit() -> None:
    assert resolution(exif(_282=300.0, _283=150.0, _296=2)) == (300.0, 150.0)
    across, down = resolution(exif(_282=100.0, _283=200.0, _296=3)) or (0.0, 0.0)
    assert (across, down) == (pytest.approx(254.0), pytest.approx(508.0))
    assert resolution(exif(_282=72.0)) == (72.0, 72.0), "one number counts for both"


@pytest.mark.parametrize("stored", [None, b"", b"Exif\0\0II*\0\xff\xff\xff\xff", exif(_274=1)])
def test_without_a_resolution_there_is_none(stored: bytes | None) -> None:
    assert resolution(stored) is None


def test_adobe_rgb_is_told_by_its_index_and_not_by_the_letters_alone() -> None:
    made: Any = Image.Exif()
    made[0x8769] = {0xA005: {1: "R03"}}
    assert is_adobe_rgb(bytes(made.tobytes()))
    plain: Any = Image.Exif()
    plain[0x8769] = {0xA005: {1: "R98"}}
    assert not is_adobe_rgb(bytes(plain.tobytes()))
    assert not is_adobe_rgb(exif(_271="R03"))
    assert not is_adobe_rgb(b"R03\0")
    assert not is_adobe_rgb(None)


def test_what_a_decoder_hands_on_is_read() -> None:
    stored = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stored, "JPEG", exif=exif(_274=6))
    stored.seek(0)
    assert orientation(Image.open(stored).info["exif"]) == 6
