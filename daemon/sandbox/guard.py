"""Gives up, for good, what this process will never need: the network, other people's files, core dumps.

Nothing here decides when: the supervisor calls `guard_supervisor` before its first thread, a worker calls
`guard_worker` before it loads a decoder. What a platform cannot enforce is said, not assumed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from cutoutd.daemon.sandbox import capabilities, landlock, macos, seccomp
from cutoutd.daemon.sandbox.calls import NUMBERS

# Owner only: a temporary and a ledger are nobody else's business. Outputs get their mode from the settings.
PRIVATE_UMASK: Final = 0o077

_PR_SET_DUMPABLE: Final = 4
# Enough for the interpreter, the engine and the decoders, found by running them; no home folder, no /etc.
_SYSTEM_READ: Final = (
    "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64",  # shared libraries
    "/nix/store", "/gnu/store",  # where such systems keep theirs
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",  # how they are found
    "/usr/share/zoneinfo", "/etc/localtime",  # the date in an output name
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",  # own memory, what the processor can do
    "/sys/devices/system/cpu", "/sys/devices/system/node",  # cores and caches, read by the engine
    # It also looks for graphics cards, and complains aloud when it may not.
    "/sys/bus/pci/devices", "/sys/class/drm", "/sys/class/accel",
    "/dev/urandom", "/dev/random",
)  # fmt: skip
_DEVICES: Final = ("/dev/null",)


class SandboxState(Struct, frozen=True, kw_only=True):
    """What is in force in one process: a sentence for people and a yes or no, for each promise."""

    network: str
    network_refused: bool
    files: str
    files_confined: bool
    core_dumps: str
    core_dumps_off: bool
    calls: str = ""
    calls_listed: bool = False
    capabilities: str = ""
    capabilities_none: bool = False

    def summary(self) -> str:
        """One line for the start-up message and `status`."""
        said = {
            "network": self.network,
            "files": self.files,
            "system calls": self.calls,
            "capabilities": self.capabilities,
            "core dumps": self.core_dumps,
        }
        return "; ".join(f"{what}: {sentence}" for what, sentence in said.items() if sentence)

    def as_dict(self) -> dict[str, Any]:
        """For `--json` and for the ledger's status row."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Mapping[str, object]) -> SandboxState:
        """The same back, from a process that may not be believed.

        Raises:
            TypeError, ValueError: it is something else.
        """
        state = cls(**said)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - looked at next
        for name, kind in cls.__annotations__.items():
            if type(getattr(state, name)) is not (bool if kind == "bool" else str):
                raise ValueError(name)
        return state


def guard_supervisor() -> SandboxState:
    """The supervisor's promises: no network but local sockets (sd_notify), no core dump, private files.

    Call it before any thread starts; the filter covers threads that exist, a profile on macOS may not.
    """
    private_umask()
    core_dumps, core_dumps_off = no_core_dumps()
    network, refused = give_up_network(seccomp.SUPERVISOR)
    files = "all of the user's, because this process publishes, archives and decodes nothing"
    return SandboxState(
        network=network,
        network_refused=refused,
        files=files,
        files_confined=False,
        core_dumps=core_dumps,
        core_dumps_off=core_dumps_off,
    )


def guard_worker(
    read: Iterable[Path],
    write: Iterable[Path],
    *,
    devices: Iterable[Path] = (),
    unconfined: str = "",
    driver: str = "",
    trap: bool = False,
) -> SandboxState:
    """A worker's promises; call it before any library has started a thread, which would escape.

    Args:
        read: what photos, models and backgrounds need, beside the interpreter and the system's libraries.
        write: the outboxes; files may be created and written there, not removed or renamed.
        devices: an accelerator's device files, to read, write and control.
        unconfined: why files are left alone, or "" to confine them; the network is given up all the same.
        driver: names of accelerators whose drivers make system calls that are on no list; "" for none.
        trap: refuse system calls by a signal that `tracing` counts; never in normal work.
    """
    core_dumps, core_dumps_off = no_core_dumps()
    read, write = tuple(read), tuple(write)
    if sys.platform == "darwin":
        return _guard_worker_macos(None if unconfined else write, core_dumps, core_dumps_off)
    sentence, confined = (f"not confined ({unconfined})", False)
    if not unconfined:
        sentence, confined = confine_files(read, write, devices)
    capabilities, none = give_up_capabilities()
    policy = seccomp.WORKER_WITH_DRIVER if driver else seccomp.WORKER
    network, refused = give_up_network(policy, trap=trap)
    calls, listed = _calls(driver, enforced=refused)
    return SandboxState(
        network=network,
        network_refused=refused,
        files=sentence,
        files_confined=confined,
        core_dumps=core_dumps,
        core_dumps_off=core_dumps_off,
        calls=calls,
        calls_listed=listed,
        capabilities=capabilities,
        capabilities_none=none,
    )


