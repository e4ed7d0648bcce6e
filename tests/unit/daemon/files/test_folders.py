"""Folders that are made: with the user's mode, not behind links, and on the disk before anybody counts on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.faulty_filesystem import FaultyFileSystem
from tests.support.folders import give_default_acl

from cutoutd.daemon.files import folders
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.filesystem import RealFileSystem


def test_each_folder_has_the_mode_and_its_parent_is_synced(tmp_path: Path) -> None:
    top, fs = os.fsencode(tmp_path), FaultyFileSystem()
    before = os.umask(0o077)
    try:
        folders.make_below(fs, top, top + b"/a/b", 0o755)
    finally:
        os.umask(before)
    assert [(tmp_path / one).stat().st_mode & 0o777 for one in ("a", "a/b")] == [0o755, 0o755]
    assert [path for call, (path, *_) in fs.calls if call == "fsync_dir"] == [top, top + b"/a"]
    again = FaultyFileSystem()
    folders.make_below(again, top, top + b"/a/b", 0o755)
    assert again.counts()["mkdir"] == 0
    assert again.counts()["fsync_dir"] == 2, "whoever made them may have died before it came to that"


def test_nothing_is_made_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "a").symlink_to(tmp_path / "theirs")
    top = os.fsencode(tmp_path / "top")
    with pytest.raises(UnsafePath):
        folders.make_below(RealFileSystem(top), top, top + b"/a/b/c", 0o755)
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_folder_that_is_not_made_yet_lies_where_it_will_be_made(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    for folder in (tmp_path, tmp_path / "not" / "yet"):
        assert not folders.lies_elsewhere(folder, device)
        assert folders.lies_elsewhere(folder, device + 1)


def test_the_top_of_a_mount_is_where_the_device_changes(tmp_path: Path) -> None:
    top = Path(os.fsdecode(folders.top_of_mount(os.fsencode(tmp_path))))
    assert tmp_path.is_relative_to(top)
    assert top.stat().st_dev == tmp_path.stat().st_dev
    assert top == top.parent or top.parent.stat().st_dev != top.stat().st_dev


@pytest.mark.parametrize(("mask", "theirs"), [(0o777, 0o077), (0o022, 0o022), (0o577, 0o077), (0, 0)])
def test_a_mask_never_takes_the_owners_own_rights(mask: int, theirs: int) -> None:
    """Photos of sub-folders failed: not even we could write into the folders that we had made."""
    before = os.umask(mask)
    try:
        assert folders.take_umask() == theirs
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)


def test_below_a_folder_that_gives_rights_of_its_own_folders_have_those(tmp_path: Path) -> None:
    give_default_acl(tmp_path, user=7, group=7, others=0)
    before = os.umask(0o077)
    try:
        folders.make_below(RealFileSystem(b"/"), os.fsencode(tmp_path), os.fsencode(tmp_path / "a/b"), 0o755)
        folders.make_folder(tmp_path / "c/d", 0o755)
    finally:
        os.umask(before)
    assert [(tmp_path / one).stat().st_mode & 0o777 for one in ("a", "a/b", "c", "c/d")] == [0o770] * 4
