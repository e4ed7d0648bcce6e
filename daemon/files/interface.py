"""What the rest of the daemon may ask of files of users; a seam that tests can make fail, without any mechanism.

Each path lies below one of the folders that a file system was made for (its roots): it is reached from that folder's
descriptor, and no link on the way is followed (`beneath.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol


class Entry(Protocol):
    """A name in a folder; as `os.DirEntry` has it, and links are never followed."""

    @property
    def name(self) -> bytes:
        """The name alone."""
        ...

    @property
    def path(self) -> bytes:
        """The listed folder's path with the name."""
        ...

    def is_dir(self, *, follow_symlinks: Literal[False]) -> bool:
        """Whether it is a folder; raises OSError when that cannot be known."""
        ...

    def is_file(self, *, follow_symlinks: Literal[False]) -> bool:
        """Whether it is a plain file; raises OSError when that cannot be known."""
        ...

    def stat(self, *, follow_symlinks: Literal[False]) -> os.stat_result:
        """A look at it; only while the folder is being listed. Raises OSError."""
        ...


class FileSystem(Protocol):
    """Everything cutoutd does to files of users. Paths are absolute bytes.

    Every call with a path may raise UnsafePath (a link lies on the way, something other than a plain file where one
    should be, or the path lies below none of the roots) and any other OSError, as the system says it.
    """

    def stat(self, path: bytes) -> os.stat_result:
        """Look at a root, through the links that lead to it; below one, at the name itself."""
        ...

    def lstat(self, path: bytes) -> os.stat_result:
        """Look at the name itself."""
        ...

    def exists(self, path: bytes) -> bool:
        """Whether the name is taken, be it by a dangling link; errors other than absence are raised."""
        ...

    def is_readable(self, path: bytes) -> bool:
        """Whether it is a plain file that may be read; False too when it cannot be looked at."""
        ...

    def open(self, path: bytes, flags: int, mode: int = 0o600) -> int:
        """A descriptor of a plain file, closed on exec; nothing else is opened, and no FIFO waited for."""
        ...

    def fstat(self, fd: int) -> os.stat_result:
        """Look at what was opened."""
        ...

    def read(self, fd: int, count: int) -> bytes:
        """Up to count bytes; empty at the end."""
        ...

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """How many bytes were taken: may be fewer than given."""
        ...

    def start_writing_back(self, fd: int, start: int, count: int) -> None:
        """Have these bytes on their way to the disk, so that a later fsync finds little to do; promises nothing."""
        ...

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file that was opened to so many bytes."""
        ...

    def fsync(self, fd: int) -> None:
        """Return when the bytes would survive a power cut."""
        ...

    def fsync_dir(self, path: bytes) -> None:
        """Return when the folder's names would survive a power cut."""
        ...

    def close(self, fd: int) -> None:
        """Give the descriptor back; network file systems report late write errors here."""
        ...

    def fchmod(self, fd: int, mode: int) -> None:
        """Set permission bits of what was opened."""
        ...

    def inherits(self, folder: bytes) -> bool:
        """Whether what is made in a folder has the permissions that the folder gives it (a default ACL)."""
        ...

    def chmod(self, path: bytes, mode: int) -> None:
        """Set permission bits of a plain file or folder that we may read."""
        ...

    def rename(self, source: bytes, target: bytes) -> None:
        """Rename, replacing the target."""
        ...

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        """Rename; FileExistsError when the target exists, RenameUnsupported where that cannot be promised."""
        ...

    def exchange(self, one: bytes, other: bytes) -> None:
        """Two names change places at one moment; RenameUnsupported where that cannot be done."""
        ...

    def link(self, source: bytes, target: bytes) -> None:
        """A second name for a file; FileExistsError when taken."""
        ...

    def unlink(self, path: bytes) -> None:
        """Remove a name."""
        ...

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        """Make one folder, less the umask."""
        ...

    def rmdir(self, path: bytes) -> None:
        """Remove an empty folder."""
        ...

    def scandir(self, path: bytes) -> AbstractContextManager[Iterator[Entry]]:
        """The entries of a folder, one at a time, in no order."""
        ...

    def free_bytes(self, path: bytes) -> int:
        """Space that this user may still fill on the file system of a folder."""
        ...
