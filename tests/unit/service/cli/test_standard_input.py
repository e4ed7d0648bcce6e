"""Odd kinds of standard input: each photo comes whole, or a sentence says why none does."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TextIO

import pytest

from cutoutd.config.errors import FolderError, UsageError
from cutoutd.service import streams
from cutoutd.service.cli.standard_input import kept_from_standard_input


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[int], None]]:
    opened: list[TextIO] = []

    def take(fd: int) -> None:
        opened.append(open(fd))  # noqa: SIM115 - a descriptor, closed below
        monkeypatch.setattr("sys.stdin", opened[-1])

    yield take
    for one in opened:
        one.close()


@pytest.mark.slow
def test_a_pipe_that_is_set_not_to_wait_is_read_to_its_end(
    tmp_path: Path, stdin: Callable[[int], None]
) -> None:
    """A terminal or a shell that shares it may have set it so; what comes in pieces is one photo."""
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    stdin(reads)
    arrived = threading.Event()

    def send() -> None:
        for piece in (b"first ", b"second"):
            arrived.wait(0.2)
            os.write(writes, piece)
        os.close(writes)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert kept_from_standard_input(tmp_path, 1000).read_bytes() == b"first second"
    finally:
        sender.join()


def test_no_more_is_kept_than_shows_that_it_is_too_much(tmp_path: Path, stdin: Callable[[int], None]) -> None:
    stdin(os.open("/dev/zero", os.O_RDONLY))
    assert kept_from_standard_input(tmp_path, 3_000_000).stat().st_size == 3_000_001


def _listening() -> int:
    server = socket.socket(socket.AF_UNIX)
    server.bind(b"")
    server.listen()
    return server.detach()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: os.open(os.devnull, os.O_RDONLY | os.O_PATH), "Bad file descriptor"),
        (_listening, "Invalid argument"),
        (lambda: os.open("/proc/self/mem", os.O_RDONLY), "Input/output error"),
    ],
    ids=["a path only", "a socket that listens", "memory"],
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path, stdin: Callable[[int], None], make: Callable[[], int], why: str
) -> None:
    stdin(make())
    with pytest.raises(UsageError, match=why):
        kept_from_standard_input(tmp_path, 1000)


def test_a_closed_one_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "closed", {streams.STDIN})
    with pytest.raises(UsageError, match="is closed"):
        kept_from_standard_input(tmp_path, 1000)


def test_a_full_disk_is_no_fault_of_the_input(tmp_path: Path, stdin: Callable[[int], None]) -> None:
    stdin(os.open("/dev/zero", os.O_RDONLY))
    (tmp_path / "stdin").symlink_to("/dev/full")
    with pytest.raises(FolderError, match="No space left"):
        kept_from_standard_input(tmp_path, 1000)
