"""One look at a settling file, on its inbox's I/O thread; what it means is judged in `arrivals.py` and `settle.py`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.writers import Writers, writers_of
from cutoutd.daemon.watching.filters import NOTES_BESIDE, Kind, Rules, raw_pair_key
from cutoutd.daemon.watching.scan import Found, examine, partners

# The names in a folder are asked for no more often than this: in a burst each RAW has looks of its own, a moment
# apart. A JPEG that came since is seen at the RAW's last look, as long as this is well below its wait (`RawPairs`).
LISTING_GOOD_FOR_S = 2.0


class Look(Struct, frozen=True):
    """What one look at a settling file showed.

    `begun` and `at` are the clock's times before and after it. `found` is None where no such file is, and where the
    inbox could not be looked at (`failed`). `partner` says that a RAW has its JPEG on disk, `writing` who had the file
    open for writing, or has not finished it; `mistake` is one of ours, which this file's name or facts brought out.
    """

    path: bytes
    found: Found | None
    begun: float
    at: float
    failed: bool = False
    partner: bool = False
    writing: Writers = Writers.UNKNOWN
    mistake: Exception | None = None


class Looks:
    """Takes looks at the files of one inbox. Only its I/O thread may call it; the loop sets `leases`.

    Args:
        inbox: the watched folder.
        rules: which names count.
        clock: monotonic seconds.
        fs: the file system; unset, the real one.
    """

    def __init__(
        self, inbox: Path, rules: Rules, clock: Callable[[], float], fs: FileSystem | None = None
    ) -> None:
        # The file system on which the kernel knows who writes; None where it does not.
        self.leases: int | None = None
        self._inbox = inbox
        self._key = os.fsencode(inbox)
        self._rules = rules
        self._clock = clock
        self._fs = fs
        self._listed: dict[bytes, tuple[float, frozenset[bytes]]] = {}

    def take(self, paths: Sequence[bytes]) -> list[Look]:
        """One look at each path (relative to the inbox), in their order; raises nothing."""
        return [self._guarded(path) for path in paths]

    def _guarded(self, path: bytes) -> Look:
        try:
            return self._look_at(path)
        except Exception as mistake:  # noqa: BLE001 - the other files of the batch are looked at all the same
            return Look(path, None, self._clock(), self._clock(), mistake=mistake)

    def _look_at(self, path: bytes) -> Look:
        begun = self._clock()
        try:
            found = examine(self._inbox, path, self._rules, self._fs)
            partner = found is not None and found.kind is Kind.RAW and self._partner_on_disk(path)
        except OSError:
            return Look(path, None, begun, self._clock(), failed=True)
        writing = Writers.UNKNOWN
        if found is not None and found.problem is None and found.kind is not Kind.OTHER:
            writing = self._writing(os.path.join(self._key, path))
        return Look(path, found, begun, self._clock(), partner=partner, writing=writing)

    def _writing(self, path: bytes) -> Writers:
        """Who has a photo open for writing; a download that rests has not closed its notes."""
        fs = self._fs or RealFileSystem(self._key)
        return Writers.SOMEBODY if is_unfinished(path, fs) else writers_of(path, self.leases, fs)

    def _partner_on_disk(self, raw: bytes) -> bool:
        """Whether a JPEG (or HEIF) of the same stem lies beside a RAW, or did a moment ago."""
        folder, now = os.path.dirname(raw), self._clock()
        if folder not in self._listed or self._listed[folder][0] + LISTING_GOOD_FOR_S <= now:
            fresh = {f: one for f, one in self._listed.items() if one[0] + LISTING_GOOD_FOR_S > now}
            self._listed = fresh | {folder: (now, partners(self._key, folder, self._rules, self._fs))}
        return raw_pair_key(raw) in self._listed[folder][1]


def is_unfinished(path: bytes, fs: FileSystem) -> bool:
    """Whether notes of a download lie beside the file, which goes on where it lies."""
    for behind in NOTES_BESIDE:
        with suppress(OSError):  # none lies there, or the name is too long for one
            fs.lstat(path + os.fsencode(behind))
            return True
    return False
