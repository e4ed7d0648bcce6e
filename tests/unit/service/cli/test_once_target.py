"""What `-o` means, for every way to write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.config.errors import FolderError, UsageError
from cutoutd.daemon.sources import gather
from cutoutd.service.cli.once_target import Target, must_not_be_a_photo, target_of


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def target(out: str, *, one: bool = True, photos: int = 1, format_asked: str = "") -> Target:
    return target_of(out, one_file=one, photos=photos, format_asked=format_asked)


def test_a_picture_s_extension_means_that_file(here: Path) -> None:
    assert target("a.png") == Target(here, "a.png", "png")
    assert target("new/A.JPEG") == Target(here / "new", "A.JPEG", "jpeg")
    assert target("a.tif", format_asked="tiff").format == "tiff"
    assert target("-") == Target(None)


def test_everything_else_means_a_folder(here: Path) -> None:
    (here / "old.png").mkdir()
    for out in ("cutouts", "a.png/", "old.png", "a.zip/", "shoot.2026", ".", ".."):
        assert target(out, one=False, photos=3).name == "", out


@pytest.mark.parametrize(
    ("out", "asked", "one", "says"),
    [
        ("a.png", "", False, "is one file"),
        ("-", "", False, "takes one cutout"),
        ("a.gif", "", True, "GIF is not written here"),
        ("a.nef", "", True, "NEF is not written here"),
        ("a.psd", "", True, "PSD is not written here"),
        ("a.zip", "", False, "ZIP is not written here"),
        ("a.png", "webp", True, "asks for PNG and the options for WEBP"),
    ],
)
def test_what_makes_no_sense_is_said(out: str, asked: str, one: bool, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        target(out, one=one, photos=2, format_asked=asked)


@pytest.mark.parametrize("out", ["a.png", "-"])
def test_several_presets_of_one_photo_are_no_folder_of_photos(out: str) -> None:
    with pytest.raises(UsageError, match=r"the presets make 2 of each photo.*or one preset"):
        target_of(out, one_file=True, photos=1, format_asked="", files_each=2)


def test_a_file_is_no_folder(here: Path) -> None:
    (here / "notes").touch()
    with pytest.raises(FolderError, match="cutouts need a folder"):
        target("notes")


def test_the_photo_itself_is_never_the_target(here: Path) -> None:
    (here / "a.png").write_bytes(b"x")
    (here / "b.png").hardlink_to(here / "a.png")
    for name in ("a.png", "./a.png", "b.png"):
        with pytest.raises(UsageError, match="the photo itself"):
            must_not_be_a_photo(target(name), gather([here / "a.png"]))
    must_not_be_a_photo(target("c.png"), gather([here / "a.png"]))
