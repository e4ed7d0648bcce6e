"""An empty text is no path, in any command."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.config.errors import ExitCode
from cutoutd.service.cli import app


@pytest.mark.parametrize(
    "words",
    [
        ["once", "", "-o", "out"],
        ["once", "a.jpg", "", "-o", "out"],
        ["once", "a.jpg", "-o", ""],
        ["once", "a.jpg", "-o", "out", "--mask", ""],
        ["run", "--inbox", "", "--outbox", "out"],
        ["run", "--inbox", "in", "--outbox", ""],
        ["run", "-c", ""],
        ["gallery", "-o", ""],
        ["config", "check", "-c", ""],
        ["config", "check", "--for", ""],
        ["init", "-c", ""],
        ["models", "add", ""],
        ["verify", "--keep", ""],
        ["review", ""],
    ],
    ids=" ".join,
)
def test_a_variable_that_is_not_set_means_no_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert app.run(words) == ExitCode.USAGE
    assert capsys.readouterr().err.rstrip()
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"], "nothing was made, nor read as a folder"
