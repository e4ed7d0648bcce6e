"""What a worker may say to the supervisor, byte by byte."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import subprocess
import sys
import textwrap
import time
from concurrent.futures import process as pool
from datetime import UTC, datetime
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.daemon.sandbox.guard import SandboxState
from cutoutd.daemon.workers.ipc import LONGEST_MESSAGE_BYTES, DataOnlyUnpickler, ReplyPipe
from cutoutd.daemon.workers.process import Reply


def read(data: bytes) -> Any:
    return DataOnlyUnpickler(io.BytesIO(data)).load()


HONEST = [
    {"a": [1, 2.5, None, True, b"x", (3,)], "b": {"c"}},
    pathlib.Path("/photos/a.jpg"),
    datetime(2026, 11, 1, tzinfo=UTC),
    Reason.TOO_LARGE,
    SandboxState("n", True, "f", True, "c", True),
    frozenset({1}),
]


@pytest.mark.parametrize("value", HONEST, ids=lambda value: type(value).__name__)
def test_plain_values_and_our_own_records_pass(value: Any) -> None:
    assert read(pickle.dumps(Reply(value, None, 7))) == Reply(value, None, 7)


def test_our_errors_pass_whole() -> None:
    error = read(
        pickle.dumps(PhotoError(Reason.UNREADABLE, "The file ends early", b"/in/a.jpg", "Copy it again."))
    )
    assert isinstance(error, PhotoError)
    assert error.reason is Reason.UNREADABLE
    assert error.fix == "Copy it again."
    assert isinstance(read(pickle.dumps(KeyError("x"))), KeyError)


class Runs:
    """An object whose unpickling calls something."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    "call",
    [
        (os.mkdir, "pwned"),
        (os.execv, "/bin/touch", ["touch", "pwned"]),
        (eval, "open('pwned', 'w')"),
        (exec, "open('pwned', 'w')"),
        (getattr, Reason, "BUSY"),
        (open, "pwned", "w"),
        (__import__, "this"),
        (subprocess.Popen, ["touch", "pwned"]),
        (pickle.loads, b"N."),
        (print, "x"),
        (type, "T", (), {}),
    ],
    ids=lambda call: getattr(call[0], "__name__", str(call)),
)
def test_nothing_is_called(
    call: tuple[Any, ...], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="a worker may not send"):
        read(pickle.dumps(Runs(*call)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        b"cutoutd.daemon.workers.pool\nWorkers",  # ours, but it acts
        b"cutoutd.daemon.sandbox.guard\nguard_worker",  # ours, but a function
        b"cutoutd.daemon.sandbox.guard\nos",
        b"cutoutd.daemon.workers.ipc\nos.system",
        b"cutoutd.models.training.network\nNetwork",  # not loaded here, and not to be
        b"builtins\nSystemExit.__init__",
        b"pathlib\nos.system",
        b"numpy\nndarray",
    ],
)
def test_no_other_name_is_looked_up(name: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="a worker may not send"):
        read(b"c" + name + b"\n.")


@pytest.fixture
def ends() -> Any:
    reader, writer = Pipe(duplex=False)
    pipe = ReplyPipe(os.dup(reader.fileno()), writable=False)
    reader.close()
    yield pipe, writer
    pipe.close()
    writer.close()


def item(work_id: Any = 0, **parts: Any) -> Any:
    return pool._ResultItem(work_id, **parts)  # pyright: ignore[reportPrivateUsage]


def test_an_answer_comes_through(ends: tuple[ReplyPipe, Any]) -> None:
    pipe, writer = ends
    writer.send(item(3, result={"x": 1}))
    assert pipe.recv().result == {"x": 1}
    writer.send(item(4, exception=ValueError("x")))
    assert isinstance(pipe.recv().exception, ValueError)


@pytest.mark.parametrize(
    "message",
    [
        4711,  # the number of a process, which would make the pool's thread fall over
        True,
        None,
        "answer",
        {"work_id": 0},
        item("zero"),
        item(0, exit_pid=1),
        item(0, exception="no exception"),
    ],
    ids=["number", "true", "none", "text", "record", "odd-work", "odd-end", "odd-error"],
)
def test_what_is_not_an_answer_is_refused(ends: tuple[ReplyPipe, Any], message: Any) -> None:
    pipe, writer = ends
    writer.send(message)
    with pytest.raises(pickle.UnpicklingError, match="not an answer"):
        pipe.recv()


def test_a_worker_that_was_asked_to_end_may_send_its_number(ends: tuple[ReplyPipe, Any]) -> None:
    pipe, writer = ends
    pipe.retiring = True
    writer.send(4711)
    assert pipe.recv() == 4711


def test_a_message_that_would_fill_the_memory_is_not_read(ends: tuple[ReplyPipe, Any]) -> None:
    pipe, writer = ends
    os.write(writer.fileno(), (LONGEST_MESSAGE_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(OSError, match="bad message length"):
        pipe.recv()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the processes through /proc")
def test_a_worker_that_waits_for_its_first_call_dies_with_its_daemon() -> None:
    program = textwrap.dedent("""
        import time
        from cutoutd.daemon.workers.ipc import SlotContext
        process = SlotContext().Process(target=time.sleep, args=(600,))
        process.start()
        print(process.pid, flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        worker = int(daemon.stdout.readline())
        until = time.monotonic() + 60
        while b"spawn_main" not in Path(f"/proc/{worker}/cmdline").read_bytes() or not _sleeps(worker):
            assert time.monotonic() < until
            time.sleep(0.01)
        daemon.kill()
    while Path(f"/proc/{worker}").exists() and not _is_zombie(worker):
        assert time.monotonic() < until, "it outlived the daemon that started it"
        time.sleep(0.01)


def _sleeps(pid: int) -> bool:
    """Whether it has come to its function: nothing before it takes this system call."""
    return "nanosleep" in Path(f"/proc/{pid}/wchan").read_text()


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
