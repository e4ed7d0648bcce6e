"""A finite list of photos through the same workers, cutout and outbox as the daemon's; no ledger, no watching."""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from msgspec import Struct, field

from cutoutd.config.errors import (
    LOOKED_AT_AGAIN,
    SKIPPED,
    EngineError,
    OutboxError,
    PhotoError,
    Reason,
    printable,
)
from cutoutd.daemon.batch_places import BatchPlaces
from cutoutd.daemon.batch_settings import BatchSettings, finished_before, identity_of, nearest_there
from cutoutd.daemon.delivery import publish
from cutoutd.daemon.delivery.outcomes import OF_THE_NAME, OF_THE_PLACE, OF_THE_SIZE, SIZE_FIX
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import Temporary
from cutoutd.daemon.files.usable import ROOT_ALONE, ROOT_ALONE_FIX, by_root_alone
from cutoutd.daemon.sources import Source
from cutoutd.daemon.workers import engines, pool, protocol
from cutoutd.daemon.workers import job as jobs

# What decoders promise in the daemon's name, and nobody does here.
_NOT_WATCHED = (
    (LOOKED_AT_AGAIN, ""),
    (" It is tried again by itself.", " Try again when that program is done."),
    (" It is read again by itself.", ""),
)

_TAKEN_AWAY = (
    "The finished cutout went from the output folder before it had its name; another program cleans up there."
)

# What to do where one folder below the output folder refuses; the others' cutouts are made.
_ELSEWHERE = "See what lies in its place there, or choose another folder with -o."


