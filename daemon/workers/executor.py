"""One worker process behind the `concurrent.futures.Executor` shape: one call at a time; no slots, no deadlines."""

from __future__ import annotations

import os
import threading
from concurrent.futures import BrokenExecutor, Executor, Future
from queue import SimpleQueue
from typing import Any, Final

from msgspec import Struct

from cutoutd.daemon.workers.codec import SchemaError
from cutoutd.daemon.workers.exit_status import waited_for
from cutoutd.daemon.workers.ipc import (
    Answer,
    FrameError,
    Task,
    call_frame,
    read_answer,
    read_frame,
    something_waits,
    write_all,
)
from cutoutd.daemon.workers.spawning import spawned, start

# How long a worker that broke the rules may take to be gone, once killed, before its answer is reported all the same.
_GONE_S: Final = 5.0
_STATUS_S: Final = 0.2


class WorkerGoneError(BrokenExecutor):
    """The worker ended, or was ended, instead of answering.

    Attributes:
        refused: what was wrong with its answer, when it was killed for that; else empty.
    """

    def __init__(self, refused: str = "") -> None:
        super().__init__(refused or "the worker is gone")
        self.refused = refused


class _Work(Struct):
    """One call in the hands of the thread."""

    number: int
    task: Task[Any, Any]
    argument: Any
    future: Future[Answer]


class WorkerExecutor(Executor):
    """A process that is started at once and answers one call after the other, until it is told to end.

    The thread that makes it must live as long as the worker shall: Linux ends a worker when the *thread* that started
    it ends.

    Args:
        ahead: it may be one that was started ahead, before this process gave up anything.

    Raises:
        OSError: no process can be started.
    """

    def __init__(self, *, ahead: bool = True) -> None:
        self.process, self._calls, self._answers = spawned() if ahead else start()
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._number = 0
        # A daemon: a worker that cannot be killed must not keep the program from ending.
        self.thread = threading.Thread(target=self._serve, name=f"worker-{self.process.pid}", daemon=True)
        self.thread.start()

    def submit(self, task: Task[Any, Any], argument: Any, /) -> Future[Answer]:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride] - what may be called is a task
        """Asks for one thing; the future's exception is a `WorkerGoneError` if the worker does not live to answer.

        Raises:
            BrokenExecutor: it is gone, or has spoken without being asked.
        """
        if self._number and something_waits(self._answers):
            self.process.kill()
            raise WorkerGoneError("it spoke without being asked")
        work = _Work(self._number, task, argument, Future())
        self._number += 1
        work.future.set_running_or_notify_cancel()
        self._work.put(work)
        return work.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - part of the shape
        """Lets it end by itself once it has answered; there is never a second call that could be cancelled."""
        self._work.put(None)
        if wait:
            self.thread.join()

    def _serve(self) -> None:
        """In a thread of its own: calls out, answers in."""
        try:
            while (work := self._work.get()) is not None:
                try:
                    answer = self._ask(work)
                except WorkerGoneError as error:
                    # Nobody is left to answer what follows.
                    work.future.set_exception(error)
                    return
                except Exception as error:  # noqa: BLE001 - an argument that cannot travel: the caller's fault, and told
                    work.future.set_exception(error)
                else:
                    work.future.set_result(answer)
        finally:
            os.close(self._calls)
            os.close(self._answers)

    def _ask(self, work: _Work) -> Answer:
        message = call_frame(work.number, work.task, work.argument)
        try:
            write_all(self._calls, message)
            body = read_frame(self._answers, work.task.longest_bytes)
            if body is None:
                raise WorkerGoneError
            return read_answer(body, work.number, work.task, work.argument)
        except OSError as error:
            raise WorkerGoneError from error
        except (FrameError, SchemaError) as error:
            # It has closed its pipe, if it ended by itself: its status is there in a moment.
            torn = isinstance(error, FrameError) and waited_for(self.process, _STATUS_S) is not None
            self.process.kill()
            waited_for(self.process, _GONE_S)
            # A worker that died in the middle of a sentence has died, and its status says of what.
            raise WorkerGoneError("" if torn else str(error)) from error
