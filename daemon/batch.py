"""A finite list of photos through the same workers, cutout and outbox as the daemon's; no ledger, no watching."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from cutoutd.config.errors import EngineError, OutboxError, Reason, printable
from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Limits, Matte
from cutoutd.daemon.delivery import publish
from cutoutd.daemon.delivery.publish import How, Published
from cutoutd.daemon.files.names import Temporary, candidates, mirrored_folder, name_key, stem_of
from cutoutd.daemon.watching.filters import Kind, Rules, classify, is_pair_partner, raw_pair_key
from cutoutd.daemon.watching.scan import examine, walk
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers import pool


@dataclass(frozen=True, slots=True)
class Source:
    """One file to cut out: `root` joined with `path` is where it lies, `path` is mirrored in the output folder."""

    root: bytes
    path: bytes
    problem: Reason | None = None
    size: int = 0

    @property
    def full(self) -> bytes:
        """The absolute path."""
        return os.path.join(self.root, self.path)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source; `state` is done, failed or skipped."""

    source: Source
    state: str
    reason: str = ""
    detail: str = ""
    outputs: tuple[bytes, ...] = ()
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """How the photos are to be cut out.

    Attributes:
        folder: where cutouts go; exists.
        umask: of the outputs.
        overwrite: replace a file that lies under a cutout's name, instead of taking the next free name.
    """

    folder: Path
    model: str
    deliverables: tuple[Deliverable, ...]
    matte: Matte
    limits: Limits
    umask: int
    overwrite: bool = False


def sources(paths: list[Path], *, recursive: bool = True) -> Iterator[Source]:
    """The photos behind files and folders, in a stable order.

    A folder's other files are left out; a file that was named itself is always taken, whatever its name.

    Raises:
        OSError: a path does not exist or a folder cannot be read.
    """
    rules = Rules()
    for path in paths:
        if path.is_dir():
            found = [
                Source(os.fsencode(path), one.path, one.problem, one.size)
                for one in walk(path, rules, recursive=recursive)
                if one.kind in (Kind.PHOTO, Kind.RAW)
            ]
            yield from sorted(_without_paired_raws(found), key=lambda one: one.path)
        else:
            facts = path.lstat()
            one = examine(path.parent, os.fsencode(path.name), rules)
            problem = None if one is None else one.problem
            yield Source(os.fsencode(path.parent), os.fsencode(path.name), problem, facts.st_size)


def _without_paired_raws(found: list[Source]) -> list[Source]:
    partners = {raw_pair_key(one.path) for one in found if is_pair_partner(one.path)}
    return [
        one
        for one in found
        if classify(one.path, Rules()) is not Kind.RAW or raw_pair_key(one.path) not in partners
    ]


