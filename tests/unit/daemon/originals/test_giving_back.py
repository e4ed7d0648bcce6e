"""Originals that get their names back: over nobody's file, and not where they have arrived."""

from __future__ import annotations

import os
from pathlib import Path

from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.originals import giving_back

FS = RealFileSystem(b"/")


def test_giving_back_replaces_nothing(tmp_path: Path) -> None:
    hidden, original = (os.fsencode(tmp_path / name) for name in (".hidden", "a.jpg"))
    assert not giving_back.give_back(hidden, original, for_good=False, fs=FS)
    (tmp_path / ".hidden").write_bytes(b"frame")
    assert giving_back.give_back(hidden, original, for_good=False, fs=FS)
    (tmp_path / "a.jpg").rename(tmp_path / ".hidden")
    (tmp_path / "a.jpg").write_bytes(b"the next frame")
    assert not giving_back.give_back(hidden, original, for_good=False, fs=FS)
    assert (tmp_path / ".hidden").exists()
    assert giving_back.give_back(hidden, original, for_good=True, fs=FS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.jpg": b"the next frame",
        "a (2).jpg": b"frame",
    }


def test_an_original_that_is_to_stay_is_brought_back_unless_it_has_arrived(tmp_path: Path) -> None:
    fs, root = RealFileSystem(b"/"), os.fsencode(tmp_path)
    hidden, original, planned = root + b"/.hidden", root + b"/a.jpg", root + b"/archived.jpg"
    (tmp_path / "archived.jpg").write_bytes(b"frame")
    assert not giving_back.bring_back(hidden, original, planned, fs=fs)
    (tmp_path / "archived.jpg").rename(tmp_path / ".hidden")
    assert giving_back.bring_back(hidden, original, planned, fs=fs)
    assert os.listdir(tmp_path) == ["a.jpg"]
    assert giving_back.bring_back(hidden, original, planned, fs=fs), "it was never hidden"
