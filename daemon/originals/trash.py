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

from cutoutd.daemon.files.filesystem import FileSystem, write_all
from cutoutd.daemon.files.names import candidates


def trash_folder(original: bytes, environ: Mapping[str, str] = os.environ) -> bytes:
    """The trash for a file: the home trash on the home's file system, else the one at its mount's top.

    Raises:
        OSError: no trash can be made there.
    """
    home = os.fsencode(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return os.path.join(home, b".Trash")
    data = os.fsencode(environ.get("XDG_DATA_HOME", "")) or os.path.join(home, b".local/share")
    os.makedirs(data, mode=0o700, exist_ok=True)
    device = os.lstat(os.path.dirname(original)).st_dev
    if os.stat(data).st_dev == device:
        return os.path.join(data, b"Trash")
    top = os.path.dirname(original)
    while top != b"/" and os.lstat(os.path.dirname(top)).st_dev == device:
        top = os.path.dirname(top)
    shared = os.path.join(top, b".Trash")
    uid = str(os.getuid()).encode()
    if os.path.isdir(shared) and not os.path.islink(shared) and os.lstat(shared).st_mode & stat.S_ISVTX:
        return os.path.join(shared, uid)
    return os.path.join(top, b".Trash-" + uid)


def trash_target(original: bytes, fs: FileSystem) -> bytes:
    """Where the original will lie in the trash; makes the folders. Raises OSError."""
    trash = trash_folder(original)
    files = trash if sys.platform == "darwin" else os.path.join(trash, b"files")
    for folder in (trash, files, *(() if files == trash else (os.path.join(trash, b"info"),))):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    stem, extension = os.path.splitext(os.path.basename(original))
    for name in candidates(b"", os.fsdecode(stem), os.fsdecode(extension)):
        target = os.path.join(files, name)
        if not fs.exists(target) and not fs.exists(_info_path(target)):
            return target
    raise AssertionError("candidate names never end")


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
    return os.path.join(trash, b"info", os.path.basename(target) + b".trashinfo")
