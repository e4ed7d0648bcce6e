"""How an original that lies under our own name gets its name back; nothing here decides that it should."""

from __future__ import annotations

import os

from cutoutd.daemon.files.copying import take_name
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.names import candidates


def give_back(hidden: bytes, original: bytes, *, for_good: bool, fs: FileSystem) -> bool:
    """Puts a hidden original back under its name.

    Args:
        hidden: where it lies, if it does.
        original: its name.
        for_good: take the next free name when another file has taken its own; else it then stays hidden.
        fs: the file system.

    Returns:
        Whether it is back; False when nothing was hidden, or its name is taken.

    Raises:
        OSError: the folder cannot be changed now.
    """
    try:
        if for_good:
            to_its_name(hidden, original, fs)
        else:
            take_name(hidden, original, fs)
    except (FileNotFoundError, FileExistsError):
        return False
    return True


def bring_back(hidden: bytes, original: bytes, planned: bytes, *, fs: FileSystem) -> bool:
    """Puts an original that is to stay back under its name, or the next free one.

    Args:
        hidden: where it lies, if it has not arrived.
        original: its name.
        planned: where it was to go, if it had got that far; else empty.
        fs: the file system.

    Returns:
        False where it lies at its planned place already.

    Raises:
        OSError: a folder cannot be used now.
    """
    if give_back(hidden, original, for_good=True, fs=fs) or not planned:
        return True
    return not fs.exists(planned) and fs.exists(original)


def to_its_name(hidden: bytes, original: bytes, fs: FileSystem) -> None:
    """The file is a newer photo: back to its name, or to a free one beside it if the name is taken again."""
    stem, extension = os.path.splitext(os.path.basename(original))
    folder = os.path.dirname(original)
    for name in candidates(folder, os.fsdecode(stem), os.fsdecode(extension)):
        try:
            take_name(hidden, name, fs)
        except FileExistsError:
            continue
        return
