"""The daemon's real parts and real turn in one thread: pretended workers, a clock that is turned by hand.

Ledger, settling, backlog, dispatching, delivery and after-care are the real ones, on real files and real
SQLite. It can be made to die at any call to the file system and at any commit, and be started again.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.digests import digest_of
from tests.support.folders import Below

from cutoutd.config.errors import Reason
from cutoutd.config.output import extension
from cutoutd.config.settings import Settings
from cutoutd.daemon import components as components_module
from cutoutd.daemon.components import Components, Places
from cutoutd.daemon.delivery import left_outboxes as left_outboxes_module
from cutoutd.daemon.delivery import outboxes as outboxes_module
from cutoutd.daemon.events import Listener, Listeners
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.files.temporary import TemporaryError, write_temporary
from cutoutd.daemon.ledger import states
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.originals import aftercare_owed
from cutoutd.daemon.originals import left_inboxes as left_inboxes_module
from cutoutd.daemon.plan import make_plan
from cutoutd.daemon.supervisor import Supervisor
from cutoutd.daemon.watching import inbox as inbox_module
from cutoutd.daemon.workers import pool, protocol
from cutoutd.models.networks.doubt import Doubt

CALLS = (
    "open", "read", "write", "truncate", "fsync", "fsync_dir", "close", "chmod", "fchmod", "rename",
    "rename_noreplace", "exchange", "link", "unlink", "mkdir",
)  # fmt: skip


TURN_S = 0.25
QUIET_S = 5.0  # longer than two polls and a settle time


class Crash(BaseException):
    """The process is gone: nothing may catch it."""


@dataclass
class Crasher:
    """Dies at the n-th point that is passed; with no n it counts them."""

    at: int | None = None
    passed: int = 0
    names: list[str] = field(default_factory=list[str])

    def point(self, name: str) -> None:
        self.passed += 1
        self.names.append(name)
        if self.at is not None and self.passed == self.at:
            raise Crash(name)


class InlineIo:
    """An I/O thread that has no thread: its calls wait until the simulation makes them."""

    def __init__(self, name: str, post: Callable[[Done], None]) -> None:
        self.calls: deque[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = deque()
        self.name = name
        self.post = post
        self.stopped = False
        self.hangs = False
        self.done = 0
        ALL_IO.append(self)

    def call(self, work: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        if self.stopped:
            self.post(Done(then, None, OSError(errno.ENODEV, "the folder is no longer in the config")))
        else:
            self.calls.append((work, then))

    @property
    def waiting(self) -> int:
        return len(self.calls)

    def stop(self) -> None:
        self.stopped = True

    def join(self, timeout_s: float) -> bool:
        return not self.calls

    def step(self) -> bool:
        if not self.calls or self.hangs:
            return False
        work, then = self.calls.popleft()
        value: Any = None
        error: BaseException | None = None
        try:
            value = work()
        except Exception as caught:  # noqa: BLE001 - as the real thread does
            error = caught
        self.done += 1
        self.post(Done(then, value, error))
        return True


ALL_IO: list[InlineIo] = []


class PretendedWorkers:
    """Slots that cut out at once, when the simulation says so; the cutout is a mark and the photo's bytes."""

    def __init__(self, setups: Sequence[object], *, post: Callable[[Any], None], clock: object) -> None:
        self.size = len(setups)
        self.post = post
        self.jobs: deque[tuple[int, Any]] = deque()
        self.slot_of: dict[int, int] = {}
        self.taken: set[int] = set()  # slots that a test keeps busy
        self.kill_next = False
        self.variant = b""
        self.refuse: protocol.Result | None = None
        self.doubts: tuple[Doubt, ...] = ()  # of every cutout from now on
        self.hang = False

    def start(self) -> None:
        for number in range(self.size):
            self.post(pool.SlotReady(number))

    def load(self) -> None: ...

    def unload(self) -> None: ...

    def recycle(self, setups: Sequence[object]) -> None:
        self.size = len(setups)

    def stop(self, *, now: bool) -> None: ...

    def tick(self, *_args: object) -> None: ...

    def next_deadline(self) -> float | None:
        return None

    def free(self, among: Sequence[int] | None = None) -> int:
        return len(self.idle(among))

    def idle(self, among: Sequence[int] | None = None) -> list[int]:
        busy = self.taken | {self.slot_of[tag] for tag, _ in self.jobs}
        numbers = range(self.size) if among is None else among
        return [number for number in numbers if number < self.size and number not in busy]

    def busy(self) -> int:
        return len(self.jobs)

    def status(self) -> list[Any]:
        return []

    def kill(self, tag: int) -> None:
        self.jobs = deque(job for job in self.jobs if job[0] != tag)
        self.post(pool.Died(tag, "killed", "killed by the daemon"))

    def submit(
        self, tag: int, function: object, job: Any, *, limit_s: float, slots: Sequence[int] | None = None
    ) -> None:
        self.slot_of[tag] = self.idle(slots)[0]
        self.jobs.append((tag, job))

    def step(self) -> bool:
        if not self.jobs or self.hang:
            return False
        tag, job = self.jobs.popleft()
        if self.kill_next and tag > 0:
            self.kill_next = False
            self.post(pool.Died(tag, "crashed", "killed by the test"))
        else:
            self.post(pool.Finished(tag, True if tag < 0 else self.work(job)))
        return True

    def work(self, job: protocol.Job) -> protocol.Result:
        try:
            fd = os.open(job.path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return protocol.Refused(Reason.VANISHED, "gone")
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            return protocol.Refused(Reason.NOT_A_REGULAR_FILE, "a link")
        with os.fdopen(fd, "rb") as file:
            facts, data = os.fstat(file.fileno()), file.read()
        digest = digest_of(data)
        if digest in job.known:
            return protocol.Unchanged(digest, job.known[digest])
        if data.startswith(BROKEN):
            return protocol.Refused(Reason.TOO_LARGE, "broken")
        if self.refuse is not None:
            return self.refuse
        variant = self.variant
        if job.mask:  # what it says shows in the cutout
            try:
                with open(job.mask, "rb") as file:
                    variant = file.read()
            except OSError as error:
                return protocol.Refused(Reason.CANNOT_RENDER, f"no mask ({error.strerror})")
        if job.fixes:  # and so do points
            variant += " ".join((*job.fixes.keep, "-", *job.fixes.remove)).encode()
        files: list[protocol.FinishedFile] = []
        try:
            for order, outbox, temporary in zip(job.deliverables, job.outboxes, job.temporaries, strict=True):
                made = cutout_of(data, variant, order.label)
                out = write_temporary(outbox, temporary, made)
                sha256 = hashlib.sha256(made).hexdigest() if job.manifest else ""
                files.append(
                    protocol.FinishedFile(
                        order.label, temporary, out, len(made), 1, 1, extension(order), sha256
                    )
                )
        except TemporaryError as error:
            return protocol.OutboxRefused(error.outbox, error.code, str(error))
        return protocol.Finished(
            digest, facts.st_size, facts.st_mtime_ns, facts.st_ino, 1, 1, 0.5, tuple(files), {},
            confidence=0.6 if self.doubts else 0.95, doubts=self.doubts,
        )  # fmt: skip


# A photo that begins so fails.
BROKEN = b"broken"


def cutout_of(photo: bytes, variant: bytes = b"", label: str = "cutout") -> bytes:
    return b"cutout " + label.encode() + b" " + variant + b" " + photo


class Heard(Listener):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notices: list[str] = []
        self.failures: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def photo_failed(self, event: Any) -> None:
        self.failures.append(event.reason)


@dataclass
class Simulation(Below):
    """One daemon below `root`; `inbox_table` overrides keys of its `[[inbox]]` table."""

    inbox_table: dict[str, Any] = field(default_factory=dict[str, Any])
    tables: dict[str, Any] = field(default_factory=dict[str, Any])
    crasher: Crasher = field(default_factory=Crasher)
    now: float = 1000.0
    wall: float = 1.7e9
    due: float = 0.0  # when the loop has something to do, should nothing come before
    supervisor: Supervisor | None = None
    also: tuple[Listener, ...] = ()  # who hears the daemon too

    @property
    def daemon(self) -> Supervisor:
        assert self.supervisor is not None
        return self.supervisor

    @property
    def parts(self) -> Components:
        return self.daemon.components

    @property
    def workers(self) -> PretendedWorkers:
        found: Any = self.parts.workers
        return found

    # --- life ----------------------------------------------------------------------------------------------

    def settings(self) -> Settings:
        table = {
            "path": self.inbox, "outbox": self.outbox, "events": "poll", "poll_every": 1, "settle_polled": 2,
            **self.inbox_table,
        }  # fmt: skip
        return Settings.model_validate({"inbox": [table], "engine": {"workers": 2}, **self.tables})

    def boot(self) -> Simulation:
        for folder in (self.inbox, self.outbox):
            folder.mkdir(parents=True, exist_ok=True)
        ALL_IO.clear()
        self.heard = Heard()
        plan = make_plan(self.settings(), self.root / "models", None)
        listener = Listeners(self.heard, *self.also)
        self.supervisor = self.make(plan, Places(self.root / "state"), listener, clock=lambda: self.now)
        parts = self.supervisor.make_components()
        parts.ledger.clock = lambda: self.wall
        parts.recover()
        parts.apply(plan)
        return self

    def make(self, *arguments: Any, **more: Any) -> Supervisor:
        """The daemon; others may have more parts."""
        return Supervisor(*arguments, **more)

    def die(self) -> None:
        """Without a goodbye: uncommitted writes are gone, files stay as they are."""
        if self.supervisor is not None:
            self.supervisor.components.ledger.db.close()
            self.supervisor = None

    def stop(self) -> None:
        """A clean stop, as the supervisor makes it: what is in hand is finished first."""
        self.daemon.stop()
        for _ in range(200):
            busy = (
                self.parts.dispatcher.in_hand
                or self.parts.publisher.in_transit()
                or self.parts.aftercare.busy()
            )
            if not busy:
                break
            self.turn()
        self.parts.close()
        for io in ALL_IO:
            while io.step():
                pass
        self.supervisor = None

    # --- time ------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """One turn of the supervisor's loop, after each other part made one step."""
        self.workers.step()
        for io in ALL_IO:
            io.step()
        self.due = self.daemon.turn(self.now)
        self.pass_time(TURN_S)

    def run(self, turns: int = 40) -> Simulation:
        for _ in range(turns):
            self.turn()
        return self

    def finish(self, turns: int = 4000) -> Simulation:
        """Until nothing is owed and nothing moves any more."""
        quiet_since = self.now
        for _ in range(turns):
            self.turn()
            parts = self.parts
            busy = (
                parts.owed()
                or parts.dispatcher.in_hand
                or aftercare_owed(parts.ledger)
                or parts.aftercare.busy()
                or parts.publisher.in_transit()
            )
            if busy:
                quiet_since = self.now
            if self.now - quiet_since > QUIET_S:
                return self
            if not self.moves() and self.due > self.now:  # as the loop itself, which sleeps until then
                self.pass_time(self.due - self.now)
        raise AssertionError(f"never finished: {self.rows()}, {self.heard.warnings}")

    def moves(self) -> bool:
        """Whether anything but the clock makes something happen next."""
        waiting = any(io.calls and not io.hangs for io in ALL_IO)
        in_hand = self.workers.jobs and not self.workers.hang
        return bool(waiting or in_hand or not vars(self.daemon)["_mailbox"].queue.empty())

    def until(self, condition: Callable[[], object]) -> None:
        """Turns until the condition holds."""
        for _ in range(400):
            if condition():
                return
            self.turn()
        raise AssertionError(self.rows())

    def until_in_a_worker(self) -> None:
        """Until a worker has something in hand."""
        self.until(lambda: self.workers.jobs)

    def reload(self) -> None:
        """Takes up what `inbox_table` and `tables` are now."""
        self.parts.apply(make_plan(self.settings(), self.root / "models", None))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    # --- what can be seen --------------------------------------------------------------------------------------

    def put(self, name: str, data: bytes) -> None:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")  # another inode each time, as most programs make
        new.write_bytes(data)
        new.rename(path)

    def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.parts.ledger.read("SELECT * FROM photos ORDER BY id")]

    def states(self) -> dict[str, str]:
        return {os.fsdecode(r["path"] or b"?"): r["state"] for r in self.rows() if r["live"]}

    def outputs(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.outbox)): path.read_bytes()
            for path in sorted(self.outbox.rglob("*"))
            if path.is_file() and not path.name.startswith(".cutoutd-")
        }

    def leftovers(self) -> list[str]:
        folders = (self.inbox, self.outbox, self.archive, self.failed)
        return [str(p) for folder in folders if folder.exists() for p in folder.rglob(".cutoutd-*")]


