"""Frames in a pipe, and which answers to which call; and that nothing here can name code."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from cutoutd.config.errors import Reason
from cutoutd.daemon.workers import ipc
from cutoutd.daemon.workers.codec import SchemaError, dumps
from cutoutd.daemon.workers.ipc import Answer, Fault, FrameError, Task, read_answer, read_frame
from cutoutd.daemon.workers.message_rules import Range

ROOT = Path(ipc.__file__).resolve().parents[2]


def half(number: int) -> Annotated[int, Range(0, 100)]:
    return number // 2


HALF: Task[int, int] = Task(half)


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_no_pickle_and_no_pool_of_processes_anywhere() -> None:
    """What unpickles can be made to run anything; multiprocessing pickles, and gives workers a tracker's pipe."""
    found = [
        str(path.relative_to(ROOT))
        for room in ("config", "models", "daemon", "service")
        for path in (ROOT / room).rglob("*.py")
        if "training" not in path.parts
        and re.search(
            r"^\s*(import|from) (pickle|marshal|shelve|multiprocessing)\b|ProcessPool|pickle\.(loads?|dumps?)",
            path.read_text(),
            re.MULTILINE,
        )
    ]
    assert found == []


def test_a_frame_comes_through_whole_however_long(ends: tuple[int, int]) -> None:
    reader, writer = ends
    body = os.urandom(300_000)  # more than a pipe holds
    sender = threading.Thread(target=ipc.write_all, args=(writer, ipc.frame(body)))
    sender.start()
    assert read_frame(reader, 300_000) == body
    sender.join()
    os.close(writer)
    assert read_frame(reader, 10) is None


@pytest.mark.parametrize("sent", [b"\0", b"\0\0\0\5abc", b"\0\0\0\0x"[:3]], ids=repr)
def test_half_a_frame_is_none(ends: tuple[int, int], sent: bytes) -> None:
    reader, writer = ends
    os.write(writer, sent)
    os.close(writer)
    with pytest.raises(FrameError, match="half"):
        read_frame(reader, 100)


def test_a_frame_that_would_fill_the_memory_is_not_read(ends: tuple[int, int]) -> None:
    reader, writer = ends
    os.write(writer, b"\xff\xff\xff\xff")
    with pytest.raises(FrameError, match="4,294,967,295 bytes"):
        read_frame(reader, ipc.LONGEST_ANSWER_BYTES)


def test_a_call_and_its_answer() -> None:
    call = ipc.read_call(ipc.call_frame(3, HALF, 84)[4:])
    assert (call.number, call.function, call.argument) == (3, half, 84)
    body = ipc.answer_frame(3, call.function(call.argument), None, 1000)[4:]
    assert read_answer(body, 3, HALF, 84) == Answer(42, None, 1000)


def test_a_fault_travels_in_words() -> None:
    fault = Fault("photo", Reason.UNREADABLE, "The file ends early", "Copy it again.", "Traceback\n  …")
    body = ipc.answer_frame(0, None, fault, 5)[4:]
    assert read_answer(body, 0, HALF, 1) == Answer(None, fault, 5)


HONEST: dict[str, Any] = {"call": 0, "rss_bytes": 1, "result": 1, "fault": None}
FAULT: dict[str, Any] = {"is": "Fault", "kind": "other", "reason": None, "what": "", "fix": "", "remote": ""}


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "answer",
        {},
        {**HONEST, "call": 1},
        {**HONEST, "call": -1},
        {**HONEST, "call": False},
        {**HONEST, "call": "0"},
        {**HONEST, "rss_bytes": -1},
        {**HONEST, "rss_bytes": 10**30},
        {**HONEST, "rss_bytes": None},
        {**HONEST, "result": 101},
        {**HONEST, "result": "1"},
        {**HONEST, "result": None},
        {**HONEST, "more": 1},
        {key: value for key, value in HONEST.items() if key != "fault"},
        {**HONEST, "fault": {}},
        {**HONEST, "fault": {**FAULT, "kind": "system"}},
        {**HONEST, "fault": {**FAULT, "reason": "bored"}},
        {**HONEST, "fault": {**FAULT, "what": "x" * 10_000}},
        {**HONEST, "fault": {**FAULT, "what": "\x1b[2J"}},
        {**HONEST, "fault": {**FAULT, "fix": 5}},
        {**HONEST, "fault": {**FAULT, "class": "SystemExit"}},
    ],
)
def test_what_is_no_answer_is_refused(message: Any) -> None:
    with pytest.raises(SchemaError):
        read_answer(dumps(message), 0, HALF, 1)


def test_an_answer_that_does_not_fit_its_question_is_refused() -> None:
    def read(asked: int, answer: int) -> int:
        if answer > asked:
            raise SchemaError("more than was asked")
        return answer

    task = Task(half, read)
    assert read_answer(dumps({**HONEST, "result": 4}), 0, task, 5).result == 4
    with pytest.raises(SchemaError, match="more than was asked"):
        read_answer(dumps({**HONEST, "result": 6}), 0, task, 5)
