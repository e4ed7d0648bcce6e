"""Which system calls a filter refuses, counted by the process itself; for `doctor` and tests, never in normal work.

The filter answers a refused call by SIGSYS instead of an error (`seccomp.install(trap=True)`); the handler here notes
the call and lets it return the very error that the filter would have given. So one run shows every refusal, and
behaves as it would without being watched. A handler in Python may not run while the interpreter is being torn down:
end the process by `os._exit`. Nor may it while another thread holds the interpreter and waits for the one that was
refused, as compiled code does that starts threads of its own: counting needs a time limit (`workers.refused_calls`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections import Counter
from typing import Any, Final

from cutoutd.daemon.sandbox.calls import NUMBERS
from cutoutd.daemon.sandbox.seccomp import ARCHITECTURES

# struct siginfo: the error the filter gave, and the call's number; where `struct ucontext` keeps the register that
# a call returns its answer in (asm/sigcontext.h).
_AT_ERROR: Final = 4
_AT_CALL: Final = 24
_AT_ANSWER: Final = {"x86_64": 144, "aarch64": 184}
_SA_SIGINFO: Final = 4


class _Action(ctypes.Structure):
    """glibc's `struct sigaction`."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_kept: list[Any] = []


def count_refusals() -> Counter[str]:
    """From now on every refused call is counted here, by its name (or number); call it before the filter is set.

    Raises:
        OSError: this processor is not known, or the handler cannot be set.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in _AT_ANSWER:
        raise OSError(f"refused calls cannot be counted on {machine}")
    column, at_answer = ARCHITECTURES[machine].column, _AT_ANSWER[machine]
    names = {numbers[column]: name for name, numbers in NUMBERS.items()}
    found: Counter[str] = Counter()

    def note(_signal: int, info: int, context: int) -> None:
        """The handler of SIGSYS: notes the refused call and has it return its error."""
        error = ctypes.c_int.from_address(info + _AT_ERROR).value
        call = ctypes.c_int.from_address(info + _AT_CALL).value
        ctypes.c_long.from_address(context + at_answer).value = -error
        found[names.get(call, f"call {call}")] += 1

    kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    handler = kind(note)
    action = _Action(ctypes.cast(handler, ctypes.c_void_p), (ctypes.c_ubyte * 128)(), _SA_SIGINFO, None)
    _kept.append((handler, action))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sigaction(int(signal.SIGSYS), ctypes.byref(action), None) != 0:
        raise OSError(ctypes.get_errno(), "the handler cannot be set")
    return found
