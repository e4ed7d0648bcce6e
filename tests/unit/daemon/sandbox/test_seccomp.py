"""Runs the filters' instructions as the kernel would, on both processors; the kernel itself is asked elsewhere."""

from __future__ import annotations

import errno
import functools
import re
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest

from cutoutd.daemon.sandbox import calls, seccomp
from cutoutd.daemon.sandbox.calls import NUMBERS
from cutoutd.daemon.sandbox.seccomp import (
    ARCHITECTURES,
    SUPERVISOR,
    WORKER,
    WORKER_WITH_DRIVER,
    Architecture,
    Policy,
)

ALLOW = 0x7FFF0000
KILL = 0x80000000
PID = 4711
AF_INET, AF_INET6, AF_NETLINK, AF_VSOCK = 2, 10, 16, 40


def errno_answer(number: int) -> int:
    return 0x00050000 | number


@functools.cache
def program(policy: Policy, architecture: Architecture) -> list[seccomp.Instruction]:
    return seccomp.program(policy, architecture, pid=PID)


def verdict(
    policy: Policy, architecture: Architecture, number: int, *arguments: int, audit: int | None = None
) -> int:
    """A machine for the five instructions in use, on a `struct seccomp_data`."""
    padded = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit or architecture.audit, 0, *padded)
    code = program(policy, architecture)
    accumulator, at = 0, 0
    for _ in range(len(code)):
        operation, if_true, if_false, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x35:
                at += if_true if accumulator >= constant else if_false
            case 0x45:
                at += if_true if accumulator & constant else if_false
            case 0x06:
                return constant
            case _:
                pytest.fail(f"unknown instruction {operation:#x}")
    pytest.fail("the program does not end")


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


@pytest.mark.parametrize("family", [AF_INET, AF_INET6, AF_NETLINK, AF_VSOCK, 0, 1 << 31])
def test_the_supervisor_gets_no_socket_but_a_local_one(architecture: Architecture, family: int) -> None:
    for name in ("socket", "socketpair"):
        number = NUMBERS[name][architecture.column]
        assert verdict(SUPERVISOR, architecture, number, family) == errno_answer(errno.EACCES)
        assert verdict(SUPERVISOR, architecture, number, seccomp.AF_UNIX) == ALLOW


def test_the_kernel_looks_at_32_bits_of_the_family_and_so_does_the_filter(architecture: Architecture) -> None:
    number = NUMBERS["socket"][architecture.column]
    assert verdict(SUPERVISOR, architecture, number, (7 << 32) | seccomp.AF_UNIX) == ALLOW
    assert verdict(SUPERVISOR, architecture, number, (seccomp.AF_UNIX << 32) | AF_INET) != ALLOW


def number_of(name: str, architecture: Architecture) -> int:
    number = NUMBERS[name][architecture.column]
    if number < 0:
        pytest.skip("this architecture has no such call")
    return number


WORKERS = pytest.mark.parametrize("policy", [WORKER, WORKER_WITH_DRIVER], ids=["listed", "with a driver"])


def numbers_of(names: Iterable[str], architecture: Architecture) -> dict[str, int]:
    """Those that this architecture has; there is none that no architecture has."""
    names = list(names)
    assert all(max(NUMBERS[name]) >= 0 for name in names)
    return {name: number for name in names if (number := NUMBERS[name][architecture.column]) >= 0}


@WORKERS
def test_what_is_refused_to_workers_is_refused_to_every_one(
    architecture: Architecture, policy: Policy
) -> None:
    for name, number in numbers_of(calls.REFUSED, architecture).items():
        answer = errno_answer(errno.EACCES if name in calls.SOCKETS else errno.EPERM)
        for arguments in ((), (PID, 0, 0), (seccomp.AF_UNIX, 1, 0)):
            assert verdict(policy, architecture, number, *arguments) == answer, name


@pytest.mark.parametrize("name", [*calls.RING, *seccomp.STEAL])
def test_the_supervisor_gets_no_ring_and_nobodys_socket_but_starts_programs(
    architecture: Architecture, name: str
) -> None:
    assert verdict(SUPERVISOR, architecture, number_of(name, architecture)) == errno_answer(errno.EPERM)
    for other in ("execve", "clone", "fchmod", "renameat", "inotify_add_watch", "ioctl", "prctl"):
        assert verdict(SUPERVISOR, architecture, NUMBERS[other][architecture.column]) == ALLOW


