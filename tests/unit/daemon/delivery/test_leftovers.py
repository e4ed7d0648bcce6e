"""Which temporaries are swept out of an outbox, and which are somebody's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cutoutd.daemon.delivery.leftovers import FOREIGN_TEMPORARY_AGE_S, by_outbox, sweep
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import Temporary

FS = RealFileSystem(b"/")


def _temporary(folder: Path, instance: str, photo: int) -> Path:
    path = folder / os.fsdecode(Temporary(instance, photo, 0, 0).name())
    path.write_bytes(b"half a cutout")
    return path


def test_ours_and_old_foreign_ones_only(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    ours, kept = _temporary(tmp_path / "sub", "ab12", 1), _temporary(tmp_path, "ab12", 2)
    foreign = _temporary(tmp_path, "ffff", 1)
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / ".hidden").write_bytes(b"")
    outbox, keep, now = os.fsencode(tmp_path), frozenset({os.fsencode(kept)}), foreign.stat().st_mtime
    assert sweep(outbox, "ab12", keep, fs=FS, now=now + FOREIGN_TEMPORARY_AGE_S - 1) == 1
    assert [path.exists() for path in (ours, kept, foreign)] == [False, True, True]
    assert sweep(outbox, "ab12", keep, fs=FS, now=now + FOREIGN_TEMPORARY_AGE_S + 1) == 1
    assert sorted(os.listdir(tmp_path)) == sorted([".hidden", "a.png", "sub", kept.name])


def test_a_link_in_the_outbox_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    theirs = _temporary(tmp_path / "elsewhere", "ab12", 1)
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    assert sweep(os.fsencode(tmp_path / "out"), "ab12", frozenset(), fs=FS) == 0
    assert theirs.exists()


def test_an_outbox_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sweep(os.fsencode(tmp_path / "gone"), "ab12", frozenset(), fs=FS)


def test_a_temporary_belongs_to_the_innermost_outbox_that_it_lies_in_and_else_to_none() -> None:
    there, elsewhere = by_outbox([b"/a/x", b"/a/in/y", b"/ab/z", b"/a/in/deep/w"], {b"/a", b"/a/in"})
    assert there == {b"/a": [b"/a/x"], b"/a/in": [b"/a/in/y", b"/a/in/deep/w"]}
    assert elsewhere == [b"/ab/z"]
