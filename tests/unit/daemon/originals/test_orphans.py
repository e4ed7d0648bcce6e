"""Originals that a lost or restored ledger left hidden."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.originals import move
from cutoutd.daemon.originals.orphans import FOREIGN_HIDDEN_AGE_S, restore_orphans

REAL = RealFileSystem(b"/")


def _hidden(folder: Path, name: str, instance: str = "ab12") -> Path:
    path = Path(os.fsdecode(move.hidden_name(os.fsencode(folder / name), instance, 9)))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(name.encode())
    return path


def test_ours_get_their_names_back_and_others_stay_for_a_day(tmp_path: Path) -> None:
    lost, known = _hidden(tmp_path / "day", "a.jpg"), _hidden(tmp_path, "known.jpg")
    foreign = _hidden(tmp_path, "theirs.jpg", "ffff")
    root, kept = os.fsencode(tmp_path), frozenset({os.fsencode(known)})
    assert restore_orphans(root, "ab12", kept, REAL) == 1
    assert (tmp_path / "day" / "a.jpg").read_bytes() == b"a.jpg"
    assert [path.exists() for path in (lost, known, foreign)] == [False, True, True]
    later = time.time() + FOREIGN_HIDDEN_AGE_S + 60
    assert restore_orphans(root, "ab12", kept, REAL, now=later) == 1
    assert (tmp_path / "theirs.jpg").exists()


def test_a_name_that_is_taken_again_is_not_taken_away(tmp_path: Path) -> None:
    _hidden(tmp_path, "a.jpg")
    (tmp_path / "a.jpg").write_bytes(b"a newer frame")
    assert restore_orphans(os.fsencode(tmp_path), "ab12", frozenset(), REAL) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.jpg": b"a newer frame",
        "a (2).jpg": b"a.jpg",
    }


def test_an_inbox_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        restore_orphans(os.fsencode(tmp_path / "gone"), "ab12", frozenset(), REAL)
