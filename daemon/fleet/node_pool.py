"""A node's sandboxed workers, in a thread that owns them: photos in, answers out; it speaks to no other machine.

The thread must live as long as the node: Linux ends a worker when the *thread* that started it ends. What a worker's
death means is decided here, beside the machine that it happened on: the built-in test photo tells whether the photo or
the machine is at fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final

from msgspec import Struct, field

from cutoutd.config.errors import PhotoError
from cutoutd.daemon.backoff import Retry
from cutoutd.daemon.fleet.records import OF_THE_FOLDER, Broke, PhotoAnswer, Raised, Returned, Unfit
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers import pool, protocol
from cutoutd.daemon.workers.codec import to_json
from cutoutd.daemon.workers.engines import RUN_SELF_TEST
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE, LONGEST_TRACEBACK, Fault, Task
from cutoutd.daemon.workers.message_rules import printed
from cutoutd.daemon.workers.process import WorkerFaultError, fault_of
from cutoutd.daemon.workers.sizing import PoolSize

# The answer as the worker gave it: the head reads it again, by its own job.
RAW_JOB: Final[Task[protocol.Job, protocol.Answer]] = Task(jobs.run_job)
_TEST: Final = -1
TEST_LIMIT_S: Final = 120.0
# While even the test photo fails, it is tried again after this long, which doubles up to five minutes.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
# A loop that is this late was stopped or suspended: deadlines move by as much.
LATE_S: Final = 1.0
# The thread looks at its clock at least this often.
_TURN_S: Final = 5.0
LEAVING: Final = ""  # why nothing is wrong: the head asks another node


class _Work(Struct):
    """One photo in hand."""

    life: str
    call: int
    job: protocol.Job
    limit_s: float
    large: bool
    alive: Callable[[], str]
    future: Future[PhotoAnswer] = field(default_factory=Future["PhotoAnswer"])


class _Suspect(Struct):
    """A photo whose worker died or failed, until the test photo has run."""

    work: _Work
    answer: PhotoAnswer


class NodePool:
    """The workers of one node. Its methods may be called from any thread.

    Args:
        changed: told, from the pool's thread, why the node cannot work now; an empty text once it can again.
        clock: monotonic seconds.
        broken: told a mistake of ours that ended the thread, and its workers with it: nothing is answered any more.
    """

    def __init__(
        self,
        changed: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        broken: Callable[[Exception], None],
    ) -> None:
        self._changed = changed
        self._broken = broken
        self._clock = clock
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._workers: pool.Workers | None = None
        self._setups: tuple[pool.WorkerSetup, ...] = ()
        self._size = PoolSize(0, 0)
        self._waiting: list[_Work] = []
        self._in_hand: dict[int, _Work] = {}
        self._tags = 0
        self._suspects: list[_Suspect] = []
        self._testing = False
        self._test = Retry(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._ailing = ""
        self._warm: list[Future[pool.SlotReady]] = []
        self._ready: pool.SlotReady | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="node-pool", daemon=True)
        self._thread.start()

    # --- from any thread -----------------------------------------------------------------------------------------

    def adopt(self, setups: Sequence[pool.WorkerSetup], size: PoolSize) -> Future[pool.SlotReady]:
        """Workers made so, in place of others; the future comes true when a first one is warm.

        Its exception is a `WorkerFaultError` where none can start.
        """
        future: Future[pool.SlotReady] = Future()
        self._queue.put(lambda: self._adopt(tuple(setups), size, future))
        return future

    def run(
        self,
        life: str,
        call: int,
        job: protocol.Job,
        limit_s: float,
        *,
        large: bool,
        alive: Callable[[], str],
    ) -> Future[PhotoAnswer]:
        """One photo, by this machine's own paths.

        Args:
            life: of the head.
            call: the head's number.
            job: what to do.
            limit_s: seconds that its worker may take.
            large: its network is a large one.
            alive: says what is wrong with the photo's folders, or nothing; asked before the photo is blamed.
        """
        work = _Work(life, call, job, limit_s, large, alive)
        work.future.set_running_or_notify_cancel()  # whoever waits for it may end; then it is set for nobody
        self._queue.put(lambda: self._take(work))
        return work.future

    def drop(self, life: str, call: int) -> None:
        """Nobody waits for this photo any more: its worker is ended."""
        self._queue.put(lambda: self._drop(lambda one: (one.life, one.call) == (life, call)))

    def keep_only(self, life: str) -> None:
        """A head lives anew, or the way to it was broken: what was in hand for others is of no use."""
        self._queue.put(lambda: self._drop(lambda one: one.life != life))

    def drop_all(self) -> None:
        """The way to the head is broken: whatever is in hand is owed again there."""
        self._queue.put(lambda: self._drop(lambda _one: True))

    def busy(self) -> int:
        """How many photos are in hand or wait for a worker."""
        return len(self._in_hand) + len(self._waiting) + len(self._suspects)

    def end(self) -> None:
        """Ends the workers and the thread."""
        self._queue.put(self._end)
        self._thread.join()

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:  # noqa: BLE001 - whatever it is, photos must not wait for a thread that is gone
            self._broken(error)

    def _loop(self) -> None:
        planned = self._clock()
        while not self._stopped:
            try:
                message = self._queue.get(timeout=max(0.0, min(planned - self._clock(), _TURN_S)))
            except Empty:
                message = None
            if callable(message):
                message()
            elif message is not None:
                self._heard(message)
            planned = self._turn(planned)

    def _turn(self, planned: float) -> float:
        """Starts what is due; when to turn again."""
        workers = self._workers
        if workers is None or self._stopped:
            return self._clock() + _TURN_S
        now = self._clock()
        workers.tick(now, now - planned if now - planned > LATE_S else 0.0)
        self._examine(workers, now)
        for work in list(self._waiting):
            if self._give(workers, work):
                self._waiting.remove(work)
        due = workers.next_deadline()
        until = min(now + _TURN_S, now + _TURN_S if due is None else due)
        return min(until, self._test.at) if self._suspects or self._ailing else until

    def _adopt(
        self, setups: tuple[pool.WorkerSetup, ...], size: PoolSize, future: Future[pool.SlotReady]
    ) -> None:
        same = setups == self._setups and self._workers is not None
        self._setups, self._size = setups, size
        if same and self._ready is not None:
            future.set_result(self._ready)
            return
        self._warm.append(future)
        if same:
            return
        self._ready = None
        if self._workers is None:
            self._workers = pool.Workers(setups, post=self._queue.put, clock=self._clock)
            self._workers.start()
        else:
            self._workers.recycle(setups)

    def _take(self, work: _Work) -> None:
        if self._ailing or self._workers is None:
            work.future.set_result(Unfit(self._ailing or "It has no workers yet."))
            return
        self._waiting.append(work)

    def _give(self, workers: pool.Workers, work: _Work) -> bool:
        if self._ailing:
            return False
        slots = self._size.slots(large=work.large)
        if not workers.free(slots):
            return False
        self._tags += 1
        try:
            workers.submit(self._tags, RAW_JOB, work.job, limit_s=work.limit_s, slots=slots)
        except pool.NoFreeSlotError:
            return False
        self._in_hand[self._tags] = work
        return True

    def _drop(self, meant: Callable[[_Work], bool]) -> None:
        for work in [one for one in self._waiting if meant(one)]:
            self._waiting.remove(work)
            work.future.set_result(Unfit(LEAVING))
        for tag, work in self._in_hand.items():
            if meant(work) and self._workers is not None:
                self._workers.kill(tag)

    def _end(self) -> None:
        self._stopped = True
        if self._workers is not None:
            self._workers.stop(now=True)
        left = [*self._waiting, *self._in_hand.values(), *(one.work for one in self._suspects)]
        for work in left:
            if not work.future.done():
                work.future.set_result(Unfit(LEAVING))
        for future in self._warm:
            future.set_exception(WorkerFaultError("the node ends"))

    # --- what workers say ----------------------------------------------------------------------------------------

    def _heard(self, event: pool.Event) -> None:
        match event:
            case pool.SlotReady():
                self._ready = self._ready or event
                for future in self._warm:
                    future.set_result(event)
                self._warm.clear()
            case pool.SlotFailed():
                if self._ready is None:
                    for future in self._warm:
                        future.set_exception(WorkerFaultError(event.error))
                    self._warm.clear()
            case pool.Finished() | pool.Failed() | pool.Died() if event.tag == _TEST:
                self._tested(event)
            case pool.Finished():
                self._returned(event.tag, event.result)
            case pool.Failed(error=PhotoError()):
                self._answer(event.tag, Raised(_fault(event.error)))
            case pool.Failed():
                self._suspect(event.tag, Raised(_fault(event.error)))
            case pool.Died(cause="killed"):
                self._answer(event.tag, Unfit(LEAVING))
            case pool.Died(cause=cause):
                self._suspect(event.tag, Broke(cause, printed(event.detail, LONGEST_SENTENCE)))  # type: ignore[arg-type]

    def _answer(self, tag: int, answer: PhotoAnswer) -> None:
        work = self._in_hand.pop(tag, None)
        if work is not None:
            work.future.set_result(answer)

    def _returned(self, tag: int, result: protocol.Answer) -> None:
        """What it says may be true of this machine only: of a share that is not mounted here, or no longer."""
        work = self._in_hand.get(tag)
        away = ""
        if work is not None and (isinstance(result, protocol.NotTaken) or _cannot_be_seen(result)):
            away = work.alive()
        self._answer(tag, Unfit(printed(away, LONGEST_SENTENCE)) if away else Returned(to_json(result)))

    def _suspect(self, tag: int, answer: PhotoAnswer) -> None:
        work = self._in_hand.pop(tag, None)
        if work is None:
            return
        away = work.alive()
        if away:
            work.future.set_result(Unfit(printed(away, LONGEST_SENTENCE)))
            return
        self._suspects.append(_Suspect(work, answer))

    def _examine(self, workers: pool.Workers, now: float) -> None:
        """Runs the test photo while photos wait for its outcome, or the machine is to prove itself again."""
        if self._testing or not (self._suspects or self._ailing):
            return
        large = any(one.work.large for one in self._suspects) or bool(self._ailing)
        slots = self._size.slots(large=large)
        if (self._ailing and now < self._test.at) or not workers.free(slots):
            return
        engines = self._setups[slots[0]].context
        try:
            workers.submit(_TEST, RUN_SELF_TEST, engines, limit_s=TEST_LIMIT_S, slots=slots)
        except pool.NoFreeSlotError:
            return
        self._testing = True

    def _tested(self, event: pool.Finished | pool.Failed | pool.Died) -> None:
        self._testing = False
        suspects, self._suspects = self._suspects, []
        if isinstance(event, pool.Finished):
            self._test.well()
            for one in suspects:
                one.work.future.set_result(one.answer)
            if self._ailing:
                self._ailing = ""
                self._changed("")
            return
        said = event.detail if isinstance(event, pool.Died) else str(event.error)
        why = printed(f"Even its test photo cannot be processed ({said})", LONGEST_SENTENCE)
        self._test.failed(self._clock())
        for one in [*(one.work for one in suspects), *self._waiting]:
            one.future.set_result(Unfit(why))
        self._waiting.clear()
        if self._workers is not None and isinstance(event, pool.Failed):
            self._workers.recycle(self._setups)
        self._ailing = why
        self._changed(why)


def _cannot_be_seen(result: protocol.Answer) -> bool:
    return isinstance(result, protocol.Refused) and result.reason in OF_THE_FOLDER


def _fault(error: BaseException) -> Fault:
    """An error of a worker's function, as it came from there."""
    if isinstance(error, WorkerFaultError):
        return Fault(
            "other",
            None,
            printed(error.what, LONGEST_SENTENCE),
            printed(error.fix, LONGEST_SENTENCE),
            printed(error.remote, LONGEST_TRACEBACK, lines=True),
        )
    return fault_of(error if isinstance(error, Exception) else RuntimeError(str(error)))
