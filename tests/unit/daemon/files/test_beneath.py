"""Names below a folder whose other users swap what lies there, with the kernel's help and without."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutoutd.daemon.files import beneath
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.filesystem import RealFileSystem, Root

OTHERS = ("link", "dangling link", "pipe", "socket", "folder", "device")


@pytest.fixture(params=["openat2", "walk"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "openat2" and getattr(beneath, "_openat2")() is None:  # noqa: B009
        pytest.skip("this kernel has no openat2")
    if request.param == "walk":
        monkeypatch.setattr(beneath, "_openat2", lambda: None)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"secret")
    (folder / "sub" / "a.jpg").write_bytes(b"secret")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "deep" / "a.jpg").write_bytes(b"photo")
    (folder / "plain.jpg").write_bytes(b"plain")
    return folder


def name(path: Path) -> bytes:
    return os.fsencode(path)


def put_other(kind: str, path: Path, outside: Path) -> None:
    """Lays something that is no plain file under a name."""
    match kind:
        case "link":
            path.symlink_to(outside / "a.jpg")
        case "dangling link":
            path.symlink_to(outside / "not there.jpg")
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as one:
                here = os.getcwd()
                os.chdir(path.parent)  # a socket's path may have 107 bytes
                one.bind(path.name)
                os.chdir(here)
        case "folder":
            path.mkdir()
        case _:
            try:
                os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
            except PermissionError:
                pytest.skip("only root makes devices")


def calls(fs: RealFileSystem, path: bytes, beside: bytes) -> dict[str, Any]:
    """Every call with a path, by its name."""
    return {
        "lstat": lambda: fs.lstat(path),
        "exists": lambda: fs.exists(path),
        "open": lambda: fs.open(path, os.O_RDONLY),
        "create": lambda: fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        "create new": lambda: fs.open(path + b".new", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        "chmod": lambda: fs.chmod(path, 0o777),
        "rename": lambda: fs.rename(path, beside),
        "rename onto": lambda: fs.rename(beside, path),
        "rename_noreplace": lambda: fs.rename_noreplace(beside, path + b".new"),
        "exchange": lambda: fs.exchange(beside, path),
        "link": lambda: fs.link(path, beside + b".new"),
        "link into": lambda: fs.link(beside, path + b".new"),
        "unlink": lambda: fs.unlink(path),
        "mkdir": lambda: fs.mkdir(path + b".new"),
        "rmdir": lambda: fs.rmdir(path),
        "fsync_dir": lambda: fs.fsync_dir(os.path.dirname(path)),
        "scandir": lambda: fs.scandir(os.path.dirname(path)).__enter__(),
        "free_bytes": lambda: fs.free_bytes(os.path.dirname(path)),
    }


CALLS = tuple(calls(RealFileSystem(b"/"), b"/a", b"/b"))


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def refusal_of(call: str, act: Callable[[], object]) -> UnsafePath:
    try:
        act()
    except UnsafePath as refusal:
        return refusal
    pytest.fail(f"{call} was not refused")


@pytest.mark.parametrize("depth", [1, 2])
def test_no_call_passes_a_folder_that_became_a_link(depth: int, root: Path, outside: Path) -> None:
    (root / "sub").rename(root / "away")
    if depth == 1:
        (root / "sub").symlink_to(outside)
        path = root / "sub" / "a.jpg"
    else:
        (root / "sub").mkdir()
        (root / "sub" / "deep").symlink_to(outside / "sub")
        path = root / "sub" / "deep" / "a.jpg"
    before = state(outside)
    every = calls(RealFileSystem(name(root)), name(path), name(root / "plain.jpg"))
    for call in CALLS:
        refusal = refusal_of(call, every[call])
        assert "link" in str(refusal), call
        assert refusal.errno == errno.ELOOP
        assert state(outside) == before, call
        assert (root / "plain.jpg").read_bytes() == b"plain", call


@pytest.mark.parametrize("kind", OTHERS)
def test_only_a_plain_file_is_opened_and_nobody_is_waited_for(kind: str, root: Path, outside: Path) -> None:
    put_other(kind, root / "a.jpg", outside)
    before = state(outside)
    fs = RealFileSystem(name(root))
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDWR):
        with pytest.raises(UnsafePath, match="where a file should be"):
            fs.open(name(root / "a.jpg"), flags)
    assert state(outside) == before


@pytest.mark.parametrize("kind", ["link", "pipe", "socket"])
def test_what_is_swapped_in_between_look_and_open_is_refused_too(
    kind: str, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat
    path = root / "plain.jpg"

    def swapping(what: Any, **named: Any) -> os.stat_result:
        facts = real(what, **named)
        if what == b"plain.jpg" and path.is_file() and not path.is_symlink():
            path.unlink()
            put_other(kind, path, outside)
        return facts

    monkeypatch.setattr(os, "stat", swapping)
    with pytest.raises(UnsafePath):
        RealFileSystem(name(root)).open(name(path), os.O_RDONLY)


@pytest.mark.parametrize("path", ["../outside/a.jpg", "sub/../../outside/a.jpg", "/etc/passwd"])
def test_no_path_leaves_its_folder(path: str, root: Path, outside: Path) -> None:
    before, inside = state(outside), state(root)
    every = calls(
        RealFileSystem(name(root)), os.path.join(name(root), os.fsencode(path)), name(root / "plain.jpg")
    )
    for call in CALLS:
        refusal_of(call, every[call])
        assert (state(outside), state(root)) == (before, inside), call


def test_a_root_may_be_reached_through_links_but_not_be_left(
    root: Path, outside: Path, tmp_path: Path
) -> None:
    (tmp_path / "by link").symlink_to(root)
    (root / "out").symlink_to(outside)
    fs = RealFileSystem(name(tmp_path / "by link"))
    fd = fs.open(name(tmp_path / "by link" / "sub" / "deep" / "a.jpg"), os.O_RDONLY)
    assert fs.read(fd, 10) == b"photo"
    fs.close(fd)
    with fs.scandir(name(tmp_path / "by link")) as entries:
        assert sorted(entry.name for entry in entries) == [b"out", b"plain.jpg", b"sub"]
    with pytest.raises(UnsafePath):
        fs.open(name(tmp_path / "by link" / "out" / "a.jpg"), os.O_RDONLY)


def test_a_folder_made_anew_in_a_roots_place_is_another_one(root: Path, tmp_path: Path) -> None:
    facts = root.stat()
    fs = RealFileSystem(Root(name(root), (facts.st_dev, facts.st_ino)))
    assert fs.exists(name(root / "plain.jpg"))
    root.rename(tmp_path / "away")
    root.mkdir()
    for call in calls(fs, name(root / "plain.jpg"), name(root / "b.jpg")).values():
        with pytest.raises(OSError, match="another folder") as caught:
            call()
        assert caught.value.errno == errno.ESTALE
    assert list(root.iterdir()) == []


def test_of_nested_roots_the_inner_one_counts(root: Path, outside: Path) -> None:
    """An archive within an outbox may be reached by a link of the user's; that is no neighbour's doing."""
    (root / "archive").symlink_to(outside)
    assert RealFileSystem(name(root), name(root / "archive")).exists(name(root / "archive" / "a.jpg"))
    with pytest.raises(UnsafePath):
        RealFileSystem(name(root)).exists(name(root / "archive" / "a.jpg"))


@pytest.mark.slow
def test_swapping_at_full_speed_leads_nowhere_else(root: Path, outside: Path) -> None:
    """A neighbour changes a folder for a link and back as fast as it can; what is read is ours or nothing."""
    real, link, there = root / "real", root / "link", root / "sub" / "deep"
    there.rename(real)
    real.rename(there)
    link.symlink_to(outside)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            there.rename(real)
            link.rename(there)
            there.rename(link)
            real.rename(there)

    fs, path = RealFileSystem(name(root)), name(there / "a.jpg")
    thread = threading.Thread(target=swap)
    thread.start()
    read = refused = 0
    try:
        for _ in range(20_000):
            try:
                fd = fs.open(path, os.O_RDONLY)
            except OSError:
                refused += 1
                continue
            assert os.read(fd, 10) == b"photo"
            os.close(fd)
            read += 1
            if read > 200 and refused > 200:
                break
    finally:
        ended.set()
        thread.join()
    assert read
    assert refused


def test_no_descriptor_stays_open(root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside)
    os.mkfifo(root / "pipe")
    fs = RealFileSystem(name(root))
    before = len(os.listdir("/dev/fd"))
    for path in ("link/a.jpg", "pipe", "sub/deep/a.jpg", "no/folder/a.jpg", "plain.jpg/a.jpg"):
        for each, call in calls(fs, name(root / path), name(root / "other")).items():
            if each == "scandir":
                continue
            try:
                found = call()
            except OSError:
                continue
            if each in ("open", "create", "create new"):
                os.close(found)
    assert len(os.listdir("/dev/fd")) == before
