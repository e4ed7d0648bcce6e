"""What came of a publication, and whose trouble an error in an outbox is: a name's, a folder's, or the outbox's.

It touches no folder and moves no row.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from cutoutd.config.errors import mistake

# What a file system answers to a name or path that it cannot hold: no trouble of the outbox as a whole.
# ELOOP: a link, or something else that is no folder of ours, lies where the cutout's folder should be.
OF_THE_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP})
# What no single path is at fault for, even when a small probe succeeds.
OF_THE_WHOLE = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH,
        errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENODEV,
        errno.ENXIO, errno.ETIMEDOUT,
        *(getattr(errno, name) for name in ("ENOMEDIUM", "EREMOTEIO") if hasattr(errno, name)),  # Linux alone
    }
)  # fmt: skip
_OF_A_FOLDER = frozenset({errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM})
# What it, or a limit on this process, answers to a file of that size: a smaller one is taken.
OF_THE_SIZE = errno.EFBIG
SIZE_FIX = "Raise the limit on a file's size there (`ulimit -f`, a service's LimitFSIZE=), or order a smaller picture."
# After so many troubles with one photo, between which the outbox took files, the outbox is not at fault for them.
MOST_TROUBLES = 3
# What it answers where a folder on the way is a file, protected, or a mount of its own.
OF_THE_PLACE = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EEXIST})


class Delivered(Struct, frozen=True):
    """All cutouts lie under their names; `owed`: the original is to be moved now."""

    paths: list[bytes]
    timings: Mapping[str, float]
    owed: bool


class MadeAgain(Struct, frozen=True):
    """What was finished cannot be published any more: the photo is owed again."""


class Lost(Struct, frozen=True):
    """What a worker said to have just finished is not there, or is something else: the photo is owed again."""


class NameRefused(Struct, frozen=True):
    """The outbox cannot hold the cutout's name; `why` as words."""

    why: str


class PlaceRefused(Struct, frozen=True):
    """A folder of the outbox, or the outbox, refuses: a probe tells which. `code` is an errno."""

    code: int
    why: str


class OutboxTrouble(Struct, frozen=True):
    """The outbox cannot be used; what was committed goes on when it is back."""

    why: str


Outcome = Delivered | MadeAgain | Lost | NameRefused | PlaceRefused | OutboxTrouble


def is_trouble_of_the_outbox(code: int) -> bool:
    """Whether an errno says that the folder, not the photo, is the problem."""
    return code in OF_THE_WHOLE | _OF_A_FOLDER


class Troubles:
    """Errors of publications so far, from which follows who is at fault for the next."""

    def __init__(self) -> None:
        self._in_a_row: Counter[int] = Counter()  # by photo
        self._plain: set[bytes] = set()  # outboxes seen to refuse characters, whatever their kind

    def refuses_characters(self, outbox: bytes) -> bool:
        """Whether plainer names than usual are to be tried in an outbox."""
        return outbox in self._plain

    def is_its_own(self, photo: int, error: OSError) -> bool:
        """Whether its own name or folder is at fault: the errno says so, or that the outbox takes other files."""
        if error.errno in OF_THE_NAME | OF_THE_PLACE:
            return True
        # Each time it is tried again a probe of the outbox has gone well.
        self._in_a_row[photo] += 1
        if self._in_a_row[photo] < MOST_TROUBLES:
            return False
        del self._in_a_row[photo]
        return True

    def went_well(self, photo: int) -> None:
        """It was published."""
        self._in_a_row.pop(photo, None)

    def outcome(self, error: OSError, outbox: bytes | None, *, its_own: bool, plain: bool) -> Outcome:
        """What an error means for the photo.

        Args:
            error: of a search for names, or of a publication.
            outbox: where; None when its inbox is no longer in the config.
            its_own: `is_its_own`.
            plain: its name was a plain one already.
        """
        code, why = error.errno or errno.EIO, error.strerror or mistake(error)
        if not its_own:
            return OutboxTrouble(why if is_trouble_of_the_outbox(code) else mistake(error))
        if code not in OF_THE_NAME:
            return PlaceRefused(code, why)
        if outbox is None or plain or code in (errno.ENAMETOOLONG, errno.ELOOP):
            return NameRefused(why)
        self._plain.add(outbox)  # from now on plainer ones are tried there
        return MadeAgain()
