"""Every file below a folder, whatever lies there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem
from tests.support.folders import nested

from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.listing import files_below


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "day" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "theirs.jpg").write_bytes(b"")
    for name in ("a.jpg", "day/b.jpg", "day/deep/c.jpg"):
        (top / name).write_bytes(b"")
    (top / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(top / "pipe")
    return top


def names(top: Path, fs: FileSystem | None = None) -> set[str]:
    found = files_below(bytes(top), fs or RealFileSystem(b"/"))
    return {os.fsdecode(os.path.relpath(entry.path, bytes(top))) for entry in found}


def test_all_files_and_no_folder_and_nothing_behind_a_link(tree: Path) -> None:
    assert names(tree) == {"a.jpg", "day/b.jpg", "day/deep/c.jpg", "link", "pipe"}


def test_a_sub_folder_that_cannot_be_read_hides_nothing_else(tree: Path) -> None:
    assert names(tree, FaultyFileSystem(Fault("scandir", errno.EIO, nth=2))) == {"a.jpg", "link", "pipe"}


def test_the_folder_itself_must_be_readable(tree: Path) -> None:
    with pytest.raises(FileNotFoundError):
        names(tree / "gone")


def test_a_tree_of_thousands_of_folders_in_one_another_is_left_before_its_end(tree: Path) -> None:
    with nested(tree, 2000):
        assert names(tree) == {"a.jpg", "day/b.jpg", "day/deep/c.jpg", "link", "pipe"}
