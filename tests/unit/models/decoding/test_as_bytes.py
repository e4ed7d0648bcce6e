from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.profiles import one_way_icc

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding.as_bytes import as_bytes
from cutoutd.models.decoding.photo import PhotoLimits, decode, read_header

LIMIT = 10**8


def test_bytes_and_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "anna.jpg"
    path.write_bytes(b"any bytes")
    assert as_bytes(b"any bytes", LIMIT)[0] == b"any bytes"
    assert as_bytes(path, LIMIT) == as_bytes(str(path), LIMIT) == (b"any bytes", "anna.jpg")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "I;16", "1"])
def test_an_image_keeps_its_pixels_and_its_profile(mode: str) -> None:
    gradient = np.linspace(0, 255, 64 * 48).astype(np.uint8).reshape(48, 64)
    image = (
        Image.fromarray(gradient).convert(mode)
        if mode != "I;16"
        else Image.fromarray(gradient * np.uint16(257))
    )
    profile = one_way_icc() if mode in ("RGB", "RGBA") else None
    image.info["icc_profile"] = profile
    with Image.open(io.BytesIO(as_bytes(image, LIMIT)[0])) as back:
        assert back.mode == mode
        assert np.array_equal(np.asarray(back), np.asarray(image))
        assert back.info.get("icc_profile") == profile


def test_an_image_that_was_opened_from_a_turned_photo_stays_turned() -> None:
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48), "red").save(out, "JPEG", exif=exif)
    data, name = as_bytes(Image.open(out), LIMIT)
    photo = decode(data, read_header(data, name, PhotoLimits(LIMIT, 10)))
    assert photo.rgb.shape[:2] == (64, 48)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as gone:
        as_bytes(tmp_path / "gone.jpg", LIMIT)
    assert gone.value.reason is Reason.VANISHED
    with pytest.raises(PhotoError) as folder:
        as_bytes(tmp_path, LIMIT)
    assert folder.value.reason is Reason.NOT_A_REGULAR_FILE
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    with pytest.raises(PhotoError) as waiting:
        as_bytes(pipe, LIMIT)
    assert waiting.value.reason is Reason.NOT_A_REGULAR_FILE
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(11))
    with pytest.raises(PhotoError, match="11 bytes, the limit is 10") as refused:
        as_bytes(large, 10)
    assert refused.value.reason is Reason.TOO_LARGE


def test_an_image_that_no_file_can_hold_is_refused_with_a_sentence() -> None:
    with pytest.raises(PhotoError, match="'HSV'") as caught:
        as_bytes(Image.new("HSV", (8, 8)), LIMIT)
    assert caught.value.reason is Reason.UNREADABLE
