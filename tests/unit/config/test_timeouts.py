from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from cutoutd.config import folders
from cutoutd.config.folders import folder_problems
from cutoutd.config.settings import Settings
from cutoutd.config.timeouts import run_with_timeout


def test_an_answer_in_time_is_the_answer() -> None:
    assert run_with_timeout(10, lambda: 5, 0) == 5


def test_an_error_in_time_is_raised_where_it_was_asked() -> None:
    def refused() -> int:
        raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        run_with_timeout(10, refused, 0)


def test_a_call_that_hangs_is_waited_for_no_longer_than_said() -> None:
    forever = threading.Event()
    started = time.monotonic()
    assert run_with_timeout(0.05, forever.wait, otherwise=False) is False
    assert time.monotonic() - started < 5
    forever.set()


def test_folders_are_compared_by_their_names_while_one_of_them_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon neither started nor took a new config while the server of one share was away."""
    forever = threading.Event()

    def hangs(_path: Path, _folder: Path) -> bool:
        return forever.wait()

    monkeypatch.setattr(folders, "is_inside", hangs)
    monkeypatch.setattr(folders, "LOOK_S", 0.05)
    inbox = {"path": tmp_path / "share", "outbox": tmp_path / "out"}
    assert folder_problems(Settings.model_validate({"inbox": [inbox]})) == []
    inbox["outbox"] = tmp_path / "share" / "out"
    (problem,) = folder_problems(Settings.model_validate({"inbox": [inbox]}))
    assert "lies inside the inbox" in problem.message
    forever.set()
