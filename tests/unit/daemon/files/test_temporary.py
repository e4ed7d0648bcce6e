"""A temporary is whole, private and on the disk before anybody hears of it, and leaves nothing behind otherwise."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.support.digests import cutout_digest_of, digest_of
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.daemon.files import digest
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import Temporary
from cutoutd.daemon.files.temporary import TemporaryError, TemporaryWriter, write_temporary


def digest_file(path: bytes) -> str:
    return digest.digest_file(path, RealFileSystem(os.path.dirname(path)))


DATA = bytes(range(256)) * 40


def _temporary(folder: Path, photo: int = 1) -> bytes:
    return os.fsencode(folder / os.fsdecode(Temporary("ab12", photo, 0, 0).name()))


def _written(folder: Path, data: bytes = DATA) -> bytes:
    temporary = _temporary(folder)
    write_temporary(os.fsencode(folder), temporary, data)
    return temporary


def test_a_temporary_is_private_whole_and_known_by_its_digest(tmp_path: Path) -> None:
    temporary = _temporary(tmp_path / "new" / "sub")
    (tmp_path / "new").mkdir()
    before = os.umask(0o077)  # as each process of ours has it
    try:
        digest = write_temporary(os.fsencode(tmp_path / "new"), temporary, DATA, folder_mode=0o751)
    finally:
        os.umask(before)
    assert digest == cutout_digest_of(DATA)
    assert digest_file(temporary) == digest_of(DATA)
    assert os.stat(temporary).st_mode & 0o777 == 0o600
    assert (tmp_path / "new" / "sub").stat().st_mode & 0o777 == 0o751


def test_the_outbox_itself_is_never_made(tmp_path: Path) -> None:
    away = tmp_path / "away"
    with pytest.raises(TemporaryError) as caught:
        write_temporary(os.fsencode(away), _temporary(away), DATA)
    assert caught.value.code == errno.ENOENT
    assert not away.exists()


def test_a_longer_leftover_does_not_show_through(tmp_path: Path) -> None:
    _written(tmp_path, DATA * 2)
    assert digest_file(_written(tmp_path, DATA)) == digest_of(DATA)


def test_a_link_in_the_temporarys_place_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.symlink(victim, _temporary(tmp_path))
    with pytest.raises(TemporaryError):
        _written(tmp_path)
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_any_failing_call_of_a_temporary_is_told_and_leaves_no_descriptor(tmp_path: Path, code: int) -> None:
    counting = FaultyFileSystem()
    write_temporary(os.fsencode(tmp_path), _temporary(tmp_path), DATA, fs=counting)
    for nth in range(1, len(counting.calls) + 1):
        folder = tmp_path / f"{code}-{nth}"
        folder.mkdir()
        fs = FaultyFileSystem(Fault("*", code, nth=nth))
        with pytest.raises(TemporaryError) as caught:
            write_temporary(os.fsencode(folder), _temporary(folder), DATA, fs=fs)
        assert caught.value.code == code
        assert fs.open_descriptors == 0, fs.calls
        assert write_temporary(os.fsencode(folder), _temporary(folder), DATA) == cutout_digest_of(DATA)


def test_short_writes_are_continued(tmp_path: Path) -> None:
    fs = FaultyFileSystem(Fault("write", keep=7, times=3))
    write_temporary(os.fsencode(tmp_path), _temporary(tmp_path), DATA, fs=fs)
    assert digest_file(_temporary(tmp_path)) == digest_of(DATA)


def test_it_grows_piece_by_piece(tmp_path: Path) -> None:
    pieces = [DATA[at : at + 700] for at in range(0, len(DATA), 700)]
    with TemporaryWriter(os.fsencode(tmp_path), _temporary(tmp_path)) as file:
        assert not file.begun
        assert os.listdir(tmp_path) == []
        for piece in pieces:
            file.take(piece)
        assert file.finish() == cutout_digest_of(DATA)
    assert digest_file(_temporary(tmp_path)) == digest_of(DATA)


def test_large_ones_are_sent_on_their_way_before_they_are_whole(tmp_path: Path) -> None:
    sent: list[tuple[int, int]] = []

    class Watched(FaultyFileSystem):
        def start_writing_back(self, fd: int, start: int, count: int) -> None:
            sent.append((start, count))
            super().start_writing_back(fd, start, count)

    data = os.urandom(1 << 20)
    with TemporaryWriter(os.fsencode(tmp_path), _temporary(tmp_path), fs=Watched()) as file:
        for _ in range(5):
            file.take(data)
        assert file.finish() == cutout_digest_of(data * 5)
    assert sent == [(0, 2 << 20), (2 << 20, 2 << 20)]


def test_one_that_is_given_up_is_emptied_and_closed(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    with TemporaryWriter(os.fsencode(tmp_path), _temporary(tmp_path), fs=fs) as file:
        file.take(DATA)
    assert fs.open_descriptors == 0
    assert os.stat(_temporary(tmp_path)).st_size == 0


def test_another_folder_in_the_outboxs_place_is_not_written_to(tmp_path: Path) -> None:
    facts = tmp_path.stat()
    with (
        pytest.raises(TemporaryError) as caught,
        TemporaryWriter(
            os.fsencode(tmp_path), _temporary(tmp_path), inode=(facts.st_dev, facts.st_ino + 1)
        ) as file,
    ):
        file.take(DATA)
    assert caught.value.code == errno.ESTALE
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("change", [b"", b"x" * len(DATA), DATA + b"more", DATA[:-1]])
def test_what_the_disk_gives_back_is_compared(tmp_path: Path, change: bytes) -> None:
    class Forgetful(FaultyFileSystem):
        def fsync_dir(self, path: bytes) -> None:
            Path(os.fsdecode(_temporary(tmp_path))).write_bytes(change)

    with pytest.raises(TemporaryError, match="other bytes"):
        write_temporary(os.fsencode(tmp_path), _temporary(tmp_path), DATA, fs=Forgetful())