class Ended(StrEnum):
    """What became of a photo; the words are part of the interface (`once --json`)."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Outcome(Struct, frozen=True):
    """What became of one source, and why."""

    source: Source
    state: Ended
    reason: str = ""
    detail: str = ""
    outputs: tuple[bytes, ...] = ()
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict[str, float])
    confidence: float | None = None
    needs_review: tuple[str, ...] = ()


class Batch:
    """Runs a list of sources through worker slots.

    Args:
        settings: how.
        setup: how workers are made.
        size: how many.
        instance: id in temporaries' names, of which row 0 is the mark of `batch_hold.py`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: BatchSettings,
        setup: pool.WorkerSetup,
        size: int,
        *,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._folder, self._outbox = settings.folder, os.fsencode(settings.folder)
        self._fs = RealFileSystem(self._outbox)
        self._instance = instance
        self._clock = clock
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._workers = pool.Workers((setup,) * size, post=self._queue.put, clock=clock)
        self._places = BatchPlaces(settings, (), self._fs)
        self._in_hand: dict[int, tuple[Source, float, tuple[bytes, ...]]] = {}
        self._attempts: dict[int, int] = {}
        self._all: list[Source] = []
        self._waiting: deque[int] = deque()
        self._stopping = False
        self.models: Mapping[str, engines.Loaded] = {}

    def stop(self) -> None:
        """Ends `run` after what is being published at this moment was yielded; a signal handler may call it."""
        self._stopping = True
        self._queue.put(None)

    def run(
        self, photos: list[Source], on_start: Callable[[Source], None] = lambda _: None
    ) -> Generator[Outcome]:
        """Yields an outcome per photo as they end; closing the iterator stops the workers and removes leftovers.

        Raises:
            OutboxError: the output folder cannot be written; photos not yielded so far were not cut out.
            CutoutError: no worker can start.
        """
        self._all = photos
        self._places = BatchPlaces(self._settings, photos, self._fs)
        try:
            yield from self._without_work()
            left = len(self._waiting)
            if left:
                self._workers.start()
            while left and not self._stopping:
                self._fill(on_start)
                for outcome in self._turn():
                    left -= 1
                    yield outcome
        finally:
            self._workers.stop(now=True)
            self._discard([name for *_, names in self._in_hand.values() for name in names])

    def _without_work(self) -> Iterator[Outcome]:
        """What needs no worker: files with a problem, and what was done before."""
        before = finished_before(self._settings, self._all) if self._settings.skip_existing else {}
        self._waiting = deque(
            number
            for number, source in enumerate(self._all)
            if source.problem is None and number not in before
        )
        for source in self._all:
            if source.problem is not None:
                state = Ended.SKIPPED if source.problem in SKIPPED else Ended.FAILED
                yield Outcome(source, state, source.problem, source.detail)
        for number, outputs in before.items():
            yield Outcome(self._all[number], Ended.SKIPPED, Reason.EXISTS, "It was cut out before.", outputs)

    def _fill(self, on_start: Callable[[Source], None]) -> None:
        while self._waiting and self._workers.free():
            number = self._waiting.popleft()
            source = self._all[number]
            job = self._job(number, source)
            self._in_hand[number] = (source, self._clock(), job.temporaries)
            self._workers.submit(number, jobs.RUN_JOB, job, limit_s=self._settings.limits.time_per_photo)
            on_start(source)

    def _job(self, number: int, source: Source) -> protocol.Job:
        settings = self._settings
        return protocol.Job(
            photo=number,
            path=source.full,
            root=b"" if source.real else source.root,
            name=printable(os.path.basename(source.path)),
            model=settings.model,
            deliverables=settings.deliverables,
            outboxes=(self._outbox,) * len(settings.deliverables),
            temporaries=tuple(
                os.path.join(
                    self._outbox,
                    settings.folder_of(source, one),
                    Temporary(self._instance, number + 1, self._attempts.get(number, 0), index).name(),
                )
                for index, one in enumerate(settings.deliverables)
            ),
            matte=settings.matte,
            fixes=settings.fixes,
            mask=settings.mask,
            limits=settings.limits,
            allowance_mp=float("inf"),
            lone=len(self._in_hand) == 0 and not self._waiting,
            folder_mode=0o777 & ~settings.umask,
        )

    def _turn(self) -> list[Outcome]:
        now = self._clock()
        due = self._workers.next_deadline()
        ended: list[Outcome] = []
        try:
            message = self._queue.get(timeout=1.0 if due is None else max(0.0, min(1.0, due - now)))
        except Empty:
            message = None
        self._workers.tick()
        match message:
            case Outcome():
                ended.append(message)
            case pool.Finished():
                ended += self._finished(message.tag, message.result)
            case pool.Failed():
                ended += self._failed(message.tag, Reason.CRASHED, f"{message.error}")
            case pool.Died():
                ended += self._died(message)
            case pool.SlotReady():
                self.models = message.warm_up or self.models
            case pool.SlotFailed():
                raise EngineError(f"No worker can start ({message.error})", fix="Run `cutoutd doctor`.")
            case _:
                pass
        return ended

    def _finished(self, number: int, result: protocol.Result) -> list[Outcome]:
        source, started, _ = self._in_hand[number]
        match result:
            case protocol.Finished():
                try:
                    outputs = self._publish(source, number, result)
                except FileNotFoundError:
                    return self._again(number, Reason.CANNOT_RENDER, _TAKEN_AWAY)
                except PhotoError as error:
                    return self._failed(number, error.reason, str(error))
                self._in_hand.pop(number)
                return [
                    Outcome(
                        source,
                        Ended.DONE,
                        outputs=tuple(outputs),
                        seconds=self._clock() - started,
                        timings=result.timings,
                        detail=" ".join(result.notes),
                        confidence=result.confidence,
                        needs_review=result.doubts,
                    )
                ]
            case protocol.OutboxRefused():
                if self._is_its_own(number, result.code):
                    fix = SIZE_FIX if result.code == OF_THE_SIZE else _ELSEWHERE
                    return self._failed(number, Reason.CANNOT_RENDER, f"{result.detail}. {fix}")
                raise OutboxError(result.detail, self._outbox, _fix_of(result.code, self._folder))
            case protocol.Refused():
                return self._failed(number, result.reason, result.detail)
            case protocol.Changed():
                return self._again(number, Reason.BUSY, "It is being written; try again when it is complete.")
            case _:
                return self._failed(number, Reason.CRASHED, "The worker gave an answer that makes no sense.")

    def _died(self, event: pool.Died) -> list[Outcome]:
        reason = {"timeout": Reason.TOO_SLOW, "out-of-memory": Reason.OUT_OF_MEMORY}.get(
            event.cause, Reason.CRASHED
        )
        return self._again(event.tag, reason, event.detail)

    def _again(self, number: int, reason: Reason, detail: str) -> list[Outcome]:
        attempts = self._attempts[number] = self._attempts.get(number, 0) + 1
        if attempts >= self._settings.limits.attempts_after_death:
            return self._failed(number, reason, detail)
        *_, names = self._in_hand.pop(number)
        self._discard(names)
        self._waiting.append(number)
        return []

    def _failed(self, number: int, reason: Reason, detail: str) -> list[Outcome]:
        source, started, names = self._in_hand.pop(number)
        self._discard(names)
        for watching, plain in _NOT_WATCHED:
            detail = detail.replace(watching, plain)
        return [Outcome(source, Ended.FAILED, reason, detail, seconds=self._clock() - started)]

    def _discard(self, names: Iterable[bytes]) -> None:
        """What cannot be removed now is no photo's failure: the next batch in that folder removes it."""
        for name in names:
            with suppress(OSError):
                publish.discard([name], self._fs)

    def _publish(self, source: Source, number: int, result: protocol.Finished) -> list[bytes]:
        """Gives each file its name.

        Raises:
            FileNotFoundError: a finished file is there no more.
            PhotoError: it cannot have its name.
            OutboxError: the output folder refuses.
        """
        placed: list[publish.Place] = []
        try:
            for file, one in zip(result.files, self._settings.deliverables, strict=True):
                placed.append(self._places.publish(source, number, result, file, one))
        except FileNotFoundError:
            self._places.give_back(placed)
            raise
        except OSError as error:
            if self._is_its_own(number, error.errno or 0):
                what = f"The output folder refuses its cutout's name or folder ({error.strerror})"
                raise PhotoError(Reason.CANNOT_RENDER, what, fix=_ELSEWHERE) from error
            raise OutboxError(
                f"The cutout could not be put in place ({error.strerror})",
                self._outbox,
                _fix_of(error.errno or 0, self._folder),
            ) from error
        return [os.path.join(self._outbox, place.name) for place in placed]

    def _is_its_own(self, number: int, code: int) -> bool:
        """Whether an errno speaks of one cutout's name or folder, and not of the output folder as a whole."""
        if code == errno.ENOENT and identity_of(self._outbox):
            return True  # it is there, and answers so to a name that it cannot hold (exFAT), or lost a folder in it
        *_, temporaries = self._in_hand[number]
        below = [nearest_there(os.path.dirname(one)) for one in temporaries]
        return code in OF_THE_NAME | {OF_THE_SIZE} or (
            code in OF_THE_PLACE and any(one != self._outbox for one in below)
        )


def _fix_of(code: int, folder: Path) -> str:
    """What to do where the output folder itself refuses."""
    with suppress(OSError):
        if code == errno.EACCES and by_root_alone(folder):
            return f"{ROOT_ALONE.capitalize()}. {ROOT_ALONE_FIX}"
    first = "Free space" if code in (errno.ENOSPC, errno.EDQUOT) else "See that you may write there"
    return f"{first}, or choose another folder with -o."