def _calls(driver: str, *, enforced: bool) -> tuple[str, bool]:
    """What holds for system calls, and whether a list says which are allowed."""
    if not enforced:
        return "not limited here", False
    if driver:
        return f"the dangerous ones are refused; the driver of {driver} may use the others", False
    return "only those on a list are let through (seccomp)", True


def give_up_capabilities() -> tuple[str, bool]:
    """No right beyond those of the files' owner, were it root's; a sentence, and whether it is so."""
    capabilities.drop_all()
    left = capabilities.held()
    if left is None:
        return "not known here", False
    return ("none", True) if left == 0 else (f"{left} could not be given up", False)


def unguarded() -> SandboxState:
    """What holds when the user has switched the sandbox off: only the core dumps, which nobody needs."""
    core_dumps, core_dumps_off = no_core_dumps()
    off = "not given up (engine.sandbox is off)"
    return SandboxState(
        network=off,
        network_refused=False,
        files=off,
        files_confined=False,
        core_dumps=core_dumps,
        core_dumps_off=core_dumps_off,
    )


def give_up_network(policy: seccomp.Policy, *, trap: bool = False) -> tuple[str, bool]:
    """No socket from now on, in any thread or child of this process, until it ends.

    Args:
        policy: `seccomp.SUPERVISOR` still allows AF_UNIX sockets.
        trap: as for `guard_worker`.

    Returns:
        A sentence, and whether the kernel enforces it.
    """
    keep_unix = policy.families is not None
    if sys.platform == "darwin":
        return _macos_profile(keep_unix=keep_unix, write=None)
    if sys.platform != "linux":
        return f"not enforced here ({sys.platform} has no filter cutoutd can set)", False
    try:
        seccomp.install(policy, trap=trap)
    except OSError as error:
        return f"not enforced here (the kernel refused the seccomp filter: {_reason(error)})", False
    kept = "all but local (AF_UNIX) sockets are" if keep_unix else "every socket is"
    return f"{kept} refused by the kernel (seccomp)", True


def confine_networked(
    read: Iterable[Path], write: Iterable[Path], own: Iterable[Path], *, starts: bool
) -> tuple[str, bool]:
    """As `confine_files`, for a process whose work is the network, which it keeps.

    Args:
        read: what stays readable, beside the program.
        write: where files may be created and written, not removed.
        own: folders of its own.
        starts: it may start this interpreter, for workers of its own.

    Returns:
        A sentence, and whether the kernel enforces it.
    """
    if sys.platform != "linux":
        return f"not enforced here ({sys.platform} has no Landlock)", False
    execute = runtime_paths() if starts else ()
    nulls = [Path(name) for name in _DEVICES]
    try:
        landlock.confine((*read, *runtime_paths()), write, nulls, own=own, execute=execute, network=True)
    except OSError as error:
        return f"not enforced here (Landlock: {_reason(error)})", False
    return "confined by the kernel to what it shares and to the program (Landlock)", True


def confine_files(
    read: Iterable[Path], write: Iterable[Path], devices: Iterable[Path] = ()
) -> tuple[str, bool]:
    """Only `read` (and what the interpreter needs) stays readable, and only `write` takes new files.

    `devices` are the accelerator's, and named in the answer.

    It binds this thread and what it starts: threads that run already would escape, and then it says so.

    Returns:
        A sentence, and whether the kernel enforces it. Paths that do not exist are named in the sentence.
    """
    if sys.platform != "linux":
        return f"not enforced here ({sys.platform} has no Landlock)", False
    own, write, devices = tuple(read), tuple(write), tuple(devices)
    others = threads() - 1
    try:
        done = landlock.confine((*own, *runtime_paths()), write, [Path(name) for name in _DEVICES], devices)
    except OSError as error:
        return f"not enforced here (Landlock: {_reason(error)})", False
    if others > 0:
        return f"only partly confined ({others} threads ran already, before Landlock)", False
    named = {*own, *write}
    missing = [str(path) for path in done.absent if path in named]
    note = f"; not there: {', '.join(missing)}" if missing else ""
    opened = f"; open for the accelerator: {', '.join(map(str, devices))}" if devices else ""
    confined_to = f"inboxes, outboxes and the program (Landlock {done.abi})"
    return f"confined by the kernel to {confined_to}{opened}{note}", True