class _Unsynced(sqlite3.Connection):
    """A connection that waits for no disk."""

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA synchronous="):
            sql = "PRAGMA synchronous=OFF"
        return super().execute(sql, *arguments)


@contextlib.contextmanager
def simulated(
    monkeypatch: pytest.MonkeyPatch, crasher: Crasher | None = None, *, synced: bool = False
) -> Generator[None]:
    """Puts the pretended parts in place, and crash points into every call and commit.

    A pretended death loses nothing that was written, so that nobody waits for a disk unless all is to be `synced`.
    """
    crasher = crasher or Crasher()
    with monkeypatch.context() as patch:
        if not synced:
            patch.setattr(os, "fsync", os.fstat)  # which refuses a closed descriptor as well
            patch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=_Unsynced))
        patch.setattr(inbox_module, "IoThread", InlineIo)
        patch.setattr(outboxes_module, "IoThread", InlineIo)
        patch.setattr(left_outboxes_module, "IoThread", InlineIo)
        patch.setattr(left_inboxes_module, "IoThread", InlineIo)
        patch.setattr(components_module.pool, "Workers", PretendedWorkers)
        for call in CALLS:
            patch.setattr(RealFileSystem, call, _pointed(getattr(RealFileSystem, call), call, crasher))
        commit, durably = Ledger.commit, Ledger.durably

        def crashing_commit(self: Ledger) -> None:
            if self.db.in_transaction and not inside_durably(self):
                crasher.point("before commit")
                commit(self)
                crasher.point("after commit")

        @contextlib.contextmanager
        def crashing_durably(self: Ledger) -> Generator[None]:
            crasher.point("before durable commit")
            with durably(self):
                yield
            crasher.point("after durable commit")

        patch.setattr(Ledger, "commit", crashing_commit)
        patch.setattr(Ledger, "durably", crashing_durably)
        patch.setattr(states, "IllegalTransitionError", _NotedTransition)
        ILLEGAL_STEPS.clear()
        yield
        assert ILLEGAL_STEPS == [], "a photo was to take a step that the table of states does not know"


# Such a step costs one photo and no daemon, so that nothing but this list would show it.
ILLEGAL_STEPS: list[str] = []


class _NotedTransition(states.IllegalTransitionError):
    def __init__(self, photo: int, before: str, after: str) -> None:
        super().__init__(photo, before, after)
        ILLEGAL_STEPS.append(str(self))


def inside_durably(ledger: Ledger) -> bool:
    return bool(vars(ledger)["_depth"])


def _pointed(call: Callable[..., Any], name: str, crasher: Crasher) -> Callable[..., Any]:
    def pointed(self: RealFileSystem, *arguments: Any, **named: Any) -> Any:
        crasher.point(name)
        return call(self, *arguments, **named)

    return pointed
