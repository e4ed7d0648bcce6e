"""The small pictures that a gallery keeps beside the ledger, by their photo's row; they go when its name goes.

It makes none: `cutoutd gallery` does, and only where somebody asked for a gallery.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from cutoutd.daemon.ledger.database import Ledger

# In the state folder. The pages and what they show by name; the pictures, and links to whole files.
FOLDER = "gallery"
PICTURES, WHOLE = "pictures", "full"
# What a page reads: names and sentences of all its photos.
FEED_ENDINGS = ("-feed.js", "-pulse.gif")
# Every picture and link begins with its photo's row.
_OF = re.compile(r"(\d{1,18})-")


def named_photos(ledger: Ledger) -> frozenset[int]:
    """Photos whose names are kept: those that a gallery may show."""
    return frozenset(row["id"] for row in ledger.read("SELECT id FROM photos WHERE path IS NOT NULL"))


def drop_orphans(ledger: Ledger) -> int:
    """Removes pictures of photos whose rows or names are gone from the gallery in the state folder.

    The feeds go with them, since they say names; `cutoutd gallery` writes them anew.

    Returns:
        How many files of forgotten photos there were.

    Raises:
        OSError: one cannot be removed.
    """
    folder = ledger.path.parent / FOLDER
    if not folder.is_dir():
        return 0
    count = drop_others(folder, named_photos(ledger))
    if count:
        for path in folder.iterdir():
            if path.name.endswith(FEED_ENDINGS):
                erase(path)
    return count


def drop_others(folder: Path, photos: frozenset[int]) -> int:
    """Removes from a gallery's folder what belongs to other photos than these. Returns how many files."""
    count = 0
    for below in (PICTURES, WHOLE):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in sorted((folder / below).iterdir()):
                found = _OF.match(path.name)
                if found and int(found[1]) not in photos:
                    path.unlink(missing_ok=True)
                    count += 1
    return count


def erase(path: Path) -> None:
    """Overwrites a file of ours that holds names, and removes it. What is gone is gone.

    Raises:
        OSError: it cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        with contextlib.suppress(OSError):  # a link: what it leads to is somebody's
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.pwrite(fd, bytes(os.fstat(fd).st_size), 0)
                os.fsync(fd)
            finally:
                os.close(fd)
        path.unlink()
