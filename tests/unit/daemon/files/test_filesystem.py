"""The real calls do what they promise, and the faulty one fails where it was told to."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.daemon.files import filesystem
from cutoutd.daemon.files.filesystem import FileFacts, RealFileSystem, RenameUnsupported, write_all

FS = RealFileSystem(b"/")


def name(path: Path) -> bytes:
    return os.fsencode(path)


def test_exclusive_rename_moves_a_file_and_never_replaces_one(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    FS.rename_noreplace(name(tmp_path / "new"), name(tmp_path / "final"))
    assert (tmp_path / "final").read_bytes() == b"new"
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        FS.rename_noreplace(name(tmp_path / "other"), name(tmp_path / "final"))
    assert (tmp_path / "final").read_bytes() == b"new"
    assert (tmp_path / "other").read_bytes() == b"other"


def test_exclusive_rename_takes_a_dangling_link_for_a_taken_name(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "final").symlink_to(tmp_path / "nowhere")
    assert FS.exists(name(tmp_path / "final"))
    with pytest.raises(FileExistsError):
        FS.rename_noreplace(name(tmp_path / "new"), name(tmp_path / "final"))


def test_exclusive_rename_of_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        FS.rename_noreplace(name(tmp_path / "gone"), name(tmp_path / "final"))


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_exclusive_rename_is_told_apart_from_a_taken_name(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> int:
        return code

    monkeypatch.setattr(filesystem, "_native_rename", lambda: refuse)
    with pytest.raises(RenameUnsupported) as caught:
        FS.rename_noreplace(b"/a", b"/b")
    assert caught.value.errno == code


def test_a_c_library_without_exclusive_rename_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_native_rename", lambda: None)
    with pytest.raises(RenameUnsupported):
        FS.rename_noreplace(b"/a", b"/b")


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    path = name(tmp_path) + b"/\xff\xfe caf\xe9.jpg"
    fd = FS.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    write_all(FS, fd, b"12345")
    FS.fsync(fd)
    FS.close(fd)
    FS.fsync_dir(name(tmp_path))
    assert FS.lstat(path).st_mode & 0o777 == 0o600
    with FS.scandir(name(tmp_path)) as entries:
        assert [entry.name for entry in entries] == [b"\xff\xfe caf\xe9.jpg"]
    facts = FileFacts.of(FS.stat(path))
    assert (stat.S_ISREG(facts.mode), facts.size) == (True, 5)
    FS.unlink(path)
    assert not FS.exists(path)


def test_a_name_under_a_file_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not FS.exists(name(tmp_path / "file" / "below"))


def test_a_descriptor_does_not_leak_into_workers(tmp_path: Path) -> None:
    fd = FS.open(name(tmp_path / "file"), os.O_WRONLY | os.O_CREAT)
    assert not os.get_inheritable(fd)
    FS.close(fd)


def test_folders_and_free_space(tmp_path: Path) -> None:
    FS.mkdir(name(tmp_path / "sub"))
    with pytest.raises(FileExistsError):
        FS.mkdir(name(tmp_path / "sub"))
    FS.rmdir(name(tmp_path / "sub"))
    assert FS.free_bytes(name(tmp_path)) > 0


def test_write_all_goes_on_after_short_writes(tmp_path: Path) -> None:
    fs = FaultyFileSystem(Fault("write", times=3, keep=2))
    fd = fs.open(name(tmp_path / "out"), os.O_WRONLY | os.O_CREAT)
    write_all(fs, fd, b"0123456789")
    fs.close(fd)
    assert (tmp_path / "out").read_bytes() == b"0123456789"
    assert fs.counts()["write"] == 4
    assert fs.open_descriptors == 0


def test_write_all_does_not_spin_on_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    fs = FaultyFileSystem(Fault("write", times=-1, keep=0))
    fd = fs.open(name(tmp_path / "out"), os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="no bytes") as caught:
        write_all(fs, fd, b"0123456789")
    fs.close(fd)
    assert caught.value.errno == errno.EIO


def test_a_fault_strikes_the_kth_call_on_its_path_only(tmp_path: Path) -> None:
    fs = FaultyFileSystem(Fault("write", errno.ENOSPC, nth=2, path=b".part", keep=1))
    other = fs.open(name(tmp_path / "other"), os.O_WRONLY | os.O_CREAT)
    part = fs.open(name(tmp_path / "x.part"), os.O_WRONLY | os.O_CREAT)
    assert fs.write(other, b"abc") == 3
    assert fs.write(part, b"abc") == 3
    assert fs.write(other, b"abc") == 3
    with pytest.raises(OSError, match="space") as caught:
        fs.write(part, b"def")
    assert caught.value.errno == errno.ENOSPC
    assert fs.write(part, b"g") == 1
    fs.close(other)
    fs.close(part)
    assert (tmp_path / "x.part").read_bytes() == b"abcdg"


@pytest.mark.parametrize("code", [errno.EIO, errno.EBUSY, errno.EACCES])
@pytest.mark.parametrize("call", ["rename_noreplace", "unlink", "fsync_dir", "scandir", "lstat"])
def test_any_call_can_be_told_to_fail(call: str, code: int, tmp_path: Path) -> None:
    fs = FaultyFileSystem(Fault(call, code))
    arguments = (b"/a", b"/b") if call == "rename_noreplace" else (name(tmp_path),)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        getattr(fs, call)(*arguments)
    assert caught.value.errno == code
