"""Whose a file or folder is, told by a lock."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from cutoutd.daemon.files import flock


def test_what_one_holds_another_does_not_until_it_is_closed(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    assert flock.hold(first)
    assert not flock.hold(second)
    os.close(first)
    assert flock.hold(second)
    os.close(second)


def test_where_no_locks_are_kept_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", none)
    fd = os.open(tmp_path, os.O_RDONLY)
    assert not flock.hold(fd)
    os.close(fd)
