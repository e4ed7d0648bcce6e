"""Folders for one command's work, and what killed ones leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tests.support.conditions import wait_until

from cutoutd.service.scratch import PREFIX, YOUNG_S, scratch_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _aged(folder: Path) -> Path:
    before = time.time() - 2 * YOUNG_S
    os.utime(folder, (before, before))
    return folder


def test_it_is_for_its_owner_alone_and_gone_with_the_block() -> None:
    with scratch_folder() as folder:
        (folder / "photo").write_bytes(b"x")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_what_nobody_holds_any_more_goes_and_nothing_else(temporary: Path) -> None:
    left = temporary / f"{PREFIX}left"
    (left / "out").mkdir(parents=True)
    (left / "out" / "photo").write_bytes(b"x")
    _aged(left)
    young = temporary / f"{PREFIX}young"
    young.mkdir()
    others = _aged(temporary)  # any folder of that age
    (temporary / "theirs").mkdir()
    (temporary / f"{PREFIX}link").symlink_to(temporary / "theirs")
    _aged(temporary / "theirs")
    with scratch_folder() as held:
        _aged(held)
        with scratch_folder():
            assert held.exists()
        assert not left.exists()
        assert young.exists()
        assert (temporary / "theirs").exists()
        assert (temporary / f"{PREFIX}link").is_symlink()
    assert others.exists()


@pytest.mark.slow
def test_a_photo_of_a_killed_command_is_removed_by_the_next(temporary: Path) -> None:
    command = [sys.executable, "-m", "cutoutd.service", "once", "-", "-o", "-"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temporary)},
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"\xff\xd8\xff\xe1 the first bytes of a photo")
        process.stdin.flush()  # its end never comes
        wait_until(
            lambda: list(temporary.glob(f"{PREFIX}*/stdin")), "the photo among the temporary files", 60
        )
        process.send_signal(signal.SIGKILL)
    (photo,) = temporary.glob(f"{PREFIX}*/stdin")
    assert photo.exists()
    _aged(photo.parent)
    with scratch_folder():
        assert not photo.parent.exists()
