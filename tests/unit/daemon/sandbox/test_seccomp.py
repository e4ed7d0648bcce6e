"""Runs the filters' instructions as the kernel would, on both processors; the kernel itself is asked elsewhere."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from cutoutd.daemon.sandbox import seccomp
from cutoutd.daemon.sandbox.seccomp import ARCHITECTURES, NUMBERS, SUPERVISOR, WORKER, Architecture, Policy

ALLOW = 0x7FFF0000
KILL = 0x80000000
AF_INET, AF_INET6, AF_NETLINK, AF_VSOCK = 2, 10, 16, 40


def errno_answer(number: int) -> int:
    return 0x00050000 | number


def verdict(
    policy: Policy, architecture: Architecture, number: int, *arguments: int, audit: int | None = None
) -> int:
    """A machine for the four instructions in use, on a `struct seccomp_data`."""
    padded = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit or architecture.audit, 0, *padded)
    code = seccomp.program(policy, architecture)
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


@pytest.mark.parametrize("name", seccomp.SOCKETS)
def test_a_worker_gets_no_socket_call_at_all(architecture: Architecture, name: str) -> None:
    number = NUMBERS[name][architecture.column]
    assert verdict(WORKER, architecture, number, seccomp.AF_UNIX) == errno_answer(errno.EACCES)


@pytest.mark.parametrize("name", [*seccomp.RING, *seccomp.STEAL])
@pytest.mark.parametrize("policy", [SUPERVISOR, WORKER], ids=["supervisor", "worker"])
def test_nobody_gets_a_ring_or_somebody_elses_socket(
    architecture: Architecture, policy: Policy, name: str
) -> None:
    assert verdict(policy, architecture, NUMBERS[name][architecture.column]) == errno_answer(errno.EPERM)


@pytest.mark.parametrize("name", seccomp.NEVER_NEEDED)
def test_a_worker_starts_no_program(architecture: Architecture, name: str) -> None:
    number = NUMBERS[name][architecture.column]
    assert verdict(WORKER, architecture, number) == errno_answer(errno.EPERM)
    assert verdict(SUPERVISOR, architecture, number) == ALLOW


def test_a_worker_cannot_type_into_the_terminal(architecture: Architecture) -> None:
    number = NUMBERS["ioctl"][architecture.column]
    for request in seccomp.TYPE_INTO_TERMINAL:
        assert verdict(WORKER, architecture, number, 0, request) == errno_answer(errno.EPERM)
        # The kernel ignores the upper half of the request.
        assert verdict(WORKER, architecture, number, 0, (1 << 32) | request) == errno_answer(errno.EPERM)
    assert verdict(WORKER, architecture, number, 0, 0x5401) == ALLOW
    assert verdict(WORKER, architecture, number, 0x5412, 0) == ALLOW


def test_everything_else_is_allowed(architecture: Architecture) -> None:
    named = {numbers[architecture.column] for numbers in NUMBERS.values()}
    for number in set(range(470)) - named:
        assert verdict(WORKER, architecture, number) == ALLOW
        assert verdict(SUPERVISOR, architecture, number) == ALLOW


def test_calls_of_another_architecture_end_the_process(architecture: Architecture) -> None:
    i386 = 0x40000003
    for policy in (SUPERVISOR, WORKER):
        assert verdict(policy, architecture, 1, audit=i386) == KILL


def test_x32_numbers_are_no_way_around() -> None:
    x86_64 = ARCHITECTURES["x86_64"]
    for number in (NUMBERS["socket"][0] | 0x40000000, 0x40000000 | 1, -1):
        assert verdict(SUPERVISOR, x86_64, number, AF_INET) == errno_answer(errno.EPERM)


def test_jumps_stay_inside_the_program(architecture: Architecture) -> None:
    for policy in (SUPERVISOR, WORKER):
        code = seccomp.program(policy, architecture)
        # BPF_MAXINSNS, and the last instruction answers.
        assert len(code) <= 4096
        assert code[-1][0] == 0x06
        for at, (operation, if_true, if_false, _) in enumerate(code):
            if operation in {0x15, 0x35}:
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
    known = {name: numbers[column] for name, numbers in NUMBERS.items()}
    # Older headers lack the newest calls.
    assert {name: number for name, number in known.items() if name in found} == {
        name: found[name] for name in known if name in found
    }
    assert len(known.keys() & found.keys()) >= len(known) - 2