def test_what_is_on_the_list_is_let_through(architecture: Architecture) -> None:
    for name, number in numbers_of(calls.ALLOWED, architecture).items():
        assert verdict(WORKER, architecture, number) == ALLOW, name


def test_the_list_and_what_is_refused_have_nothing_in_common() -> None:
    assert not set(calls.ALLOWED) & set(calls.REFUSED)
    looked_at = {
        "clone",
        "mmap",
        "mprotect",
        "kill",
        "tgkill",
        "prlimit64",
        "fcntl",
        "prctl",
        "arch_prctl",
        "ioctl",
    }
    assert not looked_at & {
        *calls.ALLOWED,
        *calls.REFUSED,
    }


def test_calls_that_nobody_listed_do_not_work_and_young_ones_seem_not_to_be_there(
    architecture: Architecture,
) -> None:
    named = {numbers[architecture.column] for numbers in NUMBERS.values()}
    for number in set(range(1000)) - named:
        answer = errno.ENOSYS if number >= 424 else errno.EPERM
        assert verdict(WORKER, architecture, number) == errno_answer(answer)
        assert verdict(WORKER_WITH_DRIVER, architecture, number) == ALLOW
        assert verdict(SUPERVISOR, architecture, number) == ALLOW


@WORKERS
def test_threads_but_no_processes_and_no_namespaces(architecture: Architecture, policy: Policy) -> None:
    clone, clone3 = NUMBERS["clone"][architecture.column], NUMBERS["clone3"][architecture.column]
    thread = 0x3D0F00  # what a C library asks for
    assert verdict(policy, architecture, clone, thread) == ALLOW
    for flags in (
        17,
        0x4111,
        thread & ~0x10000,
        *(thread | 1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)),
    ):
        assert verdict(policy, architecture, clone, flags) == errno_answer(errno.EPERM), hex(flags)
    # Its flags lie in memory: the C library is told that it does not exist, and takes clone.
    assert verdict(policy, architecture, clone3, thread) == errno_answer(errno.ENOSYS)


@WORKERS
@pytest.mark.parametrize("name", ["mmap", "mprotect"])
def test_no_memory_that_can_be_written_and_run(architecture: Architecture, policy: Policy, name: str) -> None:
    number = NUMBERS[name][architecture.column]
    for protection, answer in ((0, ALLOW), (1, ALLOW), (3, ALLOW), (5, ALLOW)):
        assert verdict(policy, architecture, number, 0, 4096, protection) == answer
    for protection in (6, 7):
        assert verdict(policy, architecture, number, 0, 4096, protection) == errno_answer(errno.EPERM)


@WORKERS
@pytest.mark.parametrize("name", ["kill", "tgkill"])
def test_signals_reach_only_itself(architecture: Architecture, policy: Policy, name: str) -> None:
    number = NUMBERS[name][architecture.column]
    assert verdict(policy, architecture, number, PID, PID, 6) == ALLOW
    for pid in (0, 1, PID + 1, 2**32 - 1, -PID & 0xFFFFFFFF):
        assert verdict(policy, architecture, number, pid, PID, 6) == errno_answer(errno.EPERM)


@WORKERS
def test_limits_are_looked_at_and_never_set(architecture: Architecture, policy: Policy) -> None:
    number = NUMBERS["prlimit64"][architecture.column]
    assert verdict(policy, architecture, number, 0, 7, 0, 1) == ALLOW
    assert verdict(policy, architecture, number, PID, 7, 0, 1) == ALLOW
    for pid, new in ((1, 0), (PID + 1, 0), (0, 1), (0, 1 << 32), (PID, 1 << 40)):
        assert verdict(policy, architecture, number, pid, 7, new, 0) == errno_answer(errno.EPERM)


