"""Every file below a folder, found without following a link; which of them matter is for the caller to say."""

from __future__ import annotations

from collections.abc import Iterator

from cutoutd.daemon.files.interface import Entry, FileSystem


def files_below(top: bytes, fs: FileSystem) -> Iterator[Entry]:
    """All names below `top` that are no folders; a sub-folder that cannot be read is passed over.

    No folder is kept open: what a name stands for now, `fs.lstat` says.

    Args:
        top: absolute path.
        fs: the file system.

    Raises:
        OSError: `top` itself cannot be read.
    """
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            with fs.scandir(folder) as entries:
                listed = [(entry, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            if folder == top:
                raise
            continue
        folders += [entry.path for entry, is_folder in listed if is_folder]
        yield from (entry for entry, is_folder in listed if not is_folder)
