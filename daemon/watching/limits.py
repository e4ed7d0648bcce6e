"""Why a folder gets no watch, as sentences that name the kernel's limits and their present values; sets no watch."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Literal

from msgspec import Struct

from cutoutd.config.errors import printable

Code = Literal["gone", "limit", "denied", "broken"]

PROC_SYS = Path("/proc/sys")

# Each limit holds twice: for the whole system, and for a user namespace (rootless containers), whose root may lower
# its own. The smaller figure is the one that was met.
WATCHES = ("fs.inotify.max_user_watches", "user.max_inotify_watches")
INSTANCES = ("fs.inotify.max_user_instances", "user.max_inotify_instances")
# What kernels since 5.11 grant at most by themselves (by memory), and many times what a desktop's programs use.
ENOUGH_WATCHES, ENOUGH_INSTANCES = 524288, 1024

# Errors that more room heals: watches, instances or descriptors, descriptors of the whole system, memory.
_LIMITS = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class NoEvents(Struct, frozen=True):
    """Why a folder's changes are not heard of.

    Attributes:
        why: a sentence for people, with what to do where something can be done.
        code: as of `explain`; `mount`: its file system tells nothing of what other machines do; `silent`: a file
            made in it gave no event.
    """

    why: str
    code: Literal["gone", "limit", "denied", "broken", "mount", "silent"]

    @property
    def may_pass(self) -> bool:
        """Whether another try may find events, with the folder as it is."""
        return self.code != "mount"

    def sentence(self, every_s: float, others: int = 0) -> str:
        """The whole of it: why, and what is done meanwhile.

        Args:
            every_s: seconds between two looks at the folder.
            others: how many more folders are in the same state.
        """
        more = "" if others <= 0 else f" and {others} other folder{'' if others == 1 else 's'}"
        looked = f"it{more} {'are' if others > 0 else 'is'} looked through every {every_s:g} s"
        if self.code == "silent":
            return f"{self.why} I{looked[1:]}, and events are tried again from time to time."
        return f"{self.why} {f'Until then {looked}' if self.may_pass else f'I{looked[1:]}'}."


def present_limits(proc: Path = PROC_SYS) -> dict[str, int]:
    """The limits on file watches by the names that sysctl knows; empty where the system shows none."""
    found: dict[str, int] = {}
    for name in (*WATCHES, *INSTANCES):
        try:
            found[name] = int((proc / name.replace(".", "/")).read_text("ascii"))
        except (OSError, ValueError):
            continue  # not Linux, or /proc is not mounted here
    return found


def explain(folder: Path, error: OSError, proc: Path = PROC_SYS) -> tuple[str, Code]:
    """A refused watch as a sentence for people, with what to do, and its code.

    Returns:
        The sentence, and `gone`: the folder is not there; `limit`: the system or this program has no room for it;
        `denied`: no permission; `broken`: anything else.
    """
    name = printable(folder)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{name} does not exist. It is watched as soon as it is back.", "gone"
    if error.errno in (errno.EACCES, errno.EPERM):
        fix = (
            "Allow it in System Settings, Privacy & Security, Files and Folders."
            if sys.platform == "darwin"
            else "Give this user read and enter permission (chmod u+rx) on it."
        )
        return f"{name} may not be read. {fix}", "denied"
    if error.errno in _LIMITS:
        return f"{name} cannot be watched: {_limit(error.errno or 0, proc)}", "limit"
    return f"{name} cannot be watched: {error.strerror or error}.", "broken"


def _limit(number: int, proc: Path) -> str:
    if number == errno.ENOSPC:  # of watches, not of the disk
        return _setting("the number of folders that one user may watch", WATCHES, ENOUGH_WATCHES, proc)
    if number == errno.ENOMEM:
        return "the system has no memory left for it. End what is not needed, or give this program more."
    if number == errno.ENFILE:
        return "the whole system has no room for more open files. Raise it with `sudo sysctl fs.file-max`."
    if _has_descriptors():
        return _setting(
            "the number of watches on folder trees that one user may have open",
            INSTANCES,
            ENOUGH_INSTANCES,
            proc,
        )
    return (
        "this program may not open more files. Raise its limit with `ulimit -n` where it is started, "
        "or with LimitNOFILE= in its service."
    )


def _setting(what: str, names: tuple[str, ...], enough: int, proc: Path) -> str:
    limits = present_limits(proc)
    name = min(names, key=lambda one: limits.get(one, sys.maxsize))
    now = limits.get(name)
    better = enough if now is None else max(enough, 2 * now)
    return (
        f"{what} is used up ({name} is {'unknown' if now is None else now}). Raise it with "
        f"`sudo sysctl {name}={better}`, and keep it by writing that setting into a file in /etc/sysctl.d."
    )


def _has_descriptors() -> bool:
    """Whether this process can still open files: EMFILE stands for that limit and for the one on watches."""
    try:
        ends = os.pipe()
    except OSError:
        return False
    for end in ends:
        os.close(end)
    return True
