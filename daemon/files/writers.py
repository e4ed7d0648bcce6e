"""Whether anybody still has a file open for writing, where the system can tell; it waits for nobody.

The ladder, from proof to patience; each user of it says which rung it needs:

1. A read lease on the descriptor (`fcntl(F_SETLEASE, F_RDLCK)`), taken and given back at once. Linux grants it only
   while no process has the file open for writing, or mapped for writing. It needs the file's owner or CAP_LEASE, and
   a file system of this machine: NFS and SMB answer for their own caches, not for writers.
2. Where that cannot be asked: a close event that was seen for this very content (`watching/settle.py` keeps it).
3. Where there is none either: rest. Seconds for a cutout, which can be made again; minutes by option before an
   original is moved.

/proc/*/fd is no rung: only root may read other people's, and root has the lease.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
from contextlib import suppress
from enum import StrEnum

from cutoutd.daemon.files.interface import FileSystem


class Writers(StrEnum):
    """Who has a file open for writing."""

    NOBODY = "nobody"
    SOMEBODY = "somebody"
    UNKNOWN = "unknown"


def writers(fd: int, device: int | None) -> Writers:
    """Who has the file of a descriptor open for writing, this very moment.

    A writer that opens the file in the microseconds of the lease waits for them, or is told to try again if it asked
    not to wait; the signal by which the kernel tells us of it is one that does nothing.

    Args:
        fd: open for reading only.
        device: of the file system whose leases are to be believed; a file on another one is UNKNOWN. None: of none.
    """
    if sys.platform != "linux" or device is None or os.fstat(fd).st_dev != device:
        return Writers.UNKNOWN
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return Writers.SOMEBODY if error.errno == errno.EAGAIN else Writers.UNKNOWN
    with suppress(OSError):  # closing the descriptor gives it back too
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Writers.NOBODY


def writers_of(path: bytes, device: int | None, fs: FileSystem) -> Writers:
    """The same by name; UNKNOWN for what is no plain file, may not be read or is not there."""
    if device is None:
        return Writers.UNKNOWN
    try:
        fd = fs.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return Writers.UNKNOWN
    try:
        return writers(fd, device)
    finally:
        fs.close(fd)
