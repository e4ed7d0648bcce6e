"""The canary photo: every secret is really in it, in forms that a search finds, and no two runs share one."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from cutoutd.service.verify.canary import HEIGHT, PATTERN_COLUMNS, WIDTH, Canary, Needle, plant


@pytest.fixture(scope="module")
def canary() -> Canary:
    return plant("0123456789abcdef")


def test_every_secret_is_found_in_the_photo_itself(canary: Canary) -> None:
    hidden = {needle.name for needle in canary.needles if not needle.found_in(canary.data)}
    # Pixels are compressed there; as pixels they are found in what a decoder gives.
    assert hidden <= {"background pixels"}
    assert all(needle.forms for needle in canary.needles)
    (pixels,) = [needle for needle in canary.needles if needle.name == "background pixels"]
    assert pixels.found_in(canary.pixels.tobytes())
    assert pixels.found_in(canary.pixels[..., ::-1].tobytes())


def test_an_independent_reader_sees_the_metadata(canary: Canary) -> None:
    image = Image.open(io.BytesIO(canary.data))
    assert image.size == (WIDTH, HEIGHT)
    exif = image.getexif()
    assert exif.get_ifd(0x8825)  # GPS
    assert "0123456789abcdef" in str(exif.get_ifd(0x8769))  # serial number
    assert b"0123456789abcdef" in image.info["comment"]
    assert b"xmp-0123456789abcdef" in image.info["xmp"]


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode().hex().encode(),
        lambda text: base64.b64encode(b"some bytes before " + text.encode() + b" and after"),
        lambda text: b"\x00\x01" + text.encode() + b"\x02",
    ],
    ids=["utf-16-le", "utf-16-be", "hex", "base64", "plain"],
)
def test_a_text_is_found_however_it_was_written(canary: Canary, written: object) -> None:
    (serial,) = [needle for needle in canary.needles if needle.name == "serial number"]
    data = written("SN-0123456789abcdef-body")  # type: ignore[operator]
    assert serial.found_in(data)
    assert not serial.found_in(data[::-1])


@pytest.mark.slow
def test_two_runs_share_nothing(canary: Canary) -> None:
    other = plant("fedcba9876543210")
    assert [n.name for n in other.needles if n.found_in(canary.data)] == []
    assert (other.pixels != canary.pixels).any()
    assert plant("0123456789abcdef").data == canary.data


def test_the_pattern_lies_at_both_sides_only(canary: Canary) -> None:
    edges = np.concatenate([canary.pixels[:, :PATTERN_COLUMNS], canary.pixels[:, -PATTERN_COLUMNS:]], 1)
    middle = canary.pixels[:40, PATTERN_COLUMNS + 30 : -PATTERN_COLUMNS - 30]
    assert edges.std() > 2 * middle.std()


def test_what_is_not_there_is_not_found() -> None:
    assert not Needle("x", (b"secret", b"terces")).found_in(b"secre ecret")
