"""The gallery's page: one file with style and script inside, which holds nothing of any photo; and where it may lie."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from cutoutd.config.errors import FolderError, UsageError

# Our own pages carry this near their beginning; any other file is somebody else's.
MARK: Final = b'<meta name="generator" content="cutoutd gallery">'
_MARK_WITHIN: Final = 1000
# The pages of one folder: the photographer's, and the one that tells nothing.
OWN, CLIENT = "index", "client"
_SCRIPTS: Final = ("core.js", "points.js", "sheet.js", "viewer.js")
# Beside the two policies' common ground: pictures and scripts from files of this machine, and from nowhere else.
_NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'"


def page(stem: str) -> str:
    """The whole page as text; it reads `STEM-feed.js` and `STEM-pulse.gif` beside it."""
    style = _part("page.css")
    script = "\n".join(_part(name) for name in _SCRIPTS)
    return _filled(
        _part("page.html"),
        {
            "stem": stem,
            "style": style,
            "script": script,
            # Two policies, and both hold: a script must be ours, or have been asked for by ours ('strict-dynamic'
            # ignores where it lies); and it must be a file of this machine.
            "policy": f"{_NOTHING}; img-src file: data:; style-src {_digest(style)};"
            f" script-src {_digest(script)} 'strict-dynamic'",
            "origins": f"{_NOTHING}; img-src file: data:; style-src {_digest(style)};"
            f" script-src {_digest(script)} file:",
        },
    )


def _part(name: str) -> str:
    return resources.files("cutoutd.service.gallery").joinpath(name).read_text(encoding="utf-8")


def _digest(body: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'"


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Every {{place}} filled, once: what is put in is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def check_folder(folder: Path) -> None:
    """Refuses to write into a folder that holds other things than a gallery of ours.

    Raises:
        UsageError: something else lies there.
    """
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(
            f"The gallery cannot be written ({error.strerror})", folder, "Choose another folder with -o."
        ) from error
    pages = [folder / f"{stem}.html" for stem in (OWN, CLIENT) if f"{stem}.html" in names]
    if names and not (pages and all(_is_ours(path) for path in pages)):
        raise UsageError(
            "This folder holds something that is no gallery", folder, "Choose an empty or a new one with -o."
        )


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return MARK in file.read(_MARK_WITHIN)
    except OSError:
        return False


def write(path: Path, data: bytes, mode: int) -> None:
    """As `put`, for what lies beside the page.

    Raises:
        FolderError: the folder cannot be written.
    """
    try:
        put(path, data, mode)
    except OSError as error:
        raise FolderError(
            f"The gallery cannot be written ({error.strerror})", path, "Choose another place with -o."
        ) from error


def put(path: Path, data: bytes, mode: int) -> None:
    """Puts a file in place whole, by way of a name that nobody could foresee: a browser that reads it meanwhile sees
    the old one or the new one. Raises OSError.
    """
    temporary = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
