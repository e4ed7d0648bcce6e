"""Files under other names: sizes before bytes, nothing replaced, and no copy of what is still written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.support.digests import digest_of

from cutoutd.daemon.files import copying
from cutoutd.daemon.files.filesystem import RealFileSystem, RenameUnsupported

REAL = RealFileSystem(b"/")


class NothingExclusive(RealFileSystem):
    """Neither an exclusive rename nor links."""

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        raise RenameUnsupported(errno.EINVAL, "no", os.fsdecode(target))

    def link(self, source: bytes, target: bytes) -> None:
        raise OSError(errno.EPERM, "no", os.fsdecode(target))


def _file(path: Path, data: bytes) -> bytes:
    path.write_bytes(data)
    return os.fsencode(path)


def test_same_content_asks_sizes_and_then_bytes(tmp_path: Path) -> None:
    one, same = _file(tmp_path / "a", b"a photo"), _file(tmp_path / "b", b"a photo")
    longer, other = _file(tmp_path / "c", b"a photo!"), _file(tmp_path / "d", b"a phota")
    assert copying.same_content(one, same, REAL)
    assert not copying.same_content(one, longer, REAL)
    assert not copying.same_content(one, other, REAL)
    (tmp_path / "e").mkdir()
    assert not copying.same_content(one, os.fsencode(tmp_path / "e"), REAL)


@pytest.mark.parametrize("fs", [REAL, NothingExclusive(b"/")])
def test_a_name_is_taken_only_when_it_is_free(tmp_path: Path, fs: RealFileSystem) -> None:
    ours, theirs = _file(tmp_path / "ours", b"ours"), _file(tmp_path / "theirs", b"theirs")
    with pytest.raises(FileExistsError):
        copying.take_name(ours, theirs, fs)
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    copying.take_name(ours, os.fsencode(tmp_path / "free"), fs)
    assert (tmp_path / "free").read_bytes() == b"ours"
    assert not (tmp_path / "ours").exists()


def test_a_crash_between_a_link_and_the_end_of_our_own_name_is_finished(tmp_path: Path) -> None:
    """Where no exclusive rename exists an original that came back lay there twice, under its name and another."""

    class NoExclusiveRename(NothingExclusive):
        link = RealFileSystem.link

    fs = NoExclusiveRename(b"/")
    ours, name = _file(tmp_path / "ours", b"a photo"), tmp_path / "name"
    os.link(ours, name)
    copying.take_name(ours, os.fsencode(name), fs)
    assert os.listdir(tmp_path) == ["name"]
    again = _file(tmp_path / "ours", b"a photo")
    with pytest.raises(FileExistsError):
        copying.take_name(again, os.fsencode(name), fs)


def test_what_somebody_writes_is_neither_digested_nor_copied(tmp_path: Path) -> None:
    one, device = _file(tmp_path / "a", b"a photo"), tmp_path.stat().st_dev
    assert copying.digest_at_rest(one, REAL, device) == digest_of(b"a photo")
    with open(one, "r+b"):
        with pytest.raises(copying.StillWritten):
            copying.digest_at_rest(one, REAL, device)
        with pytest.raises(copying.StillWritten):
            copying.copy_file(one, os.fsencode(tmp_path / "copy"), REAL, device=device)
    assert not (tmp_path / "copy").exists()
    copying.copy_file(one, os.fsencode(tmp_path / "copy"), REAL, device=device)
    assert (tmp_path / "copy").read_bytes() == b"a photo"
