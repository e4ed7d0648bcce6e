"""Small pictures as files: private, made once, found again by their names alone, removed with their photo."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.shoot import Shoot

from cutoutd.config.errors import FolderError
from cutoutd.daemon.ledger.previews import PICTURES, WHOLE
from cutoutd.daemon.ledger.shots import Picture, last_shots
from cutoutd.service.gallery.shelf import Kept, Shelf, copy_out, link_whole
from cutoutd.service.gallery.thumbnails import Small

ONE = Picture(b"/out/a.png", "0123456789ab")
SMALL = Small(b"RIFF\x04\0\0\0WEBP", (640, 427), (6000, 4000))


def test_it_is_private_and_found_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "gallery", 640)
    kept = shelf.put(7, ONE, SMALL)
    assert kept is not None
    assert kept == Kept("7-0123456789ab-640-640x427-6000x4000.webp", (640, 427), (6000, 4000))
    file = tmp_path / "gallery" / PICTURES / kept.name
    assert file.read_bytes() == SMALL.data
    assert file.stat().st_mode & 0o777 == 0o600
    for folder in (tmp_path / "gallery", file.parent, tmp_path / "gallery" / WHOLE):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == [kept.name]
    assert Shelf(tmp_path / "gallery", 640).get(7, ONE) == kept
    assert Shelf(tmp_path / "gallery", 1600).get(7, ONE) is None
    assert Shelf(tmp_path / "gallery", 640).get(8, ONE) is None


def test_what_is_no_picture_is_not_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 640)
    assert shelf.put(7, ONE, Small(b"<script>", (1, 1), (1, 1))) is None
    assert list((tmp_path / PICTURES).iterdir()) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "gallery").write_text("a file")
    with pytest.raises(FolderError, match="cannot be used"):
        Shelf(tmp_path / "gallery", 640)


def test_it_is_tidied_of_forgotten_photos_and_earlier_cutouts(tmp_path: Path) -> None:
    shoot = Shoot(tmp_path)
    photo = shoot.add(b"a.jpg")
    (shot,) = last_shots(shoot.ledger, 1)
    shelf = Shelf(tmp_path / "gallery", 640)
    for number, picture in ((photo, shot.before), (photo, shot.made[0].picture), (photo, ONE), (99, ONE)):
        shelf.put(number, picture, SMALL)
    beyond = shelf.put(50, ONE, SMALL)  # a photo that is not among those shown, but known
    (tmp_path / "gallery" / PICTURES / "mine.txt").touch()
    shelf.tidy([shot], frozenset({photo, 50}))
    assert beyond is not None
    assert {path.name for path in (tmp_path / "gallery" / PICTURES).iterdir()} == {
        "mine.txt",
        beyond.name,
        *(kept.name for picture in shot.pictures if (kept := shelf.get(photo, picture))),
    }
    assert shelf.get(photo, shot.before)
    assert shelf.get(photo, ONE) is None
    assert shelf.get(99, ONE) is None


def test_a_link_to_the_whole_tells_no_name_and_only_to_what_a_browser_shows(tmp_path: Path) -> None:
    Shelf(tmp_path / "g", 640)
    file = tmp_path / "DSC_1.JPG"
    file.touch()
    picture = Picture(os.fsencode(file), ONE.key)
    for _ in range(2):
        assert link_whole(tmp_path / "g", 7, picture) == f"{WHOLE}/7-{ONE.key}.jpg"
    link = tmp_path / "g" / WHOLE / f"7-{ONE.key}.jpg"
    assert link.readlink() == file
    moved = file.rename(tmp_path / "moved.jpg")
    assert link_whole(tmp_path / "g", 7, picture) == ""
    assert link_whole(tmp_path / "g", 7, Picture(os.fsencode(moved), ONE.key)) != ""
    assert link.readlink() == moved
    (tmp_path / "a.cr3").touch()
    assert link_whole(tmp_path / "g", 7, Picture(os.fsencode(tmp_path / "a.cr3"), ONE.key)) == ""


def test_another_folder_holds_the_same_and_no_more(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "gallery", 640)
    first, second = shelf.put(7, ONE, SMALL), shelf.put(8, ONE, SMALL)
    assert first
    assert second
    target = tmp_path / "out"
    copy_out(shelf.folder, target, [first.name, second.name])
    assert (target / PICTURES / second.name).read_bytes() == SMALL.data
    copy_out(shelf.folder, target, [first.name])
    assert [path.name for path in (target / PICTURES).iterdir()] == [first.name]
    with pytest.raises(FolderError):
        copy_out(shelf.folder, target, ["7-not-there.webp"])


@pytest.mark.parametrize("named", [".{}.part", "{}"])
def test_links_that_others_put_into_another_folder_lead_nowhere(tmp_path: Path, named: str) -> None:
    shelf = Shelf(tmp_path / "gallery", 640)
    kept = shelf.put(7, ONE, SMALL)
    assert kept
    mine, target = tmp_path / "mine", tmp_path / "out"
    mine.write_text("mine")
    (target / PICTURES).mkdir(parents=True)
    (target / PICTURES / named.format(kept.name)).symlink_to(mine)
    copy_out(shelf.folder, target, [kept.name], 0o644)
    assert mine.read_text() == "mine"


def test_a_folder_of_pictures_that_is_a_link_is_refused(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "gallery", 640)
    kept = shelf.put(7, ONE, SMALL)
    assert kept
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / PICTURES).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError):
        copy_out(shelf.folder, tmp_path / "out", [kept.name])
    assert list((tmp_path / "elsewhere").iterdir()) == []