def threads() -> int:
    """How many threads this process has; 1 where that cannot be told."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return 1


def runtime_paths() -> tuple[Path, ...]:
    """What must stay readable for any photo: interpreter, packages, our own code, system libraries."""
    paths = [Path(name) for name in (sys.prefix, sys.base_prefix, sys.exec_prefix, *_SYSTEM_READ)]
    # The import path covers editable installs and zipped packages; "" would be whatever folder we stand in.
    paths += [Path(entry) for entry in sys.path if entry and Path(entry).is_absolute()]
    # What the entries of /sys/bus/pci and /sys/class/drm point to.
    paths += sorted(Path("/sys/devices").glob("pci*"))
    paths += [Path(__file__).resolve().parents[2]]
    # Not Path.exists(), which raises where a folder may not be passed: that must not leave every file open.
    return tuple(dict.fromkeys(path for path in paths if os.path.exists(path) and path != Path("/")))


def no_core_dumps() -> tuple[str, bool]:
    """A crash writes no memory image (which would hold pixels), and no other program may look inside."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return "off", True
    # A core pattern that pipes to a program ignores the limit; "not dumpable" stops that one too, and ptrace.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, *(ctypes.c_ulong(0) for _ in range(4))) != 0:
        return (
            f"limited to nothing, but the process stays traceable ({os.strerror(ctypes.get_errno())})",
            True,
        )
    return "off, and no other program may trace the process", True


def private_umask(mask: int = PRIVATE_UMASK) -> None:
    """New files belong to their owner alone, unless a mode is asked for by name afterwards."""
    os.umask(mask)


def try_network() -> dict[str, str]:
    """What the kernel answers to each way of getting a socket: an error's name, or "open".

    For `verify` and the tests. A socket that can be made is closed at once: nothing is ever connected or
    sent. io_uring is asked for with an empty request that no kernel accepts, so EFAULT means "open".
    """
    import socket

    attempts = {
        "ipv4": (socket.AF_INET, socket.SOCK_STREAM),
        "ipv6": (socket.AF_INET6, socket.SOCK_STREAM),
        "udp": (socket.AF_INET, socket.SOCK_DGRAM),
        "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
    }
    answers: dict[str, str] = {}
    for name, (family, kind) in attempts.items():
        try:
            socket.socket(family, kind).close()
            answers[name] = "open"
        except OSError as error:
            answers[name] = errno.errorcode.get(error.errno or 0, str(error))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(ctypes.c_long(NUMBERS["io_uring_setup"][0]), ctypes.c_uint(1), None)
        answer = errno.errorcode.get(ctypes.get_errno(), "")
        answers["io_uring"] = "open" if answer in {"EFAULT", "EINVAL", ""} else answer
    return answers


def _guard_worker_macos(
    write: tuple[Path, ...] | None, core_dumps: str, core_dumps_off: bool
) -> SandboxState:
    """One profile does both; a process gets only one, and may have its supervisor's by inheritance."""
    sentence, done = _macos_profile(keep_unix=False, write=write)
    files = (
        "not confined" if write is None or not done else "writing only in outboxes (macOS sandbox profile)"
    )
    return SandboxState(
        network=sentence,
        network_refused=done,
        files=files,
        files_confined=done and write is not None,
        core_dumps=core_dumps,
        core_dumps_off=core_dumps_off,
    )


def _macos_profile(*, keep_unix: bool, write: tuple[Path, ...] | None) -> tuple[str, bool]:
    """Applies a macOS profile and says what came of it."""
    try:
        macos.apply(macos.profile(keep_unix=keep_unix, write=write))
    except (OSError, AttributeError) as error:
        return f"no profile of its own ({error})", False
    kept = "all but local sockets are" if keep_unix else "every socket is"
    return f"{kept} refused by the macOS sandbox profile", True


def _reason(error: OSError) -> str:
    """The system's word for an error, without its number."""
    return error.strerror or str(error)
