"""Paths as somebody typed them, or a shell put them there; nothing here opens a file, or raises for an odd name."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(typed: str | Path) -> str:
    """A path in which `~` stands for a home folder, unless a file here is called so or nobody has that home.

    A shell hands on `~draft.jpg` as it is, and for a pattern every name that lies here.
    """
    text = os.fspath(typed)
    if not text.startswith("~") or os.path.lexists(text):
        return text
    return os.path.expanduser(text)  # noqa: PTH111 - pathlib's raises where nobody has that home


def typed_path(typed: str | Path) -> Path:
    """The same as an absolute path; links stay as named."""
    return Path(os.path.abspath(expanded(typed)))  # noqa: PTH100 - pathlib's resolves links, or leaves `..`


def is_folder(path: str | Path) -> bool:
    """Whether a folder lies there; False too for a name that no file can have."""
    return os.path.isdir(path)  # noqa: PTH112 - pathlib's raises for names that are too long


def is_there(path: str | Path) -> bool:
    """Whether anything lies there, in the same way."""
    return os.path.exists(path)  # noqa: PTH110 - pathlib's raises for names that are too long
