"""Notes beside failed originals."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.story import Story
from cutoutd.daemon.originals.notes import Notes, leave_note, take_note_back

REAL = RealFileSystem(b"/")


@pytest.fixture
def original(tmp_path: Path) -> bytes:
    (tmp_path / "a.jpg").write_bytes(b"broken")
    return os.fsencode(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("open", errno.ENOSPC, path=b".txt"),
        Fault("write", errno.ENOSPC, keep=3, path=b".txt"),
        Fault("close", errno.ENOSPC, path=b".txt"),
    ],
)
def test_a_note_is_whole_or_not_there(original: bytes, tmp_path: Path, fault: Fault) -> None:
    fs = FaultyFileSystem(fault)
    assert leave_note(original, "too-large: no", fs) == os.strerror(errno.ENOSPC)
    assert not (tmp_path / "a.jpg.txt").exists()
    assert fs.open_descriptors == 0


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_whoever_may_read_cutouts_reads_the_note(original: bytes, tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)  # the daemon's own
    try:
        assert leave_note(original, "too-large: no", REAL, mode) == ""
    finally:
        os.umask(before)
    assert (tmp_path / "a.jpg.txt").stat().st_mode & 0o777 == mode


def test_a_note_replaces_nobodys_text(original: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg.txt").write_text("my own words")
    assert leave_note(original, "too-large: no", REAL) == ""
    assert (tmp_path / "a.jpg.txt").read_text() == "my own words"


class AtOnce:
    """Makes each call where it is asked for."""

    def call(self, work: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        then(work(), None)


class Heard(Listener):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def test_that_there_is_none_is_said_once_for_each_cause(original: bytes) -> None:
    heard = Heard()
    notes = Notes(heard)

    def leave(fs: FileSystem) -> None:
        Story(notes.leave(cast("IoThread", AtOnce()), original, "too-large: no", fs))

    for _ in range(2):
        leave(FaultyFileSystem(Fault("open", errno.ENOSPC, path=b".txt")))
    assert len(heard.warnings) == 1
    assert os.strerror(errno.ENOSPC) in heard.warnings[0]
    leave(REAL)
    leave(FaultyFileSystem(Fault("open", errno.ENOSPC, path=b".txt")))
    assert len(heard.warnings) == 1 + 1


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        (b"no-subject: none\n", False),
        (b"no-subject: none\nand mine\n", True),
        (b"to do: call Ann\n", True),
        (b"", True),
    ],
)
def test_only_what_still_reads_as_it_was_left_is_taken_back(
    original: bytes, tmp_path: Path, text: bytes, stays: bool
) -> None:
    (tmp_path / "a.jpg.txt").write_bytes(text)
    take_note_back(original, REAL)
    assert (tmp_path / "a.jpg.txt").exists() is stays
