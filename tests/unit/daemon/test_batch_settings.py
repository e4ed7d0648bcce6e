"""Which photos of a batch are there already."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.digests import digest_of

from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.batch_settings import BatchSettings, finished_before
from cutoutd.daemon.sources import gather


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    (tmp_path / "out").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(name.encode())
    return folder


def before(album: Path, **options: str) -> list[str]:
    out = album.parent / "out"
    settings = BatchSettings(out, "m", (Deliverable(**options),), Matte(), Limits(), 0o022)  # pyright: ignore[reportArgumentType]
    photos = gather([album]).photos
    return [photos[number].path.decode() for number in sorted(finished_before(settings, photos))]


def test_by_name(album: Path) -> None:
    assert before(album) == []
    (album.parent / "out/b.png").touch()
    assert before(album) == ["b.jpg"]
    assert before(album, format="webp") == []
    assert before(album, name="{stem}-{deliverable}", label="web") == []


def test_photos_that_share_a_name_count_only_together(album: Path) -> None:
    (album / "a.png").touch()
    (album.parent / "out/a.png").touch()
    assert before(album) == []  # whose it is cannot be told
    (album.parent / "out/a (2).png").touch()
    assert before(album) == ["a.jpg", "a.png"]


def test_a_photo_is_not_its_own_cutout(album: Path) -> None:
    photo = album.parent / "out/c.png"
    photo.touch()
    settings = BatchSettings(album.parent / "out", "m", (Deliverable(),), Matte(), Limits(), 0o022)
    assert finished_before(settings, gather([photo]).photos) == {}


def test_a_name_made_of_the_content(album: Path) -> None:
    (album.parent / "out").joinpath("x.png").touch()
    assert before(album, name="{hash}") == []
    stem = digest_of((album / "a.jpg").read_bytes())[:8]
    (album.parent / f"out/{stem}.png").touch()
    assert before(album, name="{hash}") == ["a.jpg"]


def test_names_that_the_folder_cannot_hold_are_made_plain(album: Path) -> None:
    """As on a stick or a Windows share; a photo in such a folder stopped the whole run."""
    (album / "8:30").mkdir()
    (album / "8:30" / "what?.jpg").touch()
    out = album.parent / "out"
    one = Deliverable()  # pyright: ignore[reportCallIssue]
    settings = BatchSettings(out, "m", (one,), Matte(), Limits(), 0o022, plain=True)
    photo = next(photo for photo in gather([album]).photos if b"what" in photo.path)
    assert settings.folder_of(photo, one) == b"8_30"
    assert next(settings.names(photo, 0, one)) == b"8_30/what_.png"
