"""The note beside a failed original that says why it failed; it moves nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from cutoutd.config.errors import Reason, printable
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.filesystem import RealFileSystem, open_up, write_all
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.story import run

# No note of ours is longer.
_LONGEST: Final = 1 << 16


class Notes(Struct):
    """Leaves them, in the supervisor's loop.

    Args:
        listener: hears when there is none, once for each cause: on a full disk no failed original has one.
        mode: its permission bits: whoever may read cutouts may know why there is none.
    """

    listener: Listener
    mode: int = 0o600
    _why: str = ""

    async def leave(self, io: IoThread, target: bytes, text: str, fs: FileSystem) -> None:
        """Leaves one beside an original that lies at `target` now; `text` is its one line."""
        why = await run(io, leave_note, target, text, fs, self.mode)
        if why and why != self._why:
            self.listener.warning(
                f"A failed original was moved, but the note that says why it failed could not be written beside it"
                f" ({why}); `cutoutd failures` says it. It is {printable(target)}"
            )
        self._why = why

    async def take_back(self, io: IoThread, original: bytes, folder: Path) -> None:
        """Removes the one beside an original in a folder for failed ones, whose photo has its cutout by now."""
        root = os.fsencode(folder)
        if original.startswith(root.rstrip(b"/") + b"/"):  # the folder may be another by now
            with contextlib.suppress(OSError):  # it is away, or there is none
                await run(io, take_note_back, original, RealFileSystem(root))


def leave_note(target: bytes, text: str, fs: FileSystem, mode: int = 0o600) -> str:
    """Says beside a failed original why it failed: a whole text file or none, and never over another file.

    Returns:
        Why there is none, or an empty text: that unsays nothing of what was done before.
    """
    path = target + b".txt"
    try:
        fd = fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except FileExistsError:
        return ""  # an earlier life's, or somebody's own
    except OSError as error:
        return error.strerror or str(error)
    try:
        try:
            with contextlib.suppress(OSError):  # a share that knows no permissions
                open_up(fd, path, mode, fs)
            write_all(fs, fd, text.encode("utf-8", "backslashreplace") + b"\n")
        finally:
            fs.close(fd)
    except OSError as error:
        with contextlib.suppress(OSError):
            fs.unlink(path)
        return error.strerror or str(error)
    return ""


def take_note_back(original: bytes, fs: FileSystem) -> None:
    """Removes what `leave_note` left beside an original, if it still reads so. Raises OSError."""
    path = original + b".txt"
    fd = fs.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        text = fs.read(fd, _LONGEST)
    finally:
        fs.close(fd)
    reason, _, rest = text.partition(b": ")
    if reason.decode("ascii", "replace") in set(Reason) and rest.find(b"\n") == len(rest) - 1:
        fs.unlink(path)
