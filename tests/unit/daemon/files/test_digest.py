"""The digest: one function of the content, however it is read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.digest import digest_file, digest_of
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
