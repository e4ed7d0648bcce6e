"""A user's own file, and what may lie in its place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cutoutd.config.plain_file import read_plain


def test_a_file_and_a_link_to_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b").symlink_to("a")
    assert [read_plain(tmp_path / name, 4) for name in "ab"] == [b"text", b"text"]


def test_what_else_lies_there_is_neither_waited_for_nor_read_without_an_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "nowhere").symlink_to("nothing")
    (tmp_path / "large").write_bytes(b"texts")
    codes: dict[str, int | None] = {}
    for name in ("pipe", "device", "large", "nowhere", "."):
        with pytest.raises(OSError, match=r"Errno") as caught:
            read_plain(tmp_path / name, 4)
        codes[name] = caught.value.errno
    assert codes == {
        "pipe": errno.EINVAL,
        "device": errno.EINVAL,
        "large": errno.EFBIG,
        "nowhere": errno.ENOENT,
        ".": errno.EISDIR,
    }
