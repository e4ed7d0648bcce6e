"""Originals that were hidden on their way elsewhere and that no ledger knows any more: they get their names back."""

from __future__ import annotations

import os
import re
import time

from msgspec import Struct

from cutoutd.config.errors import mistake, printable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.listing import files_below
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.ledger.faults import paid_by
from cutoutd.daemon.ledger.originals import hidden_names
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals.giving_back import give_back

# A hidden original of another cutoutd's is left alone this long: it may be at work. Its own file's change time says
# since when it is hidden.
FOREIGN_HIDDEN_AGE_S = 86400.0
_HIDDEN = re.compile(rb"^\.cutoutd-([0-9a-f]+)-\d+\.original\.(.+)$", re.DOTALL)


class OrphanSearch(Struct, frozen=True):
    """Looks for them at every opening of an inbox, in the supervisor's loop.

    Args:
        transitions: knows what is hidden.
        listener: hears what was found.
        instance: this state folder's id.
    """

    transitions: Transitions
    listener: Listener
    instance: str

    def look(self, key: bytes, inbox: Inbox, io: IoThread) -> None:
        """Begins to look in one inbox, on its I/O thread."""
        Story(
            self._find(key, inbox, io),
            paid_by(
                lambda error: self.listener.warning(f"Originals left hidden were not found: {ours(error)}.")
            ),
        )

    async def _find(self, key: bytes, inbox: Inbox, io: IoThread) -> None:
        known = hidden_names(self.transitions.ledger)
        root = os.fsencode(inbox.path)
        # What is hidden after this look is hidden after the search too: the thread makes one call after the other.
        try:
            found = await run(io, restore_orphans, root, self.instance, known, RealFileSystem(root))
        except OSError:
            return  # sought again when the inbox is opened again
        if found:
            self.listener.warning(
                f"{found} originals in {printable(key)} that were on their way to another folder are back."
            )


def ours(error: Exception) -> str:
    """A mistake of ours in words."""
    return f"cutoutd made a mistake ({mistake(error)}); please report it"


def restore_orphans(
    root: bytes,
    instance: str,
    known: frozenset[bytes],
    fs: FileSystem,
    *,
    now: float | None = None,
) -> int:
    """Gives the names back to originals that no ledger knows to be hidden: one that was lost or restored did it.

    Args:
        root: the inbox.
        instance: this state folder's id; what others hid is theirs for a day.
        known: absolute hidden names that the ledger knows.
        fs: the file system.
        now: wall-clock seconds.

    Returns:
        How many there were.

    Raises:
        OSError: the inbox cannot be read.
    """
    now = time.time() if now is None else now
    found = 0
    for entry in files_below(root, fs):
        match = _HIDDEN.match(entry.name)
        if match is None or entry.path in known:
            continue
        if match[1].decode() == instance or _hidden_long_ago(entry.path, now, fs):
            shown = os.path.join(os.path.dirname(entry.path), match[2])
            found += give_back(entry.path, shown, for_good=True, fs=fs)
    return found


def _hidden_long_ago(path: bytes, now: float, fs: FileSystem) -> bool:
    try:
        return now - fs.lstat(path).st_ctime > FOREIGN_HIDDEN_AGE_S
    except FileNotFoundError:
        return False
