"""The seccomp filters over a process's system calls: policies, a tiny assembler, and their installation.

`program` is pure: it turns a policy into the instructions the kernel will run on every system call, and is
tested by running those instructions. `install` hands them to the kernel, for good and for all threads. Which calls
there are is in `calls`; which files may be reached is `landlock`'s business.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import Final

from msgspec import Struct, field

from cutoutd.daemon.sandbox.calls import ALLOWED, NUMBERS, REFUSED, RING, SOCKETS


class Architecture(Struct, frozen=True):
    """What a filter must know about one processor.

    Attributes:
        audit: the AUDIT_ARCH value the kernel reports for native calls.
        column: which number of each row of `NUMBERS` is valid here.
        x32: whether a second, 32-bit-pointer set of numbers reaches the same calls.
    """

    audit: int
    column: int
    x32: bool


# From linux/audit.h: the ELF machine number, 64 bits (0x80000000), little endian (0x40000000).
ARCHITECTURES: Final = {
    "x86_64": Architecture(audit=0xC000003E, column=0, x32=True),
    "aarch64": Architecture(audit=0xC00000B7, column=1, x32=False),
}

AF_UNIX: Final = 1
# A finished socket could be taken from another process of the same user.
STEAL: Final = ("pidfd_getfd", "ptrace", "process_vm_readv", "process_vm_writev")
# ioctl requests that type into the user's terminal: TIOCSTI and TIOCLINUX (asm-generic/ioctls.h).
TYPE_INTO_TERMINAL: Final = (0x5412, 0x541C)
# ioctl requests that ask and set nothing outside: is it a terminal and how large, how much waits, close on exec,
# blocking or not.
HARMLESS_IOCTLS: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# fcntl: duplicate, flags of descriptor and file, a pipe's size. Not locks, leases, owners of signals (another process
# could get them), nor F_NOTIFY, which watches folders.
HARMLESS_FCNTLS: Final = (0, 1, 2, 3, 4, 1030, 1032)
# prctl: the name of a thread and of a memory area, and questions about dumps, seccomp and capabilities. Not: dying
# with the parent, being traceable.
HARMLESS_PRCTLS: Final = (3, 15, 16, 21, 23, 39, 0x53564D41)
# arch_prctl, x86 only (asm/prctl.h): which wide registers there are, which may be used, and to be let use them (AMX,
# which multiplies matrices of bytes). Not: where thread-local memory lies.
HARMLESS_ARCH_PRCTLS: Final = (0x1021, 0x1022, 0x1023)

# linux/sched.h: a thread, and the flags that make new namespaces.
_CLONE_THREAD: Final = 0x00010000
_CLONE_NEW: Final = 0x7E020000
_PROT_WRITE, _PROT_EXEC = 2, 4


class Policy(Struct, frozen=True):
    """What one kind of process may do.

    Attributes:
        refused: calls answered with EPERM (sockets: EACCES) whatever else is said.
        allowed: the only calls that are let through, besides those with rules; None lets through all that is not
            refused.
        families: the only socket family still allowed, others are answered with EACCES; None leaves sockets to the
            lists.
        ioctls: the only ioctl requests let through; None lets through all but those that type into terminals.
        rules: whether calls with arguments that matter are looked at (`_rules`).
    """

    refused: tuple[str, ...]
    allowed: tuple[str, ...] | None = None
    families: int | None = None
    ioctls: tuple[int, ...] | None = field(default=())
    rules: bool = True


SUPERVISOR: Final = Policy(refused=(*RING, *STEAL), families=AF_UNIX, ioctls=None, rules=False)
WORKER: Final = Policy(refused=REFUSED, allowed=ALLOWED, ioctls=HARMLESS_IOCTLS)
# An accelerator's driver speaks to its card by calls that nobody has listed; what is refused stays refused.
WORKER_WITH_DRIVER: Final = Policy(refused=REFUSED, ioctls=None)
# EACCES for sockets, not EAFNOSUPPORT: "permission denied" cannot be mistaken for a machine without IPv6.
ERRNO_OF: Final[dict[str, int]] = {
    **dict.fromkeys(SOCKETS, errno.EACCES),
    # "Not a link": the answer that path functions expect for nearly every file; targets of links stay unknown.
    "readlink": errno.EINVAL,
    "readlinkat": errno.EINVAL,
}
# Calls from this number on are younger than Linux 5.1. "There is no such call" makes libraries fall back to the older
# one: clone3, whose flags lie in memory where no filter can see them, to clone.
_YOUNG: Final = 424

# linux/seccomp.h
_RET_KILL_PROCESS: Final = 0x80000000
_RET_TRAP: Final = 0x00030000
_RET_ERRNO: Final = 0x00050000
_RET_ALLOW: Final = 0x7FFF0000
_SET_MODE_FILTER: Final = 1
_FLAG_TSYNC: Final = 1
_X32_BIT: Final = 0x40000000
# struct seccomp_data: number, architecture, instruction pointer, six arguments of 8 bytes.
_AT_NUMBER: Final = 0
_AT_ARCHITECTURE: Final = 4
_AT_ARGUMENTS: Final = 16
# linux/bpf_common.h: load a word; jump if equal, at least, a bit is set; return a constant.
_LOAD: Final = 0x20
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_IF_BITS: Final = 0x45
_RETURN: Final = 0x06

Instruction = tuple[int, int, int, int]


def program(
    policy: Policy, architecture: Architecture, *, pid: int = 0, trap: bool = False
) -> list[Instruction]:
    """The filter for one policy on one processor: (code, jump if true, jump if false, constant) each.

    A call from a foreign architecture (32-bit on x86_64) kills the process: its numbers mean other calls.
    Both processors are little endian, so the low word of an argument comes first.

    Args:
        policy: what to refuse.
        architecture: of the process.
        pid: its number: what it may send signals to.
        trap: refuse by SIGSYS, which `tracing` answers and counts, instead of by an error.
    """
    refuse = _RET_TRAP if trap else _RET_ERRNO
    code: list[Instruction] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    if architecture.x32:
        # Above the bit lie the x32 numbers; -1, which a tracer may put there, is above it as well.
        code += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, refuse | errno.EPERM)]
    for name in policy.allowed or ():
        if (number := NUMBERS[name][architecture.column]) >= 0:
            code += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RET_ALLOW)]
    for name in (*policy.refused, *(("readlink", "readlinkat") if policy.rules else ())):
        if (number := NUMBERS[name][architecture.column]) >= 0:
            refusal = refuse | ERRNO_OF.get(name, errno.EPERM)
            code += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, refusal)]
    if policy.families is not None:
        code += _only_family(policy.families, architecture)
    for name, tests in _rules(policy, pid) if policy.rules else ():
        if NUMBERS[name][architecture.column] < 0:
            continue
        refusal = [*tests, (_RETURN, 0, 0, refuse | errno.EPERM)]
        code += [(_IF_EQUAL, 0, len(refusal), NUMBERS[name][architecture.column]), *refusal]
    if policy.rules:
        # Never by a signal: a thread is made while all signals are blocked, and a blocked SIGSYS ends the process.
        code += [
            (_IF_EQUAL, 0, 1, NUMBERS["clone3"][architecture.column]),
            (_RETURN, 0, 0, _RET_ERRNO | errno.ENOSYS),
        ]
    if policy.allowed is None:
        return [*code, (_RETURN, 0, 0, _RET_ALLOW)]
    return [
        *code,
        (_IF_AT_LEAST, 0, 1, _YOUNG),
        (_RETURN, 0, 0, refuse | errno.ENOSYS),
        (_RETURN, 0, 0, refuse | errno.EPERM),
    ]


def _only_family(family: int, architecture: Architecture) -> list[Instruction]:
    """Socket calls whose first argument, an int, is another family get EACCES; ends the program for them."""
    return [
        (_IF_EQUAL, 1, 0, NUMBERS["socket"][architecture.column]),
        (_IF_EQUAL, 0, 4, NUMBERS["socketpair"][architecture.column]),
        (_LOAD, 0, 0, _AT_ARGUMENTS),
        (_IF_EQUAL, 0, 1, family),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_ERRNO | errno.EACCES),
    ]


def _rules(policy: Policy, pid: int) -> list[tuple[str, list[Instruction]]]:
    """Calls whose arguments matter: instructions that let them through, or fall off their end to be refused."""
    allow = (_RETURN, 0, 0, _RET_ALLOW)
    writable_code: list[Instruction] = [
        (_LOAD, 0, 0, _argument(2)),
        (_IF_BITS, 1, 0, _PROT_EXEC),
        allow,
        (_IF_BITS, 1, 0, _PROT_WRITE),
        allow,
    ]
    only_itself: list[Instruction] = [(_LOAD, 0, 0, _argument(0)), (_IF_EQUAL, 0, 1, pid), allow]
    return [
        # Threads, and no process and no namespace of its own.
        (
            "clone",
            [
                (_LOAD, 0, 0, _argument(0)),
                (_IF_BITS, 2, 0, _CLONE_NEW),
                (_IF_BITS, 0, 1, _CLONE_THREAD),
                allow,
            ],
        ),
        ("mmap", writable_code),
        ("mprotect", writable_code),
        ("kill", only_itself),
        ("tgkill", only_itself),
        # Its own limits, and only to look at them: no process number but 0 or its own, no new limit (a pointer).
        (
            "prlimit64",
            [
                (_LOAD, 0, 0, _argument(0)),
                (_IF_EQUAL, 1, 0, 0),
                (_IF_EQUAL, 0, 5, pid),
                (_LOAD, 0, 0, _argument(2)),
                (_IF_EQUAL, 0, 3, 0),
                (_LOAD, 0, 0, _argument(2) + 4),
                (_IF_EQUAL, 0, 1, 0),
                allow,
            ],
        ),
        ("fcntl", _one_of(1, HARMLESS_FCNTLS)),
        ("prctl", _one_of(0, HARMLESS_PRCTLS)),
        ("arch_prctl", _one_of(0, HARMLESS_ARCH_PRCTLS)),
        ("ioctl", _all_but(1, TYPE_INTO_TERMINAL) if policy.ioctls is None else _one_of(1, policy.ioctls)),
    ]


def _argument(number: int) -> int:
    """Where the low word of an argument lies."""
    return _AT_ARGUMENTS + 8 * number


def _one_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    """Lets through these values of an argument (32 bits)."""
    tests: list[Instruction] = [(_LOAD, 0, 0, _argument(argument))]
    for value in values:
        tests += [(_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _RET_ALLOW)]
    return tests


def _all_but(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    """Lets through all values of an argument (32 bits) but these."""
    tests: list[Instruction] = [(_LOAD, 0, 0, _argument(argument))]
    for number, value in enumerate(values):
        tests.append((_IF_EQUAL, len(values) - number, 0, value))
    return [*tests, (_RETURN, 0, 0, _RET_ALLOW)]


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog`: how many instructions, and where."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


_PR_SET_NO_NEW_PRIVS: Final = 38


def no_new_privileges(libc: ctypes.CDLL) -> None:
    """Makes set-user-id programs harmless, which is what lets an unprivileged process confine itself.

    Raises:
        OSError: the kernel refused.
    """
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(n) for n in (1, 0, 0, 0))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def install(policy: Policy, *, trap: bool = False) -> None:
    """Puts the filter over every thread of this process and all its children; there is no way back.

    Args:
        policy: what to refuse.
        trap: as for `program`.

    Raises:
        OSError: this processor is not in `ARCHITECTURES` (ENOTSUP), the kernel has no seccomp filters
            (ENOSYS, EINVAL), or a thread has a filter of its own (ESRCH).
    """
    machine = os.uname().machine
    # A 32-bit interpreter on a 64-bit kernel would be killed by its own filter.
    if machine not in ARCHITECTURES or struct.calcsize("P") != 8 or sys.byteorder != "little":
        raise OSError(errno.ENOTSUP, f"no filter for {machine}")
    architecture = ARCHITECTURES[machine]
    instructions = program(policy, architecture, pid=os.getpid(), trap=trap)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges(libc)
    ctypes.set_errno(0)
    failed = libc.syscall(
        ctypes.c_long(NUMBERS["seccomp"][architecture.column]),
        ctypes.c_uint(_SET_MODE_FILTER),
        ctypes.c_uint(_FLAG_TSYNC),
        ctypes.byref(_FilterProgram(len(instructions), packed)),
    )
    if failed != 0:
        # A positive answer is the thread that could not be brought under the filter.
        number = ctypes.get_errno() if failed < 0 else errno.ESRCH
        raise OSError(number, os.strerror(number))
