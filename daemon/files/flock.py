"""An advisory lock that ends with the process that has it: whether something still belongs to somebody who lives."""

from __future__ import annotations

import fcntl


def hold(fd: int) -> bool:
    """Whether an open file or folder is ours alone from now on; where the file system keeps no locks it never is."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
