"""The seccomp filters that take sockets away, as tables and a tiny assembler; files are not its business.

`program` is pure: it turns a table into the instructions the kernel will run on every system call, and is
tested by running those instructions. `install` hands them to the kernel, for good and for all threads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Architecture:
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

# From asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64); a test compares them with the headers.
NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "ioctl": (16, 29),
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "bind": (49, 200),
    "listen": (50, 201),
    "socketpair": (53, 199),
    "execve": (59, 221),
    "ptrace": (101, 117),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "accept4": (288, 242),
    "perf_event_open": (298, 241),
    "recvmmsg": (299, 243),
    "sendmmsg": (307, 269),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "seccomp": (317, 277),
    "bpf": (321, 280),
    "execveat": (322, 281),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "pidfd_getfd": (438, 438),
}

# A ring can make sockets without a call to socket(), past any filter on it.
RING: Final = ("io_uring_setup", "io_uring_enter", "io_uring_register")
# A finished socket could be taken from another process of the same user.
STEAL: Final = ("pidfd_getfd", "ptrace", "process_vm_readv", "process_vm_writev")
# Every way to make a socket, to use one that was inherited (systemd's standard output is one), or to be
# handed one over it. Workers speak to the supervisor through pipes alone.
SOCKETS: Final = (
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
    "sendto", "sendmsg", "sendmmsg", "recvmsg", "recvmmsg",
)  # fmt: skip
# Decoders read hostile bytes: what they never need and what past kernel exploits began with.
NEVER_NEEDED: Final = (
    "execve", "execveat", "bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl",
)  # fmt: skip
# ioctl requests that type into the user's terminal: TIOCSTI and TIOCLINUX (asm-generic/ioctls.h).
TYPE_INTO_TERMINAL: Final = (0x5412, 0x541C)

AF_UNIX: Final = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """What one kind of process may no longer do.

    Attributes:
        refused: calls answered with EPERM.
        families: None refuses every socket through `refused`; else the only socket family still allowed,
            others are answered with EACCES.
        ioctls: ioctl requests answered with EPERM.
    """

    refused: tuple[str, ...]
    families: int | None = None
    ioctls: tuple[int, ...] = field(default=())


SUPERVISOR: Final = Policy(refused=(*RING, *STEAL), families=AF_UNIX)
WORKER: Final = Policy(refused=(*RING, *STEAL, *SOCKETS, *NEVER_NEEDED), ioctls=TYPE_INTO_TERMINAL)
# EACCES for sockets, not EAFNOSUPPORT: "permission denied" cannot be mistaken for a machine without IPv6.
ERRNO_OF: Final[dict[str, int]] = dict.fromkeys(SOCKETS, errno.EACCES)

# linux/seccomp.h
_RET_KILL_PROCESS: Final = 0x80000000
_RET_ERRNO: Final = 0x00050000
_RET_ALLOW: Final = 0x7FFF0000
_SET_MODE_FILTER: Final = 1
_FLAG_TSYNC: Final = 1
_X32_BIT: Final = 0x40000000
# struct seccomp_data: number, architecture, instruction pointer, six arguments of 8 bytes.
_AT_NUMBER: Final = 0
_AT_ARCHITECTURE: Final = 4
_AT_ARGUMENTS: Final = 16
# linux/bpf_common.h: load a word, jump if equal, jump if a bit is set, return a constant.
_LOAD: Final = 0x20
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06

Instruction = tuple[int, int, int, int]


def program(policy: Policy, architecture: Architecture) -> list[Instruction]:
    """The filter for one policy on one processor: (code, jump if true, jump if false, constant) each.

    A call from a foreign architecture (32-bit on x86_64) kills the process: its numbers mean other calls.
    Both processors are little endian, so the low word of an argument comes first.
    """
    code: list[Instruction] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    if architecture.x32:
        # Above the bit lie the x32 numbers; -1, which a tracer may put there, is above it as well.
        code += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _RET_ERRNO | errno.EPERM)]
    for name in policy.refused:
        refusal = _RET_ERRNO | ERRNO_OF.get(name, errno.EPERM)
        code += [(_IF_EQUAL, 0, 1, NUMBERS[name][architecture.column]), (_RETURN, 0, 0, refusal)]
    if policy.families is not None:
        code += _only_family(policy.families, architecture)
    if policy.ioctls:
        code += _refuse_ioctls(policy.ioctls, architecture)
    code.append((_RETURN, 0, 0, _RET_ALLOW))
    return code


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


def _refuse_ioctls(requests: tuple[int, ...], architecture: Architecture) -> list[Instruction]:
    """Ioctl calls with one of these requests (second argument, 32 bits) get EPERM; ends the program."""
    tests: list[Instruction] = []
    for request in requests:
        tests += [(_IF_EQUAL, 0, 1, request), (_RETURN, 0, 0, _RET_ERRNO | errno.EPERM)]
    return [
        (_IF_EQUAL, 0, len(tests) + 1, NUMBERS["ioctl"][architecture.column]),
        (_LOAD, 0, 0, _AT_ARGUMENTS + 8),
        *tests,
    ]


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


def install(policy: Policy) -> None:
    """Puts the filter over every thread of this process and all its children; there is no way back.

    Raises:
        OSError: this processor is not in `ARCHITECTURES` (ENOTSUP), the kernel has no seccomp filters
            (ENOSYS, EINVAL), or a thread has a filter of its own (ESRCH).
    """
    machine = os.uname().machine
    # A 32-bit interpreter on a 64-bit kernel would be killed by its own filter.
    if machine not in ARCHITECTURES or struct.calcsize("P") != 8 or sys.byteorder != "little":
        raise OSError(errno.ENOTSUP, f"no filter for {machine}")
    architecture = ARCHITECTURES[machine]
    instructions = program(policy, architecture)
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
