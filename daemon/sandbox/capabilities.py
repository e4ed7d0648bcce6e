"""A process's capabilities, given up one and all; for a process of an ordinary user there are none to lose."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Final

# linux/prctl.h and linux/capability.h
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_VERSION_3: Final = 0x20080522
_SETS: Final = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def drop_all() -> None:
    """Ambient, bounding, inheritable, permitted and effective set, as far as the kernel lets us; `held` says how far.

    The bounding set can only be emptied by who may change capabilities. For anybody else it means nothing: without
    new privileges, no program that is started could gain from it, and a worker starts none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_CAP_AMBIENT, *(ctypes.c_ulong(n) for n in (_PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)))
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_READ, *(ctypes.c_ulong(n) for n in (capability, 0, 0, 0))) < 0:
            break  # this kernel knows no more
        libc.prctl(_PR_CAPBSET_DROP, *(ctypes.c_ulong(n) for n in (capability, 0, 0, 0)))
    libc.capset(struct.pack("=Ii", _VERSION_3, 0), bytes(24))


def held() -> int | None:
    """How many capabilities this process has or could take up; None where the kernel does not say."""
    try:
        # Bytes: a codec that is not loaded yet could not be found from inside a sandbox.
        lines = Path("/proc/self/status").read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    facts = {name: value for name, _, value in (line.partition(":") for line in lines)}
    if not all(name in facts for name in _SETS[:3]):
        return None
    every = 0
    for name in _SETS:
        every |= int(facts.get(name, "0"), 16)
    return every.bit_count()
