"""Who has a file open for writing: asked of the kernel, with real writers."""

from __future__ import annotations

import mmap
import os
import signal
import sys
from pathlib import Path

import pytest

from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.writers import Writers, writers_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
REAL = RealFileSystem(b"/")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"a photo")
    if _asked(path) is Writers.UNKNOWN:
        pytest.skip("no leases on this file system")
    return path


def _asked(path: Path, *, believed: bool = True) -> Writers:
    return writers_of(os.fsencode(path), path.parent.stat().st_dev if believed else None, REAL)


def test_readers_are_no_writers(photo: Path) -> None:
    with photo.open("rb"):
        assert _asked(photo) is Writers.NOBODY


@pytest.mark.parametrize("mode", ["r+b", "ab"])
def test_a_writer_shows_until_it_closes_the_file(photo: Path, mode: str) -> None:
    with photo.open(mode):
        assert _asked(photo) is Writers.SOMEBODY
    assert _asked(photo) is Writers.NOBODY


def test_a_file_that_is_mapped_for_writing_is_being_written(photo: Path) -> None:
    with photo.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    assert _asked(photo) is Writers.SOMEBODY
    mapped.close()
    assert _asked(photo) is Writers.NOBODY


def test_what_is_no_plain_file_or_lies_elsewhere_is_unknown_and_hangs_nothing(photo: Path) -> None:
    os.mkfifo(photo.with_name("fifo.jpg"))
    photo.with_name("link.jpg").symlink_to(photo)
    for name in ("fifo.jpg", "link.jpg", "gone.jpg"):
        assert _asked(photo.with_name(name)) is Writers.UNKNOWN
    assert _asked(photo, believed=False) is Writers.UNKNOWN
    assert writers_of(os.fsencode(photo), photo.stat().st_dev + 1, REAL) is Writers.UNKNOWN


def test_asking_again_and_again_never_ends_the_program_nor_stops_a_writer(photo: Path) -> None:
    """A writer that comes within the lease breaks it, and the signal of that would end us if it were the usual one."""
    child = os.fork()
    if child == 0:
        for _ in range(3000):
            os.close(os.open(photo, os.O_WRONLY))
        os._exit(0)
    try:
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            assert _asked(photo) in (Writers.NOBODY, Writers.SOMEBODY)
            assert signal.getsignal(signal.SIGIO) is signal.SIG_DFL
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    assert _asked(photo) is Writers.NOBODY
