"""The digests: functions of the content, however it is read."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.support.digests import cutout_digest_of, digest_of
from tests.support.faulty_filesystem import FaultyFileSystem

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.digest import CutoutDigest, digest_file, has_content
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


@pytest.mark.parametrize("size", [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 300_007])
def test_a_cutouts_digest_does_not_depend_on_the_pieces_it_comes_in(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    for piece in (1000, 64 << 10, 100_000, 1 << 20):
        total = CutoutDigest()
        for start in range(0, size, piece):
            total.update(memoryview(data)[start : start + piece])
            total.hexdigest()  # to ask in between changes nothing
        assert total.hexdigest() == cutout_digest_of(data)
    sums = [zlib.crc32(data[start : start + (64 << 10)]) for start in range(0, size, 64 << 10)]
    expected = hashlib.blake2b(b"".join(one.to_bytes(4, "little") for one in sums), digest_size=24)
    assert cutout_digest_of(data) == expected.hexdigest()


def test_every_change_of_a_cutout_makes_another_digest() -> None:
    data = np.random.default_rng(1).bytes(200_000)
    swapped = data[64 << 10 : 128 << 10] + data[: 64 << 10] + data[128 << 10 :]
    edited = [data[:-1], data + b"\0", swapped, bytes(len(data)), data[1:] + data[:1]]
    edited += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in (0, 65_535, 65_536, 199_999)]
    assert len({cutout_digest_of(one) for one in (data, *edited)}) == len(edited) + 1


@pytest.mark.parametrize("kind", [digest_of, cutout_digest_of], ids=["of earlier versions", "of this one"])
def test_a_cutout_is_known_by_a_digest_of_either_kind(tmp_path: Path, kind: Callable[[bytes], str]) -> None:
    data = np.random.default_rng(2).bytes(3 << 20)
    path = tmp_path / "a.png"
    for there, same in ((data, True), (data[:-1] + b"x", False)):
        path.write_bytes(there)
        fd = FS.open(os.fsencode(path), os.O_RDONLY)
        try:
            assert has_content(fd, kind(data), len(data), FS) is same
        finally:
            FS.close(fd)


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
        assert has_content(fd, cutout_digest_of(b"photo"), size, fs) is same
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
        assert not has_content(fd, cutout_digest_of(b"photo"), 5, fs)
    finally:
        fs.close(fd)
    assert fs.counts()["read"] == 1
