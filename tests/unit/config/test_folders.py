"""Which folder lies in which, however they are spelt."""

# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.config import folders
from cutoutd.config.folders import is_inside


def test_missing_folders_are_compared_by_name(tmp_path: Path) -> None:
    assert is_inside(tmp_path / "a/b", tmp_path / "a")
    assert is_inside(tmp_path / "a", tmp_path / "a")
    assert not is_inside(tmp_path / "ab", tmp_path / "a")
    assert not is_inside(tmp_path / "a", tmp_path / "a/b")
    assert is_inside(tmp_path / "a/../b", tmp_path / "b")


def test_existing_folders_are_compared_by_inode(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert is_inside(tmp_path / "link/deep/new", tmp_path / "real")
    assert is_inside(tmp_path / "real/deep", tmp_path / "link")


def test_a_disk_that_ignores_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_ignores_case", lambda _folder: True)
    assert is_inside(tmp_path / "Inbox/new", tmp_path / "INBOX")


def test_a_disk_that_heeds_case(tmp_path: Path) -> None:
    assert not is_inside(tmp_path / "Inbox/new", tmp_path / "INBOX") or folders._ignores_case(tmp_path)