@WORKERS
def test_descriptors_and_processes_are_told_only_harmless_things(
    architecture: Architecture, policy: Policy
) -> None:
    refused = {
        "fcntl": (5, 6, 7, 8, 10, 15, 37, 1024, 1026, 1031, 1033),  # locks, owners, signals, leases, watches
        "prctl": (1, 4, 8, 22, 24, 28, 33, 35, 38, 47, 50, 0x59616D61),
        "ioctl": (*seccomp.TYPE_INTO_TERMINAL, (1 << 32) | 0x5412),
    }
    harmless = {"fcntl": (1, 3, 1030), "prctl": (15, 0x53564D41), "ioctl": (0x5401, 0x5451)}
    for name, requests in refused.items():
        at = (0,) if name != "prctl" else ()
        number = NUMBERS[name][architecture.column]
        for request in requests:
            assert verdict(policy, architecture, number, *at, request) == errno_answer(errno.EPERM), name
        for request in harmless[name]:
            assert verdict(policy, architecture, number, *at, request) == ALLOW


@WORKERS
def test_wide_registers_may_be_used_and_nothing_else_is_set_on_the_processor(policy: Policy) -> None:
    x86_64, number = ARCHITECTURES["x86_64"], NUMBERS["arch_prctl"][0]
    for request in (0x1021, 0x1022, 0x1023):
        assert verdict(policy, x86_64, number, request, 18) == ALLOW
    for request in (0, 0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1012, 0x1024, 0x1025, 0x5001, 0x5002):
        assert verdict(policy, x86_64, number, request, 18) == errno_answer(errno.EPERM)


def test_only_a_driver_may_control_devices(architecture: Architecture) -> None:
    ioctl = NUMBERS["ioctl"][architecture.column]
    for request in (0x40086602, 0xC00C4641, 0x4004667F):  # file attributes, a card, anything
        assert verdict(WORKER, architecture, ioctl, 3, request) == errno_answer(errno.EPERM)
        assert verdict(WORKER_WITH_DRIVER, architecture, ioctl, 3, request) == ALLOW


@WORKERS
def test_where_a_link_leads_is_not_told(architecture: Architecture, policy: Policy) -> None:
    for name in ("readlink", "readlinkat"):
        if (number := NUMBERS[name][architecture.column]) >= 0:
            assert verdict(policy, architecture, number) == errno_answer(errno.EINVAL)


def test_calls_of_another_architecture_end_the_process(architecture: Architecture) -> None:
    i386 = 0x40000003
    for policy in (SUPERVISOR, WORKER, WORKER_WITH_DRIVER):
        assert verdict(policy, architecture, 1, audit=i386) == KILL


def test_x32_numbers_are_no_way_around() -> None:
    x86_64 = ARCHITECTURES["x86_64"]
    for number in (NUMBERS["socket"][0] | 0x40000000, 0x40000000 | 1, -1):
        assert verdict(SUPERVISOR, x86_64, number, AF_INET) == errno_answer(errno.EPERM)


def test_jumps_stay_inside_the_program(architecture: Architecture) -> None:
    for policy in (SUPERVISOR, WORKER, WORKER_WITH_DRIVER):
        code = seccomp.program(policy, architecture)
        # BPF_MAXINSNS, and the last instruction answers.
        assert len(code) <= 4096
        assert code[-1][0] == 0x06
        for at, (operation, if_true, if_false, _) in enumerate(code):
            if operation in {0x15, 0x35, 0x45}:
                assert at + 1 + max(if_true, if_false) < len(code)


@pytest.mark.parametrize(
    ("header", "column", "pattern"),
    [
        ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0, r"#define __NR_(\w+)\s+(\d+)"),
        ("/usr/include/asm-generic/unistd.h", 1, r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
    ],
)
def test_the_numbers_are_those_of_the_kernels_headers(header: str, column: int, pattern: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    found = {name: int(number) for name, number in re.findall(pattern, Path(header).read_text())}
    known = {name: numbers[column] for name, numbers in NUMBERS.items() if numbers[column] >= 0}
    # Older headers lack the newest calls.
    assert {name: number for name, number in known.items() if name in found} == {
        name: found[name] for name in known if name in found
    }
    assert len(known.keys() & found.keys()) >= len(known) - 2
