"""The page's file: what it may do, that it holds nothing of any photo, and where it may lie."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path

import pytest

from cutoutd.config.errors import FolderError, UsageError
from cutoutd.service.gallery.page import CLIENT, MARK, OWN, check_folder, page, write


def test_the_policies_name_exactly_what_is_inside() -> None:
    text = page(OWN)
    policies = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    digests: dict[str, str] = {}
    for kind in ("style", "script"):
        (body,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digests[kind] = f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'"
    common = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src file: data:;"
        f" style-src {digests['style']};"
    )
    assert policies == [
        f"{common} script-src {digests['script']} 'strict-dynamic'",
        f"{common} script-src {digests['script']} file:",
    ]
    assert not re.search(r"https?:", text)
    assert not re.search(r'<[^>]+ (style|on\w+|src|href)="', text.split("<script>", 1)[0])


def test_no_value_becomes_markup() -> None:
    script = page(OWN).split("<script>", 1)[1]
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in script


def test_each_page_knows_its_feed() -> None:
    assert f'data-stem="{OWN}"' in page(OWN)
    assert f'data-stem="{CLIENT}"' in page(CLIENT)


def test_it_replaces_its_own_page_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    check_folder(folder)
    folder.mkdir()
    check_folder(folder)
    write(folder / "index.html", page(OWN).encode(), 0o640)
    assert MARK in (folder / "index.html").read_bytes()
    assert (folder / "index.html").stat().st_mode & 0o777 == 0o640
    write(folder / "client.html", page(CLIENT).encode(), 0o600)
    check_folder(folder)
    (folder / "client.html").write_text("<html>my own page</html>")
    with pytest.raises(UsageError, match="no gallery"):
        check_folder(folder)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "index-feed.js").write_text("mine")
    with pytest.raises(UsageError, match="no gallery"):
        check_folder(other)
    with pytest.raises(UsageError, match="cannot be written"):
        check_folder(other / "index-feed.js")


def test_a_folder_that_is_not_there_is_named_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="cannot be written"):
        write(tmp_path / "no" / "g.html", b"", 0o600)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "full").touch()
    with pytest.raises(FolderError):
        write(tmp_path / "taken", b"", 0o600)
    assert os.listdir(tmp_path) == ["taken"]
