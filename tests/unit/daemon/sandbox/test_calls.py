"""The lists of system calls agree with one another, and with this machine's headers where they are installed."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import pytest

from cutoutd.daemon.sandbox.calls import ALLOWED, NUMBERS, REFUSED, RING, SOCKETS

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def test_nothing_is_both_allowed_and_refused_and_nothing_is_named_twice() -> None:
    assert set(ALLOWED) & set(REFUSED) == set()
    assert (len(set(ALLOWED)), len(set(REFUSED))) == (len(ALLOWED), len(REFUSED))


def test_every_name_has_a_number_on_one_machine_at_least_and_no_number_two_names() -> None:
    assert {*ALLOWED, *REFUSED} <= set(NUMBERS)
    assert all(max(numbers) >= 0 for numbers in NUMBERS.values())
    for column in (0, 1):
        used = [numbers[column] for numbers in NUMBERS.values() if numbers[column] >= 0]
        assert len(used) == len(set(used))


@pytest.mark.parametrize("name", [*SOCKETS, *RING, "execve", "ptrace", "unlink", "rename", "mount"])
def test_no_worker_may(name: str) -> None:
    assert name in REFUSED


def test_what_every_photo_needs_stands_at_the_front() -> None:
    assert ALLOWED[0] == "read"
    front = set(itertools.islice(ALLOWED, 40))
    assert {"read", "pread64", "write", "close", "lseek", "fstat", "openat"} <= front
    assert {"futex", "fsync", "exit_group"} <= set(ALLOWED)


@pytest.mark.skipif(
    os.uname().machine not in HEADERS or not HEADERS[os.uname().machine].exists(),
    reason="the kernel's headers are not installed",
)
def test_the_numbers_are_the_headers() -> None:
    machine = os.uname().machine
    text = HEADERS[machine].read_text(encoding="utf-8")
    found = {name: int(number) for name, number in re.findall(r"#define __NR3?_(\w+)\s+(\d+)", text)}
    column = list(HEADERS).index(machine)
    known = {
        name: numbers[column] for name, numbers in NUMBERS.items() if numbers[column] >= 0 and name in found
    }
    assert len(known) > 150
    assert known == {name: found[name] for name in known}
