"""How one worker process comes to be, and what it may say: data, never code. No slots, no deadlines.

A worker decodes hostile bytes, so what it sends is hostile too. The standard pool would unpickle it, and
unpickling runs whatever it is told to: the sandbox would end at its own pipe. `SlotContext` hands the pool
a pipe whose reading end builds nothing but plain values, our own records and errors.
"""

from __future__ import annotations

import importlib
import inspect
import io
import os
import pickle
import signal
import sys
import types
from concurrent.futures import process as pool
from dataclasses import is_dataclass
from enum import Enum
from multiprocessing import parent_process, reduction, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Final

from cutoutd.config.errors import EngineError
from cutoutd.daemon.workers.process import die_with

# The longest honest answer is a few hundred facts; a worker cannot make the supervisor swallow more.
LONGEST_MESSAGE_BYTES: Final = 16_000_000
_PLAIN_BUILTINS: Final = frozenset({"bytearray", "complex", "frozenset", "range", "set", "slice"})
_PLAIN: Final = frozenset(
    {
        ("collections", "OrderedDict"),
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("datetime", "time"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        ("decimal", "Decimal"),
        ("pathlib", "Path"),
        ("pathlib", "PosixPath"),
        ("pathlib", "PurePosixPath"),
        ("pathlib._local", "Path"),  # where Python 3.13 keeps them
        ("pathlib._local", "PosixPath"),
        ("pathlib._local", "PurePosixPath"),
        # The pool's own envelope, and how it carries an exception.
        ("concurrent.futures.process", "_ResultItem"),
        ("concurrent.futures.process", "_rebuild_exc"),
    }
)


class DataOnlyUnpickler(pickle.Unpickler):
    """Builds plain values, built-in errors, and the dataclasses, enums and errors of `cutoutd.*`."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The class a message names.

        Raises:
            pickle.UnpicklingError: it is not one that a worker may make the supervisor build.
        """
        if (module_name, global_name) in _PLAIN:
            return getattr(importlib.import_module(module_name), global_name)
        # Only what the supervisor has loaded itself: a message must not make it import anything.
        found: Any = getattr(sys.modules.get(module_name), global_name, None)
        if inspect.isclass(found):
            error = issubclass(found, BaseException)
            if module_name == "builtins" and (error or global_name in _PLAIN_BUILTINS):
                return found
            if module_name.startswith("cutoutd.") and (
                error or is_dataclass(found) or issubclass(found, Enum)
            ):
                return found
        raise pickle.UnpicklingError(f"a worker may not send {module_name}.{global_name}")


class ReplyPipe(Connection):
    """The reading end of a worker's result pipe.

    Attributes:
        retiring: the worker was asked to end; only then may it send its bare process number, which tells
            the pool that it ended cleanly.
    """

    retiring = False

    def recv(self) -> Any:
        """The next message.

        Raises:
            pickle.UnpicklingError: it is none a worker may send; the pool then counts as broken.
            OSError: it is too long, or the pipe broke.
            EOFError: the worker is gone.
        """
        message: object = DataOnlyUnpickler(io.BytesIO(self.recv_bytes(LONGEST_MESSAGE_BYTES))).load()
        if isinstance(message, int) and self.retiring:
            return message
        if (
            isinstance(message, pool._ResultItem)  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - the envelope
            and type(message.work_id) is int
            and getattr(message, "exit_pid", None) is None
            and isinstance(message.exception, BaseException | None)  # pyright: ignore[reportUnnecessaryIsInstance] - hostile
        ):
            return message
        raise pickle.UnpicklingError("a worker sent something that is not an answer")


def _rebuild_pipe(handle: Any, readable: bool, writable: bool) -> Connection:
    """In the worker it is an ordinary pipe end, which it never reads."""
    return Connection(handle.detach(), readable, writable)


def _reduce_pipe(pipe: ReplyPipe) -> Any:
    return _rebuild_pipe, (reduction.DupFd(pipe.fileno()), pipe.readable, pipe.writable)


reduction.ForkingPickler.register(ReplyPipe, _reduce_pipe)


class SlotProcess(SpawnProcess):
    """A spawned process that a Ctrl-C cannot reach and that does not run the program's main module again."""

    def start(self) -> None:
        """Starts it with SIGINT and SIGTERM blocked, until its first acts ignore them.

        The main module is hidden meanwhile: a spawned child would import it (a console script, pytest,
        whatever embeds us) before its sandbox stands.
        """
        # It starts once, and unblocks the signals when it does: so it must do so before they are blocked.
        resource_tracker.ensure_running()
        main = sys.modules["__main__"]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self) -> None:
        """In the worker: dies with its daemon from now on, then waits for the pool's calls.

        Waiting alone would never notice: each worker holds both ends of the pipe that its calls come through.
        """
        parent = parent_process()
        if parent is None or parent.pid is None:
            return
        try:
            die_with(parent.pid)
        except EngineError:
            return  # there is nobody left to tell
        super().run()


class SlotContext(SpawnContext):
    """What a pool of one makes its process and pipes with; remembers both.

    Attributes:
        process: the worker process, from the pool's first call on.
        replies: the pipe its answers come through.
    """

    process: SlotProcess | None = None
    replies: ReplyPipe | None = None

    def Process(self, *args: Any, **kwargs: Any) -> SlotProcess:  # pyright: ignore[reportIncompatibleVariableOverride] # noqa: N802 - the pool's name for it
        """The pool asks for its one worker here."""
        self.process = SlotProcess(*args, **kwargs)
        return self.process

    def SimpleQueue(self) -> Any:  # noqa: N802 - the pool's name for it
        """The pool asks for its result queue here; only the reading end differs."""
        queue: Any = super().SimpleQueue()
        plain = queue._reader  # noqa: SLF001 - the standard library offers no other way in
        self.replies = ReplyPipe(os.dup(plain.fileno()), writable=False)
        plain.close()
        queue._reader = self.replies  # noqa: SLF001 - see above
        queue._poll = self.replies.poll  # noqa: SLF001 - see above
        return queue
