"""The digest: one function of the content, however it is read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from tests.support.digests import digest_of
from tests.support.faulty_filesystem import FaultyFileSystem

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.digest import digest_file, has_content
from cutoutd.daemon.files.filesystem import RealFileSystem

FS = RealFileSystem(b"/")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_read_in_blocks_it_is_the_digest_of_the_whole(tmp_path: Path, size: int) -> None:
    data = bytes(index % 251 for index in range(997)) * (size // 997 + 1)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data[:size])
    expected = hashlib.blake2b(data[:size], digest_size=32).hexdigest()
    assert digest_file(os.fsencode(path), FS) == digest_of(data[:size]) == expected


def test_one_bit_makes_another(tmp_path: Path) -> None:
    assert digest_of(b"photo\x00") != digest_of(b"photo\x01")


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real.jpg").write_bytes(b"photo")
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    with pytest.raises(UnsafePath):
        digest_file(os.fsencode(tmp_path / "link.jpg"), FS)
    with pytest.raises(FileNotFoundError):
        digest_file(os.fsencode(tmp_path / "gone.jpg"), FS)


@pytest.mark.parametrize(("size", "same"), [(5, True), (0, True), (4, False), (6, False)])
def test_another_size_is_other_content_and_is_not_read(tmp_path: Path, size: int, *, same: bool) -> None:
    (tmp_path / "a.png").write_bytes(b"photo")
    fs = FaultyFileSystem()
    fd = fs.open(os.fsencode(tmp_path / "a.png"), os.O_RDONLY)
    try:
        assert has_content(fd, digest_of(b"photo"), size, fs) is same
    finally:
        fs.close(fd)
    assert ("read" in fs.counts()) is same


def test_what_grows_while_it_is_read_is_not_read_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"photo")

    class Growing(FaultyFileSystem):
        def read(self, fd: int, count: int) -> bytes:
            with path.open("ab") as writer:
                writer.write(b"more")
            return super().read(fd, count)

    fs = Growing()
    fd = fs.open(os.fsencode(path), os.O_RDONLY)
    try:
        assert not has_content(fd, digest_of(b"photo"), 5, fs)
    finally:
        fs.close(fd)
    assert fs.counts()["read"] == 1
