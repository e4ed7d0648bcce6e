"""Can this folder be used? The question, its answer, and when it is asked again: for inboxes, outboxes and archives.

It mounts, makes and opens nothing. `can_be_used` touches the folder and may hang with it: it belongs on the folder's
I/O thread. `FolderUse` is what the supervisor's loop knows of one folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from cutoutd.config.errors import printable
from cutoutd.daemon.backoff import NEVER, Retry
from cutoutd.daemon.files.mounts import MountIdentity, below, identify, same_place


class Usable(StrEnum):
    """Whether a folder can be used, and if not, what is wrong with it."""

    YES = "yes"
    MISSING = "missing"
    UNREACHABLE = "unreachable"
    NOT_A_FOLDER = "not a folder"
    NOT_MOUNTED = "not mounted"


class Answer(Struct, frozen=True):
    """The answer, and a sentence on what is wrong and what to do; empty when nothing is."""

    usable: Usable
    sentence: str = ""

    def __bool__(self) -> bool:
        """Whether it can be used."""
        return self.usable is Usable.YES


def can_be_used(folder: Path, recorded: MountIdentity | None) -> Answer:
    """Whether the folder is the one that was recorded, or at least no empty stand-in for it.

    A folder that had its own mount, or lay below one, and now shows its parent's is missing: an unmounted
    share looks like an empty folder. Another disk at the same mount point, or a share newly mounted over a
    plain folder, is there.

    Args:
        folder: an inbox, an outbox or where originals go.
        recorded: what `identify` said when the folder was taken up; None when it was never recorded.
    """
    name = printable(folder)
    try:
        now = identify(folder)
        is_folder = folder.is_dir()
    except FileNotFoundError:
        return Answer(Usable.MISSING, f"{name} does not exist. It is taken up again as soon as it is back.")
    except OSError as error:
        return Answer(
            Usable.UNREACHABLE, f"{name} cannot be reached: {error.strerror or error}. It is tried again."
        )
    if not is_folder:
        return Answer(
            Usable.NOT_A_FOLDER, f"{name} is not a folder. Put the folder back, or change the setting."
        )
    if recorded is None or same_place(now, recorded):
        return Answer(Usable.YES)
    if now.fstype == "autofs" and recorded.fstype != "autofs":
        what = f"{name}: its {recorded.fstype} share has not been mounted yet. It is tried again."
        return Answer(Usable.NOT_MOUNTED, what)
    if now.mount_point != recorded.mount_point and below(recorded.mount_point, now.mount_point):
        what = f"{recorded.fstype} {recorded.source}".strip()
        return Answer(
            Usable.NOT_MOUNTED,
            f"{name} is not mounted: {printable(recorded.mount_point)} ({what}) is missing, "
            "and the folder beneath shows in its place. "
            "Nothing is read, written or forgotten there until it is mounted again.",
        )
    return Answer(Usable.YES)


def by_root_alone(folder: Path) -> bool:
    """Whether only root's special rights let this process write into a folder: its workers have given them up.

    A folder with an access control list is never said to be so: what that allows is the kernel's to work out.

    Raises:
        OSError: it cannot be looked at.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    facts = folder.stat()
    if not stat.S_ISDIR(facts.st_mode):  # what it is instead is said of it
        return False
    with contextlib.suppress(OSError):
        os.getxattr(folder, "system.posix_acl_access")
        return False
    needed = stat.S_IWOTH | stat.S_IXOTH
    if facts.st_uid == 0:
        needed = stat.S_IWUSR | stat.S_IXUSR
    elif facts.st_gid in (os.getegid(), *os.getgroups()):
        needed = stat.S_IWGRP | stat.S_IXGRP
    return facts.st_mode & needed != needed


ROOT_ALONE: Final = "only root may write there, and workers give up root's rights"
ROOT_ALONE_FIX: Final = "Run cutoutd as the user whose folder it is, or give root the folder (`chown root`)."


def must_be_usable(folder: Path, recorded: MountIdentity | None) -> None:
    """The same for whoever can go no further without it.

    Raises:
        OSError: ENODEV, with the sentence.
    """
    answer = can_be_used(folder, recorded)
    if not answer:
        raise OSError(errno.ENODEV, answer.sentence)


class FolderUse(Struct):
    """Whether one folder is in use, being opened, or in trouble until it is looked at again.

    Attributes:
        retry: when it is looked at again, once it is in trouble.
        open: it is in use.
        opening: it is being looked at right now; whoever looks says so, and when it is over.
        trouble: why it cannot be used, as a sentence; empty when it can, or was not looked at yet.
    """

    retry: Retry
    open: bool = False
    opening: bool = False
    trouble: str = ""

    def opened(self) -> None:
        """It can be used. Pauses grow on until something went well in it (`Retry.well`)."""
        self.open, self.opening, self.trouble = True, False, ""

    def failed(self, why: str, now: float) -> None:
        """It cannot be used, and is looked at again after a pause; a look that is under way goes on.

        Args:
            why: a sentence.
            now: monotonic seconds.
        """
        self.open = False
        self.trouble = why
        self.retry.failed(now)

    def due(self) -> float:
        """Monotonic time at which it is to be opened; never, while it is in use or being looked at."""
        return NEVER if self.open or self.opening else self.retry.at
