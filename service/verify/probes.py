"""What a process of ours can still do, found by trying it from the inside; for `verify`, never in normal work."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cutoutd.daemon.sandbox.guard import try_network

_PR_GET_DUMPABLE: Final = 3


@dataclass(frozen=True, slots=True)
class Tries:
    """What a worker is made to try.

    Attributes:
        read: files it must not be able to read.
        create: a file it must not be able to make.
    """

    read: tuple[Path, ...] = ()
    create: Path | None = None


def ability(tries: Tries) -> dict[str, Any]:
    """Tries everything, in whatever process calls it.

    Returns:
        Plain values: `network` (an errno name or "open" per kind), `filters` (the kernel's own word on
        seccomp), `core_limit` (bytes), `dumpable`, `umask`, `telemetry_off`, `engine_loaded`, and `read` and
        `create` (an errno name or "allowed").
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
        "read": {path.name: _answer(path, os.O_RDONLY) for path in tries.read},
        "create": None
        if tries.create is None
        else _answer(tries.create, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    }


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


def _answer(path: Path, flags: int) -> str:
    try:
        os.close(os.open(path, flags | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "allowed"


def _dumpable() -> bool | None:
    """Whether this process may be traced and dumped; None where the platform has no such switch."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(_PR_GET_DUMPABLE, *(ctypes.c_ulong(0) for _ in range(4))) != 0
