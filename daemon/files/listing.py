"""Every file below a folder, found without following a link; which of them matter is for the caller to say."""

from __future__ import annotations

from collections.abc import Iterator

from cutoutd.daemon.files.interface import Entry, FileSystem
from cutoutd.daemon.files.names import MOST_LEVELS

# In an outbox a photo's folders lie below those of its deliverable (`folder`).
_OF_TEMPLATES = 20


def files_below(top: bytes, fs: FileSystem) -> Iterator[Entry]:
    """All names below `top` that are no folders; a sub-folder that cannot be read, or lies too deep, is passed over.

    No folder is kept open: what a name stands for now, `fs.lstat` says.

    Args:
        top: absolute path.
        fs: the file system.

    Raises:
        OSError: `top` itself cannot be read.
    """
    folders, deepest = [top], top.count(b"/") + MOST_LEVELS + _OF_TEMPLATES
    while folders:
        folder = folders.pop()
        try:
            with fs.scandir(folder) as entries:
                listed = [(entry, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            if folder == top:
                raise
            continue
        if folder.count(b"/") <= deepest:
            folders += [entry.path for entry, is_folder in listed if is_folder]
        yield from (entry for entry, is_folder in listed if not is_folder)
