"""The two pipes between supervisor and worker, and the framed messages in them; what a message means is `codec`'s.

A frame is four bytes of length, the most significant first, and so many bytes of JSON. One pipe carries calls to the
worker, the other its answers; nothing else is inherited, and nothing that travels can name code.
"""

from __future__ import annotations

import importlib
import os
import select
import typing
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, cast

from msgspec import Struct

from cutoutd.config.errors import Reason
from cutoutd.daemon.workers.codec import SchemaError, dumps, from_json, loads
from cutoutd.daemon.workers.message_rules import Range, Text

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_HEADER_BYTES: Final = 4
# The longest honest answer is a photo with a hundred deliverables, at about 300 bytes each.
LONGEST_ANSWER_BYTES: Final = 256_000
# A call comes from the supervisor itself; the limit keeps a torn pipe from asking for gigabytes.
LONGEST_CALL_BYTES: Final = 64_000_000
LONGEST_SENTENCE: Final = 600
LONGEST_TRACEBACK: Final = 20_000


class FrameError(ValueError):
    """The other side sent what it may not send; says what, never its content."""


class Fault(Struct, frozen=True):
    """A function raised instead of answering.

    Attributes:
        kind: "photo" for one of our named reasons, "memory" for want of it, "other" for anything else.
        what, fix: for people. remote: the traceback inside the worker, for the log.
    """

    kind: Literal["photo", "memory", "other"]
    reason: Reason | None
    what: Annotated[str, Text(LONGEST_SENTENCE)]
    fix: Annotated[str, Text(LONGEST_SENTENCE)]
    remote: Annotated[str, Text(LONGEST_TRACEBACK, lines=True)]


class Task(Struct, Generic[Argument, Result], frozen=True):
    """Something a worker can be asked to do: a function that both sides import, and what may come back.

    Attributes:
        function: called in the worker with one argument. Its annotations are the schema of both messages; those of
            its answer need a rule for every number and text (`codec`).
        read: in the supervisor, turns argument and answer into the result; raises `SchemaError` for an answer that
            does not fit the argument. None hands the answer on.
        longest_bytes: of an answer.
    """

    function: Callable[[Argument], Any]
    read: Callable[[Argument, Any], Result] | None = None
    longest_bytes: int = LONGEST_ANSWER_BYTES

    @property
    def name(self) -> str:
        """What the worker finds it by: "module:function"."""
        return f"{self.function.__module__}:{self.function.__qualname__}"


def call_frame(number: int, task: Task[Any, Any], argument: Any) -> bytes:
    """The frame that asks a worker for one thing.

    Raises:
        TypeError: the argument cannot travel.
    """
    return frame(dumps({"call": number, "function": task.name, "argument": argument}))


class Call(Struct, frozen=True):
    """What a worker was asked: the number to answer under, the function, and its argument as plain values."""

    number: int
    function: Callable[[Any], Any]
    argument: Any


def read_call(body: bytes) -> Call:
    """In the worker: the call, its argument built by the function's annotation."""
    message = loads(body, trusted=True)
    function = named(message["function"])
    (wanted,) = [kind for name, kind in hints(function).items() if name != "return"][:1] or [Any]
    argument = from_json(wanted, message["argument"], at="argument", trusted=True)
    return Call(message["call"], function, argument)


def named(reference: str) -> Callable[[Any], Any]:
    """The function behind "module:function", looked up at each call."""
    module, _, name = reference.partition(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    return found


@cache
def hints(function: Callable[[Any], Any]) -> dict[str, Any]:
    """A function's annotations, with their rules."""
    return typing.get_type_hints(function, include_extras=True)


# --- answers


class Answer(Struct, frozen=True):
    """What came of one call: a result or a fault, and the worker's resident memory afterwards."""

    result: Any
    fault: Fault | None
    rss_bytes: int


_ANSWERS: Final = {"call", "rss_bytes", "result", "fault"}
_Rss = Annotated[int, Range(0, 1 << 50)]


def answer_frame(number: int, result: Any, fault: Fault | None, rss_bytes: int) -> bytes:
    """In the worker: the frame that answers one call."""
    return frame(dumps({"call": number, "rss_bytes": rss_bytes, "result": result, "fault": fault}))


def read_answer(body: bytes, number: int, task: Task[Any, Any], argument: Any) -> Answer:
    """In the supervisor: an answer to exactly this call, or none.

    Raises:
        SchemaError: it is anything else; the worker is not to be believed any more.
    """
    found = loads(body, trusted=False)
    if type(found) is not dict or cast("dict[str, Any]", found).keys() != _ANSWERS:
        raise SchemaError("answer: not an answer")
    message = cast("dict[str, Any]", found)
    if type(message["call"]) is not int or message["call"] != number:
        raise SchemaError("answer: to another call")
    rss_bytes = from_json(_Rss, message["rss_bytes"], at="rss_bytes")
    if message["fault"] is not None:
        return Answer(None, from_json(Fault, message["fault"], at="fault"), rss_bytes)
    answer = from_json(hints(task.function).get("return", Any), message["result"])
    return Answer(answer if task.read is None else task.read(argument, answer), None, rss_bytes)


# --- frames


def frame(body: bytes) -> bytes:
    """Length and body."""
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


def write_all(fd: int, data: bytes) -> None:
    """All of it, however small the pipe.

    Raises:
        OSError: nobody reads any more.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_frame(fd: int, longest: int) -> bytes | None:
    """The next frame's body; None at the end of the pipe.

    Raises:
        FrameError: the frame is too long, or the pipe ended within it.
    """
    header = _read(fd, _HEADER_BYTES)
    if not header:
        return None
    length = int.from_bytes(header, "big")
    if len(header) < _HEADER_BYTES:
        raise FrameError("half an answer")
    if length > longest:
        raise FrameError(f"an answer of {length:,} bytes")
    body = _read(fd, length)
    if len(body) < length:
        raise FrameError("half an answer")
    return body


def _read(fd: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(fd, min(count, 1 << 16))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def something_waits(fd: int) -> bool:
    """Whether a read would return at once: with bytes, or with the end of the pipe."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
