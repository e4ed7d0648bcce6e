"""A folder for one command's work, gone with it; what a command left that was killed, the next one removes.

A photo from standard input lies there while it is cut out. Nothing can be done at the end of a process that is killed.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cutoutd.daemon.files.flock import hold

PREFIX: Final = "cutoutd-work-"
# Whoever made a folder just now may not have taken hold of it yet.
YOUNG_S: Final = 60.0


@contextmanager
def scratch_folder() -> Generator[Path]:
    """A new folder (0700) in the system's folder for temporary files, held as long as the block lasts.

    Raises:
        OSError: there is no such folder, or it takes no other.
    """
    _sweep(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        held = _open(folder)
        try:
            hold(held)
            yield Path(folder)
        finally:
            os.close(held)


def _sweep(home: str) -> None:
    """Removes our own folders there that nobody holds; one that cannot be looked at or removed is left for later."""
    with suppress(OSError), os.scandir(home) as entries:
        for entry in entries:
            if not entry.name.startswith(PREFIX):
                continue
            with suppress(OSError):
                facts = entry.stat(follow_symlinks=False)
                ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
                if ours and time.time() - facts.st_mtime >= YOUNG_S:
                    _remove_unless_held(entry.path)


def _remove_unless_held(folder: str) -> None:
    handle = _open(folder)
    try:
        if hold(handle):
            shutil.rmtree(folder)
    finally:
        os.close(handle)


def _open(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
