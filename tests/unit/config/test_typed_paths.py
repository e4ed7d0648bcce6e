"""What is typed as a path is one, however odd."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.config.typed_paths import expanded, is_folder, is_there, typed_path

NOBODY = "~nobody-of-that-name.jpg"


def test_home_is_meant_where_a_shell_did_not_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert typed_path("~/in") == Path("/home/somebody/in")
    assert expanded("a~b.jpg") == "a~b.jpg"


def test_a_file_that_is_called_so_is_meant_before_any_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("~", "~root", NOBODY):
        (tmp_path / name).touch()
        assert typed_path(name) == tmp_path / name
    assert typed_path(Path(NOBODY)) == tmp_path / NOBODY


def test_a_home_that_nobody_has_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed_path(NOBODY) == tmp_path / NOBODY


def test_links_stay_as_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/usr")
    assert typed_path("link/../x/./y") == tmp_path / "x/y"
    assert typed_path("link") == tmp_path / "link"


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "\udcff"])
def test_a_name_that_no_file_can_have_is_nowhere(name: str) -> None:
    assert not is_folder(name)
    assert not is_there(name)
