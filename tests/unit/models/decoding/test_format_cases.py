"""Every variant of every format gets the answer that docs/FORMATS.md promises, and independent decoders agree."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.format_cases import FILES, Answer, Case, bitmap, coffee, jpeg, saved
from tests.support.format_rarities import CASES, DOC, document
from tests.support.shared import shared_folder

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header

pytestmark = pytest.mark.slow

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)
SHARED = shared_folder("cases", "CUTOUTD_TEST_CASES")


def opened(data: bytes, name: str = "photo") -> Photo:
    return decode(data, read_header(data, name, LIMITS))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_file_gets_its_answer(case: Case) -> None:
    data = case.make()
    if case.answer in (Answer.READ, Answer.NOTED):
        photo = opened(data, case.name)
        assert bool(photo.notes) == (case.answer is Answer.NOTED), photo.notes
        if case.within is not None:
            assert photo.rgb.shape == coffee().shape
            assert np.abs(photo.rgb.astype(int) - coffee()).mean() <= case.within
        return
    with pytest.raises(PhotoError) as caught:
        opened(data, case.name)
    said = caught.value
    assert said.reason is (Reason.NO_SUBJECT if case.answer is Answer.INVISIBLE else Reason.UNREADABLE), said
    if case.answer is not Answer.INVISIBLE:
        assert ("Copy it again" in said.fix) == (case.answer is Answer.DAMAGED), said
        assert ("xport" in said.fix) == (case.answer is Answer.UNREAD), said


def test_the_document_is_up_to_date() -> None:
    assert DOC.read_text() == document(), "run `python -m tests.support.format_rarities --write`"


def test_what_was_cropped_away_is_not_delivered() -> None:
    photo = opened((FILES / "H11_clap.avif").read_bytes())
    assert (photo.header.width, photo.header.height) == (400, 300)
    assert np.abs(photo.rgb.astype(int) - coffee()[50:350, 100:500]).mean() < 4


def test_alpha_of_a_bitmap_is_kept() -> None:
    photo = opened(bitmap(124, 32, alpha=128, masks=True))
    assert photo.alpha is not None
    assert set(np.unique(photo.alpha)) == {128}


# --- independent decoders


def decoded_by(command: list[str], data: bytes) -> Image.Image:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return Image.open(io.BytesIO(subprocess.run(command, input=data, capture_output=True, check=True).stdout))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_djpeg_gives_the_same_jpeg(options: dict[str, Any]) -> None:
    data = saved("JPEG", quality=88, **options)
    assert np.abs(opened(data).rgb.astype(int) - np.asarray(decoded_by(["djpeg"], data))).max() <= 1


def test_djpeg_gives_the_same_arithmetic_jpeg() -> None:
    data = (FILES / "A05_arith.jpg").read_bytes()
    assert np.abs(opened(data).rgb.astype(int) - np.asarray(decoded_by(["djpeg"], data))).max() <= 1


@pytest.mark.parametrize(
    "variant", ["CIE Lab of 16 bits", "12 bits per channel", "palette", "a thumbnail first"]
)
def test_imagemagick_gives_the_same_tiff(variant: str) -> None:
    case = next(one for one in CASES if one.variant == variant and one.kind == "TIFF")
    page = "1" if "thumbnail" in variant else "0"
    seen = decoded_by(
        ["convert", f"tiff:-[{page}]", "-colorspace", "sRGB", "-depth", "8", "png:-"], case.make()
    )
    assert np.abs(opened(case.make()).rgb.astype(int) - np.asarray(seen.convert("RGB"))).mean() < 1.5


def seen_by_imagemagick(data: bytes, kind: str) -> np.ndarray[Any, Any]:
    """Upright RGB, as ImageMagick has it; skips where its build lacks the format."""
    if shutil.which("convert") is None:
        pytest.skip("ImageMagick is not installed")
    command = ["convert", f"{kind}:-", "-auto-orient", "-depth", "8", "png:-"]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        pytest.skip(f"ImageMagick here does not read {kind}: {done.stderr[:100]!r}")
    with Image.open(io.BytesIO(done.stdout)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "within"), [("JPEG", 0.5), ("TIFF", 0), ("AVIF", 2)])
def test_imagemagick_turns_the_same_way(kind: str, within: float, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    small = Image.fromarray(coffee()).resize((150, 100))
    data = saved(kind, small, exif=exif, **({"speed": 10, "quality": 90} if kind == "AVIF" else {}))
    seen, ours = seen_by_imagemagick(data, kind.lower()), opened(data).rgb
    assert ours.shape == seen.shape == ((100, 150, 3) if orientation < 5 else (150, 100, 3))
    assert np.abs(seen - ours).mean() <= within


def test_imagemagick_shows_the_same_part_of_a_cropped_avif() -> None:
    data = (FILES / "H11_clap.avif").read_bytes()
    seen, ours = seen_by_imagemagick(data, "avif"), opened(data).rgb
    assert seen.shape == ours.shape
    assert np.abs(seen - ours).mean() < 2


@pytest.mark.parametrize(
    ("kind", "options"),
    [("WEBP", {"lossless": True}), ("GIF", {}), ("BMP", {}), ("JP2", {}), ("PNG", {})],
    ids=str,
)
def test_imagemagick_gives_the_same_colours(kind: str, options: dict[str, Any]) -> None:
    data = saved("JPEG2000" if kind == "JP2" else kind, **options)
    assert np.abs(seen_by_imagemagick(data, kind.lower()) - opened(data).rgb).mean() <= 0.1


def test_avifdec_gives_the_same_avif(tmp_path: Path) -> None:
    if shutil.which("avifdec") is None:
        pytest.skip("avifdec is not installed")
    data = saved("AVIF", quality=90, speed=10, subsampling="4:4:4")
    (tmp_path / "a.avif").write_bytes(data)
    subprocess.run(["avifdec", tmp_path / "a.avif", tmp_path / "a.png"], check=True, capture_output=True)
    with Image.open(tmp_path / "a.png") as seen:
        assert np.abs(opened(data).rgb.astype(int) - np.asarray(seen.convert("RGB"))).mean() < 1


# --- the files that were handed in


@pytest.mark.skipif(not SHARED.is_dir(), reason="the handed-in files are not on this machine")
def test_two_raw_frames_of_one_exposure_are_equally_bright() -> None:
    pytest.importorskip("rawpy", reason="the extra raw is not installed")
    cups = [
        opened((SHARED / name).read_bytes(), name).rgb[100:300, 200:400].mean()
        for name in ("series_1_no_lamp.dng", "series_2_lamp_in_corner.dng")
    ]
    assert abs(cups[0] - cups[1]) < 0.5


@pytest.mark.skipif(not SHARED.is_dir(), reason="the handed-in files are not on this machine")
@pytest.mark.parametrize(
    ("name", "within"),
    [("A17_no_eoi.jpg", 4), ("B15_thumb_then_photo.tif", 0), ("B23_jpegxl.tif", 0), ("D01_text_badcrc.png", 0),
     ("D02c_srgb_empty.png", 0), ("D05_gama1_linear.png", 1.5), ("motion_free_box.jpg", 4)],
)  # fmt: skip
def test_handed_in_files_show_the_coffee(name: str, within: float) -> None:
    assert np.abs(opened((SHARED / name).read_bytes(), name).rgb.astype(int) - coffee()).mean() <= within


def test_a_jpeg_is_decoded_into_its_own_array() -> None:
    photo = opened(jpeg())
    assert photo.rgb.flags.owndata  # no second copy of all pixels
    assert photo.rgb.flags.writeable
