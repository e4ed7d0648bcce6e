"""What stands behind the names that somebody types: each file once, and no trouble that holds up the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.photos import encoded

from cutoutd.config.errors import Reason
from cutoutd.daemon.sources import Gathered, folder_that_eats, gather


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "b.nef", "b.jpg", "sub/c.png"):
        (folder / name).write_bytes(name.encode())
    return folder


def names(gathered: Gathered) -> list[str]:
    return [os.fsdecode(photo.path) for photo in gathered.photos]


def test_a_folder_in_order_without_the_raw_of_a_pair(album: Path) -> None:
    assert names(gather([album])) == ["a.jpg", "b.jpg", "sub/c.png"]


def test_the_same_file_is_one_however_it_is_named(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.link(album / "a.jpg", album.parent / "hard.jpg")
    (album.parent / "soft.jpg").symlink_to(album / "sub/c.png")
    monkeypatch.chdir(album)
    gathered = gather(
        [Path("a.jpg"), Path("./a.jpg"), album / "a.jpg", album, album / "sub", album.parent / "hard.jpg"]
    )
    assert names(gathered) == ["a.jpg", "b.jpg", "sub/c.png"]
    assert [os.path.basename(path) for path in gathered.again] == [b"hard.jpg"]
    both = gather([album.parent / "soft.jpg", album])
    assert names(both) == ["soft.jpg", "a.jpg", "b.jpg"]


def test_a_link_that_is_named_is_followed_and_gives_its_name(album: Path) -> None:
    link = album.parent / "mine.jpg"
    link.symlink_to("album/a.jpg")
    (photo,) = gather([link]).photos
    assert photo.problem is None
    assert (photo.path, photo.full) == (b"mine.jpg", os.fsencode(os.path.realpath(album / "a.jpg")))
    folder = album.parent / "shortcut"
    folder.symlink_to(album, target_is_directory=True)
    assert names(gather([folder])) == ["a.jpg", "b.jpg", "sub/c.png"]


def test_what_is_not_there_holds_up_nothing(album: Path) -> None:
    (album.parent / "loop.jpg").symlink_to("loop.jpg")
    (album.parent / "dangling.jpg").symlink_to("nowhere")
    os.mkfifo(album.parent / "pipe.jpg")
    wanted = [album.parent / name for name in ("nope.jpg", "dangling.jpg", "loop.jpg", "pipe.jpg")]
    photos = gather([*wanted, album / "a.jpg"]).photos
    assert [photo.problem for photo in photos] == [
        Reason.NOT_FOUND,
        Reason.NOT_FOUND,
        Reason.NOT_FOUND,
        Reason.NOT_A_REGULAR_FILE,
        None,
    ]
    assert "link to nowhere" in photos[1].detail
    assert "standard input" in photos[3].detail
    assert all(photo.detail for photo in photos[:-1])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(album: Path) -> None:
    (album / "sub").chmod(0)
    try:
        found = {os.fsdecode(photo.path): photo.problem for photo in gather([album]).photos}
        assert found == {"a.jpg": None, "b.jpg": None, "sub": Reason.NO_PERMISSION}
        assert gather([album / "sub"]).photos[0].problem is Reason.NO_PERMISSION
    finally:
        (album / "sub").chmod(0o755)


def test_links_inside_a_folder_are_said_and_other_files_listed(album: Path) -> None:
    (album / "link.jpg").symlink_to("a.jpg")
    (album / "more").symlink_to("sub", target_is_directory=True)
    (album / "layers.psd").touch()
    gathered = gather([album])
    said = {os.fsdecode(photo.path): photo.detail for photo in gathered.photos if photo.problem}
    assert set(said) == {"link.jpg", "more"}
    assert "name it itself" in said["link.jpg"]
    assert [os.path.basename(path) for path in gathered.others] == [b"layers.psd"]


@pytest.mark.parametrize(
    ("out", "folder", "eats"),
    [
        ("album", "", True),
        ("album/cut", "", True),
        ("album/sub/deeper", "", True),
        ("album-cutouts", "", False),
        ("", "", False),  # beside the album
        ("", "album", True),  # a deliverable's own folder leads back into it
        ("album/.cut", "", False),  # no walk enters it
    ],
)
def test_cutouts_never_land_where_photos_are_read(album: Path, out: str, folder: str, eats: bool) -> None:
    found = folder_that_eats(album.parent / out, gather([album]), [(folder, "")], date="2026-01-01")
    assert found == (album if eats else None)


def test_that_holds_through_links(album: Path) -> None:
    (album.parent / "other").symlink_to(album, target_is_directory=True)
    assert folder_that_eats(album.parent / "other/cut", gather([album]), [("", "")], date="") == album
    assert folder_that_eats(album / "cut", gather([album / "a.jpg"]), [("", "")], date="") is None


def test_content_decides_where_the_name_says_nothing_or_something_else(tmp_path: Path) -> None:
    photo = encoded(size=(32, 24))
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("IMG_0001", "sub/photo.backup", ".hidden/IMG_2"):
        (tmp_path / name).write_bytes(photo)
    (tmp_path / "README").write_text("no photo")
    (tmp_path / "layers.psd").write_bytes(b"8BPS" + bytes(50))
    (tmp_path / "a.jpg.part").write_bytes(photo)
    found = gather([tmp_path])
    assert [one.path for one in found.photos] == [b"IMG_0001", b"sub/photo.backup"]
    assert [os.path.basename(one) for one in found.others] == [b"README", b"layers.psd"]
    assert [one.path for one in gather([tmp_path], recursive=False).photos] == [b"IMG_0001"]


def test_a_name_that_no_file_can_have_holds_up_nothing(album: Path) -> None:
    gathered = gather([Path("x" * 300), album / "a.jpg", Path("x/" * 3000)])
    assert [photo.problem for photo in gathered.photos] == [Reason.NOT_FOUND, None, Reason.NOT_FOUND]
