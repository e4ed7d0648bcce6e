"""Camera RAW: told from TIFF by content, developed with the extra, named without it."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import formats
from cutoutd.models.decoding.photo import PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)


def dng(orientation: int = 1, *, lamp: bool = False, stops: int = 0) -> bytes:
    """A digital negative of 96 × 64 sensor pixels: red light on the left, blue on the right."""
    sensor = np.full((64, 96), 200, np.uint16)
    sensor[0::2, 0:48:2] = 3500  # RGGB: the red pixels
    sensor[1::2, 49::2] = 3500  # the blue ones
    if lamp:
        sensor[:16, -16:] = 4095
    matrix = [32404542, -15371385, -4985314, -9692660, 18760108, 415560, 556434, -2040259, 10572252]
    rationals = [v for number in matrix for v in (number, 10_000_000)]
    tags = [
        (274, 3, 1, orientation, True),
        (271, 2, 0, "Test", True),
        (272, 2, 0, "Test Camera", True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, b"\0\1\1\2", True),
        (50706, 1, 4, b"\1\4\0\0", True),
        (50708, 2, 0, "Test Camera", True),
        (50717, 4, 1, 4095, True),
        (50721, 10, 9, rationals, True),
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),
        (50730, 10, 1, (stops, 1), True),
        (50778, 3, 1, 21, True),
    ]
    out = io.BytesIO()
    tifffile.imwrite(out, sensor, photometric=32803, extratags=tags, metadata=None, software=None)
    return out.getvalue()


def test_a_negative_is_known_by_its_content_whatever_its_name() -> None:
    assert formats.sniff(dng(), "photo.tif").format == formats.RAW
    assert formats.sniff(dng(), "photo.dng").format == formats.RAW


def test_an_ordinary_tiff_is_not_a_negative() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "TIFF")
    assert formats.sniff(out.getvalue(), "scan.tif").format == formats.TIFF


def test_without_the_extra_the_failure_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)  # import rawpy raises ImportError
    with pytest.raises(PhotoError, match="-m pip install rawpy") as caught:
        read_header(dng(), "DSC_1.NEF", LIMITS)
    assert caught.value.reason is Reason.NEEDS_DECODER


@pytest.mark.parametrize(
    "magic", [b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIU\0\x08\0\0\0", b"FOVb\0\0\0\0"]
)
def test_other_makers_containers_are_known(magic: bytes) -> None:
    assert formats.sniff(magic + bytes(200), "x").format == formats.RAW


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("deep", [False, True])
def test_a_negative_is_developed_upright(orientation: int, deep: bool) -> None:
    pytest.importorskip("rawpy", reason="the raw extra is not installed")
    data = dng(orientation)
    header = read_header(data, "DSC_1.DNG", LIMITS)
    photo = decode(data, header, want_16bit=deep)
    assert photo.rgb.shape == (header.height, header.width, 3)
    assert (photo.rgb.shape[0] > photo.rgb.shape[1]) == (orientation == 6)
    left, right = photo.rgb[20:40, 10:30].mean((0, 1)), photo.rgb[20:40, -30:-10].mean((0, 1))
    if orientation == 6:  # a quarter turn clockwise: the left side is on top
        left, right = photo.rgb[10:30, 20:40].mean((0, 1)), photo.rgb[-30:-10, 20:40].mean((0, 1))
    assert left[0] > left[2] + 30
    assert right[2] > right[0] + 30
    assert (photo.rgb16 is not None) == deep
    if photo.rgb16 is not None:
        assert (photo.rgb16 >> 8 == photo.rgb).all()


def test_a_damaged_negative_is_unreadable() -> None:
    pytest.importorskip("rawpy", reason="the raw extra is not installed")
    data = dng()
    with pytest.raises(PhotoError) as caught:
        decode(data[:3000], read_header(data[:3000], "DSC_1.DNG", LIMITS))
    assert caught.value.reason is Reason.UNREADABLE


def test_limits_hold_for_negatives() -> None:
    pytest.importorskip("rawpy", reason="the raw extra is not installed")
    with pytest.raises(PhotoError) as caught:
        read_header(dng(), "DSC_1.DNG", PhotoLimits(10**9, 0.001))
    assert caught.value.reason is Reason.TOO_LARGE


def test_frames_of_one_exposure_are_equally_bright() -> None:
    pytest.importorskip("rawpy", reason="the raw extra is not installed")
    plain, lit = (decode(one, read_header(one, "a.dng", LIMITS)).rgb for one in (dng(), dng(lamp=True)))
    assert (plain[24:, :64] == lit[24:, :64]).all()


def test_a_negative_is_brightened_as_it_says() -> None:
    pytest.importorskip("rawpy", reason="the raw extra is not installed")
    plain, more = (decode(one, read_header(one, "a.dng", LIMITS)).rgb for one in (dng(), dng(stops=1)))
    assert more[20:40, 60:80, 0].mean() > 1.2 * plain[20:40, 60:80, 0].mean()