class Batch:
    """Runs a list of sources through worker slots.

    Args:
        order: how.
        setup: how workers are made.
        size: how many.
        instance: id in temporaries' names.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        order: BatchOrder,
        setup: pool.WorkerSetup,
        size: int,
        *,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._order = order
        self._outbox = os.fsencode(order.folder)
        self._instance = instance
        self._clock = clock
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._workers = pool.Workers((setup,) * size, post=self._queue.put, clock=clock)
        self._taken: set[str] = set()
        self._in_hand: dict[int, tuple[Source, float, tuple[bytes, ...]]] = {}
        self._attempts: dict[int, int] = {}
        self._all: list[Source] = []
        self._waiting: deque[int] = deque()
        self.models: dict[str, Any] = {}

    def run(
        self, photos: list[Source], on_start: Callable[[Source], None] = lambda _: None
    ) -> Iterator[Outcome]:
        """Yields an outcome per photo as they end; closing the iterator stops the workers and removes leftovers.

        Raises:
            OutboxError: the output folder cannot be written; photos not yielded so far were not cut out.
            CutoutError: no worker can start.
        """
        self._all = photos
        self._waiting = deque(range(len(photos)))
        self._workers.start()
        try:
            left = len(photos)
            while left:
                self._fill(on_start)
                for outcome in self._turn():
                    left -= 1
                    yield outcome
        finally:
            self._workers.stop(now=True)
            publish.discard([name for *_, names in self._in_hand.values() for name in names])

    def _fill(self, on_start: Callable[[Source], None]) -> None:
        while self._waiting and self._workers.free():
            number = self._waiting.popleft()
            source = self._all[number]
            if source.problem is not None:
                self._queue.put(Outcome(source, "skipped", source.problem, "Not an ordinary file."))
                continue
            job = self._job(number, source)
            self._in_hand[number] = (source, self._clock(), job.temporaries)
            self._workers.submit(number, jobs.run_job, job, limit_s=self._order.limits.time_per_photo)
            on_start(source)

    def _job(self, number: int, source: Source) -> jobs.Job:
        order = self._order
        date = time.strftime("%Y-%m-%d")
        return jobs.Job(
            photo=number,
            path=source.full,
            name=printable(os.path.basename(source.path)),
            model=order.model,
            orders=order.deliverables,
            outboxes=(self._outbox,) * len(order.deliverables),
            temporaries=tuple(
                os.path.join(
                    self._outbox,
                    mirrored_folder(source.path, one.folder, date=date, label=one.label),
                    Temporary(self._instance, number, self._attempts.get(number, 0), index).name(),
                )
                for index, one in enumerate(order.deliverables)
            ),
            matte=order.matte,
            limits=order.limits,
            allowance_mp=float("inf"),
            lone=len(self._in_hand) == 0 and not self._waiting,
            folder_mode=0o777 & ~order.umask,
        )

    def _turn(self) -> list[Outcome]:
        now = self._clock()
        due = self._workers.next_deadline()
        transitions: list[Outcome] = []
        try:
            message = self._queue.get(timeout=1.0 if due is None else max(0.0, min(1.0, due - now)))
        except Empty:
            message = None
        self._workers.tick()
        match message:
            case Outcome():
                transitions.append(message)
            case pool.Finished():
                transitions += self._finished(message.tag, message.result)
            case pool.Failed():
                transitions += self._failed(message.tag, Reason.CRASHED, f"{message.error}")
            case pool.Died():
                transitions += self._died(message)
            case pool.SlotReady():
                self.models = message.facts.get("warm_up") or self.models
            case pool.SlotFailed():
                raise EngineError(f"No worker can start ({message.error})", fix="Run `cutoutd doctor`.")
            case _:
                pass
        return transitions

    def _finished(self, number: int, result: jobs.Result) -> list[Outcome]:
        source, started, _ = self._in_hand[number]
        match result:
            case jobs.Finished():
                outputs = self._publish(source, number, result)
                self._in_hand.pop(number)
                return [
                    Outcome(
                        source,
                        "done",
                        outputs=tuple(outputs),
                        seconds=self._clock() - started,
                        timings=result.timings,
                        detail=" ".join(result.notes),
                    )
                ]
            case jobs.OutboxRefused():
                # The detail names the outbox already.
                raise OutboxError(result.detail, fix="Free space or choose another folder with -o.")
            case jobs.Refused():
                return self._failed(number, result.reason, result.detail)
            case jobs.Changed():
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
        if attempts >= self._order.limits.attempts_after_death:
            return self._failed(number, reason, detail)
        *_, names = self._in_hand.pop(number)
        publish.discard(names)
        self._waiting.append(number)
        return []

    def _failed(self, number: int, reason: Reason, detail: str) -> list[Outcome]:
        source, started, names = self._in_hand.pop(number)
        publish.discard(names)
        return [Outcome(source, "failed", reason, detail, seconds=self._clock() - started)]

    def _publish(self, source: Source, number: int, result: jobs.Finished) -> list[bytes]:
        """Gives each draft its name. Raises OutboxError."""
        try:
            return [
                self._place(source, number, result, draft, order)
                for draft, order in zip(result.drafts, self._order.deliverables, strict=True)
            ]
        except OSError as error:
            raise OutboxError(
                f"The cutout could not be put in place ({error.strerror})",
                self._outbox,
                "Free space or choose another folder with -o.",
            ) from error

    def _place(
        self, source: Source, number: int, result: jobs.Finished, draft: jobs.Draft, order: Deliverable
    ) -> bytes:
        date = time.strftime("%Y-%m-%d")
        folder = mirrored_folder(source.path, order.folder, date=date, label=order.label)
        stem = stem_of(
            order.name,
            source.path,
            mtime_ns=result.mtime_ns,
            counter=number + 1,
            digest=result.digest,
            label=order.label,
        )
        names = candidates(folder, stem, draft.extension)
        mode = 0o666 & ~self._order.umask
        while True:
            if self._order.overwrite:
                place = self._overwritten(names)
            else:
                place = publish.find_place(
                    self._outbox,
                    names,
                    taken=frozenset(self._taken),
                    digest=draft.out_digest,
                    size=draft.out_size,
                )
            replaces = ""
            if place.how is How.REPLACE:
                replaces = publish.digest_file(os.path.join(self._outbox, place.name))
            outcome = publish.publish(
                self._outbox, place.name, draft.temporary, draft.out_digest, replaces=replaces, mode=mode
            )
            if outcome is Published.DONE:
                self._taken.add(place.key)
                return os.path.join(self._outbox, place.name)

    def _overwritten(self, names: Iterator[bytes]) -> publish.Place:
        """The first name that this run has not used itself, whatever lies there."""
        name = next(name for name in names if name_key(name) not in self._taken)
        there = os.path.lexists(os.path.join(self._outbox, name))
        return publish.Place(name, name_key(name), How.REPLACE if there else How.NEW)
