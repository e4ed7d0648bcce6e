"""What a process of ours can still do, found by trying it from the inside; for `verify`, never in normal work."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Struct

from cutoutd.daemon.sandbox import capabilities
from cutoutd.daemon.sandbox.calls import NUMBERS
from cutoutd.daemon.sandbox.guard import try_network
from cutoutd.daemon.sandbox.seccomp import ARCHITECTURES
from cutoutd.daemon.workers.ipc import Task
from cutoutd.daemon.workers.message_rules import Most, Range, Text

_PR_GET_DUMPABLE: Final = 3


class Tries(Struct, frozen=True):
    """What a worker is made to try.

    Attributes:
        read: files it must not be able to read.
        create: files it must not be able to make.
        photo: an original, which must stay as it is.
        cutout: a file in an outbox, whose name only the supervisor may change.
    """

    read: tuple[Path, ...] = ()
    create: tuple[Path, ...] = ()
    photo: Path | None = None
    cutout: Path | None = None


_Word = Annotated[str, Text(200)]
_Facts = Annotated[
    dict[
        _Word,
        bool | Annotated[int, Range(-1, 2**63)] | _Word | Annotated[dict[_Word, _Word], Most(100)] | None,
    ],
    Most(40),
]


def ability(tries: Tries) -> dict[str, Any]:
    """Tries everything, in whatever process calls it.

    Returns:
        Plain values: `network` (an errno name or "open" per kind), `filters` (the kernel's own word on
        seccomp), `core_limit` (bytes), `dumpable`, `umask`, `telemetry_off`, `engine_loaded`, `capabilities` (how
        many), `descriptors` (what each is), and `read`, `create`, `reach` (an errno name or "allowed" per try).
    """
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "pid": os.getpid(),
        "network": try_network(),
        "filters": seccomp_filters("self"),
        "core_limit": max(resource.getrlimit(resource.RLIMIT_CORE)),
        "dumpable": _dumpable(),
        "umask": mask,
        "telemetry_off": os.environ.get("ORT_DISABLE_TELEMETRY") == "1",
        "engine_loaded": "onnxruntime" in sys.modules,
        "capabilities": capabilities.held(),
        "descriptors": _descriptors(),
        "read": {
            path.name: _answer(lambda path=path: _open(path, os.O_RDONLY), _NONE) for path in tries.read
        },
        "create": {
            f"{path.parent.name}/{path.name}": _answer(
                lambda path=path: _open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), _NONE
            )
            for path in tries.create
        },
        "reach": reach(tries),
    }


def ability_of_a_worker(tries: Tries) -> _Facts:
    """The same by a schema, as whatever comes from a worker."""
    return ability(tries)


ABILITY: Final[Task[Tries, dict[str, Any]]] = Task(ability_of_a_worker)


def reach(tries: Tries) -> dict[str, str]:
    """What a worker that was taken over would try next, each so that it does no harm where it is possible.

    Returns:
        An errno name or "allowed" per sentence; empty where the acts are not given something to try them on.
    """
    photo, cutout = tries.photo, tries.cutout
    if photo is None or cutout is None or sys.platform != "linux":
        return {}
    facts = photo.stat()
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    fresh = cutout.with_name("made by a worker")
    acts: dict[str, Callable[[], object]] = {
        "change an original's permissions": lambda: photo.chmod(facts.st_mode & 0o777),
        "change an original's owner": lambda: os.chown(photo, -1, -1),
        "change an original's times": lambda: os.utime(photo, ns=(facts.st_atime_ns, facts.st_mtime_ns)),
        "set an extended attribute": lambda: os.setxattr(photo, "user.cutoutd", b"x"),
        "read extended attributes": lambda: os.listxattr(photo),
        "cut an original short by its name": lambda: os.truncate(photo, facts.st_size),
        "remove a file of the outbox": fresh.unlink,
        "rename a file of the outbox": lambda: fresh.rename(fresh),
        "link an original into the outbox": lambda: os.link(photo, fresh),
        "make a link in the outbox": lambda: fresh.symlink_to("/"),
        "learn where a link leads": lambda: Path("/proc/self/exe").readlink(),
        "watch a folder for new names": lambda: _called(libc.inotify_init1, 0),
        "lock files of others": lambda: _lock(cutout),
        "list another folder": lambda: os.listdir(cutout.parent.parent),  # noqa: PTH208 - as above
        "share memory with other programs (System V)": lambda: _called(libc.shmget, 0, 4096, 0o600),
        "read shared memory of other programs (System V)": lambda: _called(
            libc.shmat, -1, None, 0o10000, let_through=errno.EINVAL
        ),
        "send messages to other programs (System V)": lambda: _called(libc.msgget, 0, 0o600),
        "send messages to other programs (POSIX)": lambda: _called(
            libc.syscall, NUMBERS["mq_open"][_column()], b"cutoutd-verify", os.O_RDWR, 0, None
        ),
        "set the daemon's limits": lambda: resource.prlimit(parent, resource.RLIMIT_CORE, (0, 0)),
        "set its own limits": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        "change the daemon's priority": lambda: os.setpriority(os.PRIO_PROCESS, parent, 0),
        "pin the daemon to a processor": lambda: os.sched_setaffinity(parent, os.sched_getaffinity(parent)),
        "send the daemon a signal": lambda: os.kill(parent, 0),
        "read the daemon's environment": lambda: _open(Path(f"/proc/{parent}/environ"), os.O_RDONLY),
        "list the processes": lambda: os.listdir("/proc"),  # noqa: PTH208 - at once, not when somebody looks
        "look into the daemon's memory": lambda: _called(libc.ptrace, 0xFFFF, parent, None, None),
        "start a program": _no_program,
        "start a process": _child,
        "enter a namespace of its own": lambda: _called(libc.unshare, 0x10000000),
        "make a program in memory": lambda: os.close(os.memfd_create("x")),
        "run memory that it can write": lambda: mmap.mmap(-1, 4096, prot=7).close(),
        "make memory that it can write one to run": lambda: _called(
            libc.mprotect, None, 4096, 7, let_through=errno.ENOMEM
        ),
        "use the kernel's keyring": lambda: _called(libc.syscall, NUMBERS["keyctl"][_column()], 0, -3, 0),
        "become traceable": lambda: _called(libc.prctl, 4, 1, 0, 0, 0),
        "outlive the daemon": lambda: _called(libc.prctl, 1, 0, 0, 0, 0),
    }
    return {sentence: _answer(act) for sentence, act in acts.items()}


def _called(function: Any, *arguments: Any, let_through: int = 0) -> None:
    """A C function that answers -1 for an error; `let_through` is the error that shows that the kernel looked at it."""
    ctypes.set_errno(0)
    if function(*(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)) != -1:
        return
    if (number := ctypes.get_errno()) != let_through:
        raise OSError(number, os.strerror(number))


def _column() -> int:
    return ARCHITECTURES[os.uname().machine].column


def _no_program() -> None:
    """Asks for a program that is not there: ENOENT where programs may be started, and nothing is."""
    os.execv("/nowhere/no program", ["no program"])  # noqa: S606 - there is none


def _child() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _open(path: Path, flags: int) -> None:
    os.close(os.open(path, flags | os.O_CLOEXEC, 0o600))


def _lock(path: Path) -> None:
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


# Answers of the thing itself, which show that the kernel let the call through to it.
_NONE: Final = frozenset[int]()
_LET_THROUGH: Final = frozenset(
    {errno.ENOENT, errno.ESRCH, errno.EIO, errno.EEXIST, errno.ENODATA, errno.ENOTSUP}
)


def _answer(act: Callable[[], object], let_through: frozenset[int] = _LET_THROUGH) -> str:
    try:
        act()
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, str(error))
        return "allowed" if error.errno in let_through else name
    except ValueError:  # Python's word for a limit that may not be set
        return "EPERM"
    return "allowed"


def _descriptors() -> dict[str, str]:
    """What each open descriptor is: a pipe, a file, a socket, or nothing (/dev/null)."""
    kinds = {
        stat.S_IFIFO: "pipe", stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFSOCK: "socket",
        stat.S_IFBLK: "disk",
    }  # fmt: skip
    found: dict[str, str] = {}
    for fd in range(256):
        try:
            facts = os.fstat(fd)
        except OSError:
            continue
        null = stat.S_ISCHR(facts.st_mode) and facts.st_rdev == os.makedev(1, 3)
        found[str(fd)] = "nothing" if null else kinds.get(stat.S_IFMT(facts.st_mode), "device")
    return found


def seccomp_filters(process: int | str) -> int | None:
    """How many filters the kernel applies to a process; 0 for none, None where it does not say."""
    facts: dict[str, str] = {}
    try:
        for line in (
            Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace").splitlines()
        ):
            name, _, value = line.partition(":")
            facts[name] = value.strip()
    except OSError:
        return None
    if facts.get("Seccomp") not in {"0", "2"}:
        return None
    # Kernels before 5.9 tell the mode (2: filtered) but not the number.
    return int(facts.get("Seccomp_filters", "1")) if facts["Seccomp"] == "2" else 0


def _dumpable() -> bool | None:
    """Whether this process may be traced and dumped; None where the platform has no such switch."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(_PR_GET_DUMPABLE, *(ctypes.c_ulong(0) for _ in range(4))) != 0
