"""A placeholder says whose it is, takes no name that is taken, and gives its own up to the cutout alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.daemon.delivery import placeholder
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import Temporary

FS = RealFileSystem(b"/")


def places(folder: Path) -> tuple[bytes, bytes]:
    """A finished temporary, and the name that it is to get."""
    temporary = folder / os.fsdecode(Temporary("ab12", 7, 0, 0).name())
    temporary.write_bytes(b"a cutout")
    return os.fsencode(temporary), os.fsencode(folder / "a.png")


def test_the_cutout_takes_its_place(tmp_path: Path) -> None:
    temporary, final = places(tmp_path)
    assert placeholder.publish_over(temporary, final, FS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": b"a cutout"}


def test_a_name_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    temporary, final = places(tmp_path)
    (tmp_path / "a.png").write_bytes(b"theirs")
    assert not placeholder.publish_over(temporary, final, FS)
    assert (tmp_path / "a.png").read_bytes() == b"theirs"
    assert not placeholder.is_ours(final, temporary, FS)
    assert placeholder.reserved_by(final, FS) == ""


def test_one_that_a_crash_left_says_whose_it_is(tmp_path: Path) -> None:
    temporary, final = places(tmp_path)
    dying = FaultyFileSystem(Fault("rename", errno.EIO))
    with pytest.raises(OSError, match="error"):
        placeholder.publish_over(temporary, final, dying)
    assert placeholder.is_ours(final, temporary, FS)
    assert placeholder.reserved_by(final, FS) == "ab12"
    of_another = os.fsencode(tmp_path / os.fsdecode(Temporary("ab12", 8, 0, 0).name()))
    assert not placeholder.is_ours(final, of_another, FS)


def test_a_full_disk_leaves_none(tmp_path: Path) -> None:
    temporary, final = places(tmp_path)
    with pytest.raises(OSError, match="space"):
        placeholder.publish_over(temporary, final, FaultyFileSystem(Fault("write", errno.ENOSPC)))
    assert not os.path.exists(final)
    assert os.path.exists(temporary)
