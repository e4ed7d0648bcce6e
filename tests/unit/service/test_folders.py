"""Folders of a configuration are made once, with those of after-care, and what cannot be made is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.config.errors import FolderError
from cutoutd.config.load import parse_settings
from cutoutd.service.folders import make_folders


def test_what_is_missing_is_made_and_what_is_there_stays(tmp_path: Path) -> None:
    settings = parse_settings(
        f'[[inbox]]\npath = "{tmp_path}/a/in"\noutbox = "{tmp_path}/a/out"\n'
        f'[inbox.after]\naction = "archive"\narchive = "{tmp_path}/done"\nfailed = "{tmp_path}/failed"\n'
    )
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "old.jpg").write_bytes(b"photo")
    made = make_folders(settings)
    assert made == [tmp_path / "a/in", tmp_path / "a/out", tmp_path / "failed"]
    assert all(folder.is_dir() for folder in made)
    assert (tmp_path / "done" / "old.jpg").exists()
    assert make_folders(settings) == []


def test_a_file_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a file")
    settings = parse_settings(f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n')
    with pytest.raises(FolderError, match="the folder cannot be made") as caught:
        make_folders(settings)
    assert str(tmp_path / "in") in str(caught.value)
    assert caught.value.fix
