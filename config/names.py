"""Templates of output names and folders, and labels: what may be written in them; names no file."""

from __future__ import annotations

import re
import string

EXTENSIONS = {"png": ".png", "webp": ".webp", "tiff": ".tif", "avif": ".avif", "jpeg": ".jpg"}
_TYPED_EXTENSIONS = (*EXTENSIONS.values(), ".jpeg", ".tiff")
NAME_FIELDS = ("stem", "date", "counter", "hash", "deliverable")
FOLDER_FIELDS = ("date", "deliverable")
_LABEL = re.compile(r"^[\w][\w .+-]{0,63}$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _fields(template: str, allowed: tuple[str, ...]) -> None:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError(f'"{template}" has a brace without its partner') from None
    known = " ".join(f"{{{field}}}" for field in allowed)
    for _, field, spec, conversion in parts:
        if field is not None and (field not in allowed or spec or conversion):
            raise ValueError(f'"{template}": {{{field}}} is not known here; these are: {known}')


def check_name(template: str) -> str:
    """A template of a file name without extension, or ValueError saying what is wrong with it."""
    _fields(template, NAME_FIELDS)
    if not template.strip():
        raise ValueError('a name must not be empty; "{stem}" keeps the photo\'s own')
    if "/" in template or "\\" in template or _CONTROL.search(template):
        raise ValueError(f'"{template}" is a path; a name holds no slash (sub-folders: write folder = "...")')
    if template.startswith("."):
        raise ValueError(f'"{template}" would be a hidden file; begin the name with another character')
    if template.lower().endswith(_TYPED_EXTENSIONS):
        raise ValueError(f'"{template}": leave the extension out, it follows from format')
    return template


def check_folder(template: str) -> str:
    """A template of a sub-folder of the outbox, or ValueError; empty is the outbox itself."""
    if not template:
        return template
    _fields(template, FOLDER_FIELDS)
    parts = template.split("/")
    if template.startswith(("/", "~")) or "\\" in template or _CONTROL.search(template):
        raise ValueError(f'"{template}" must lie inside the outbox: write a plain sub-folder such as "web"')
    if any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise ValueError(f'"{template}": each part of a sub-folder is a plain name, without leading dots')
    return template


def check_plain_folder(folder: str) -> str:
    """A sub-folder of the outbox that is the same for every photo, or ValueError; empty is none."""
    if "{" in folder or "}" in folder:
        raise ValueError(f'"{folder}": this folder is the same for every photo; write it without braces')
    return check_folder(folder)


def check_label(label: str) -> str:
    """A deliverable's label, or ValueError."""
    if not _LABEL.match(label):
        raise ValueError(f'"{label}": a label is 1 to 64 letters, digits, spaces or any of . + - _')
    return label
