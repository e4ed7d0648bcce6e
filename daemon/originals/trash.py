"""The desktop's trash by the FreeDesktop.org Trash specification 1.0 (macOS: ~/.Trash); it never deletes.

`send2trash` would do, were it not that the original waits under a hidden name when it is moved: the trash has
to show, and restore to, the name it had.
"""

from __future__ import annotations

import os
import stat
import sys
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from cutoutd.daemon.files.filesystem import write_all
from cutoutd.daemon.files.folders import device_of, make_below, make_folder, top_of_mount
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.names import LONGEST_NAME, candidates

_PRIVATE = 0o700
_NOTE = b".trashinfo"


class Trash(Struct, frozen=True):
    """A trash folder.

    Attributes:
        root: the folder that the system says it lies in, which may be reached through links.
        folder: the same, or below it, where no link is followed.
    """

    root: bytes
    folder: bytes


def find_trash(inbox: bytes, environ: Mapping[str, str] = os.environ) -> Trash:
    """The trash for an inbox: the home trash on the home's file system, else the one at its mount's top.

    Args:
        inbox: absolute path.
        environ: of this process.

    Raises:
        OSError: no trash can be made there.
    """
    home = os.fsencode(os.path.expanduser("~"))
    if sys.platform == "darwin":
        trash = os.path.join(home, b".Trash")
        return Trash(trash, trash)
    data = os.fsencode(environ.get("XDG_DATA_HOME", "")) or os.path.join(home, b".local/share")
    make_folder(Path(os.fsdecode(data)), _PRIVATE)
    if device_of(data) == device_of(inbox):
        trash = os.path.join(data, b"Trash")
        make_folder(Path(os.fsdecode(trash)), _PRIVATE)
        return Trash(trash, trash)
    top = top_of_mount(inbox)
    return Trash(top, os.path.join(top, b".Trash-" + str(os.getuid()).encode()))


def trash_target(original: bytes, trash: Trash, fs: FileSystem) -> bytes:
    """Where the original will lie in the trash; makes the folders.

    Args:
        original: absolute path, in the inbox.
        trash: from `find_trash`.
        fs: the file system, below the trash's root.

    Raises:
        OSError: they cannot be made.
    """
    folder = _shared(trash, fs) or trash.folder
    files = folder if sys.platform == "darwin" else os.path.join(folder, b"files")
    for one in {files, *(() if files == folder else (os.path.join(folder, b"info"),))}:
        make_below(fs, trash.root, one, _PRIVATE)
    stem, extension = os.path.splitext(os.path.basename(original))
    room = LONGEST_NAME - len(_NOTE)  # the note has the whole name, which is given back from there
    for name in candidates(b"", os.fsdecode(stem), os.fsdecode(extension), longest=room):
        target = os.path.join(files, name)
        if not fs.exists(target) and not fs.exists(_info_path(target)):
            return target
    raise AssertionError("candidate names never end")


def _shared(trash: Trash, fs: FileSystem) -> bytes | None:
    """Our folder in a trash that the administrator made for all users of a disk: a folder, no link, and sticky."""
    shared = os.path.join(trash.root, b".Trash")
    if trash.folder == trash.root or not fs.exists(shared):
        return None
    mode = fs.lstat(shared).st_mode
    if not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        return None
    return os.path.join(shared, str(os.getuid()).encode())


def still_planned(original: bytes, target: bytes, fs: FileSystem) -> bool:
    """Whether a place that was chosen before a crash is still free, but perhaps for our own note. Raises OSError."""
    if fs.exists(target) or not fs.exists(os.path.dirname(_info_path(target))):
        return False
    try:
        fd = fs.open(_info_path(target), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        note = fs.read(fd, 1 << 16)
    finally:
        fs.close(fd)
    # A power cut may have kept the note's name and nothing of it; another program fills its note before it moves.
    return not note.strip(b"\0") or b"\nPath=" + urllib.parse.quote(original).encode() + b"\n" in note


def write_trash_info(original: bytes, target: bytes, fs: FileSystem) -> None:
    """Notes where the file came from, so that the desktop can restore it. Raises OSError."""
    if sys.platform == "darwin":
        return
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime())
    text = f"[Trash Info]\nPath={urllib.parse.quote(original)}\nDeletionDate={when}\n"
    fd = fs.open(_info_path(target), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        write_all(fs, fd, text.encode())
        fs.fsync(fd)
    finally:
        fs.close(fd)


def _info_path(target: bytes) -> bytes:
    trash = os.path.dirname(os.path.dirname(target))
    return os.path.join(trash, b"info", os.path.basename(target) + _NOTE)
