"""A node: the process that a head's jobs reach by Dask, with its sandboxed workers beneath it; it opens no photo.

The connection may break and be made anew as often as it likes: workers stay warm meanwhile, and what was in hand is
owed again on the head.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from cutoutd.config.errors import ConfigError, CutoutError, ExitCode, mistake, printable
from cutoutd.config.fleet import NODE_FILE, Node
from cutoutd.config.timeouts import run_with_timeout
from cutoutd.daemon.backoff import Retry
from cutoutd.daemon.files.mounts import inode_of
from cutoutd.daemon.fleet import dask, tasks
from cutoutd.daemon.fleet.joining import SHARE_S, Bound, Here, JoinError, agree, same_version
from cutoutd.daemon.fleet.node_pool import NodePool
from cutoutd.daemon.fleet.paths import NotSharedError, PathMap
from cutoutd.daemon.fleet.records import (
    Declined,
    JoinAnswer,
    Joined,
    NodeJob,
    PhotoAnswer,
    Terms,
    Unfit,
)
from cutoutd.daemon.fleet.roles import Role
from cutoutd.daemon.workers.codec import dumps, from_json, loads
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE
from cutoutd.daemon.workers.message_rules import printed
from cutoutd.daemon.workers.sizing import pool_size_for
from cutoutd.daemon.workers.slot import SlotReady

# A scheduler that does not answer is tried again after this long, which doubles up to half a minute.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
CONNECT_S: Final = 10.0
# A node that leaves waits for what it has in hand, and then so long until all of that is answered.
SAID_S: Final = 5.0

_LOG = logging.getLogger("cutoutd")


class Places(Struct, frozen=True):
    """Where a node keeps its things, and how long it waits for photos in hand when it is told to stop, in seconds."""

    certificates: Path
    state: Path
    models: Path
    cache: Path | None
    grace_s: float = 30.0


class FleetNode:
    """One node, from its first connection to its last photo.

    Args:
        settings: its own file.
        places: its folders.
    """

    def __init__(self, settings: Node, places: Places) -> None:
        self.restart = False  # the process is to be started anew, bound to the shares that are there now
        self._shares = _inodes(settings)
        self._settings = settings
        self._places = places
        slots = settings.slots or pool_size_for((), 0).size
        self._here = Here(PathMap.of(settings.folder), slots, places.state, places.models, places.cache)
        self._pool = NodePool(self._changed, broken=_end)
        self._joining = threading.Lock()
        self._bound: Bound | None = None
        self._worker: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving = False
        self._stop = asyncio.Event()
        self._signals = 0

    # --- what the head asks ---------------------------------------------------------------------------------

    def join(self, terms: str) -> str:
        """See `tasks.NodeServer`; in a thread."""
        with self._joining:
            answer = self._joined(terms)
        if isinstance(answer, Declined):
            _LOG.warning("refused by the head: %s", answer.why)
        return dumps(answer).decode("ascii")

    def _joined(self, text: str) -> JoinAnswer:
        now = _inodes(self._settings)
        if any(now[path] is not None and now[path] != inode for path, inode in self._shares.items()):
            self._start_anew()
            return Declined("A share was mounted anew; the node starts again.", again=True)
        try:
            said = loads(text.encode("ascii"), trusted=True)
            same_version(said["version"])  # first: its other fields may have changed too
            terms: Terms = from_json(Terms, said, at="terms", trusted=True)
            bound = agree(terms, self._here)
            self._pool.keep_only(terms.life)
            ready: SlotReady = self._pool.adopt(bound.setups, bound.size).result(
                bound.setups[0].start_limit_s
            )
        except JoinError as error:
            return Declined(printed(error.what, LONGEST_SENTENCE), error.again)
        except (CutoutError, TimeoutError) as error:
            why = str(error) or "they take too long"
            return Declined(printed(f"Its workers do not start: {why}", LONGEST_SENTENCE), again=True)
        self._bound = bound
        sandbox = ready.sandbox
        loose = "" if sandbox is None or sandbox.files_confined else f"files: {sandbox.files}"
        loose = loose if sandbox is None or sandbox.network_refused else f"network: {sandbox.network}"
        mine = certificate_of(self._places.certificates / "node.pem")
        _LOG.info("joined: %d slots, %s", bound.size.size, ", ".join(ready.warm_up or {}))
        return Joined(
            bound.size.size,
            bound.size.large,
            ready.warm_up or {},
            printed(loose, LONGEST_SENTENCE),
            mine.expires if mine is not None else 0.0,
        )

    async def photo(self, job: str) -> str:
        """See `tasks.NodeServer`."""
        try:
            answer = await self._photo(job)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not have the head try the same for ever
            _LOG.error("a mistake of cutoutd's own: %s", mistake(error))
            answer = Unfit(printed(f"cutoutd made a mistake there ({mistake(error)})", LONGEST_SENTENCE))
        return dumps(answer).decode("ascii")

    async def _photo(self, text: str) -> PhotoAnswer:
        given: NodeJob = from_json(NodeJob, loads(text.encode("ascii"), trusted=True), at="job", trusted=True)
        bound = self._bound
        if self._leaving or bound is None or bound.terms.life != given.life:
            return Unfit("")
        job = given.job
        outbox = job.outboxes[0] if job.outboxes else b""
        try:
            mine = self._here.paths.job(job, bound.inodes.get(outbox))
        except NotSharedError:  # without the path: photos' names are the head's to tell
            return Unfit("Something of a photo lies in no [[folder]] of this node's file")
        alive = partial(self._trouble, bound)
        future = self._pool.run(
            given.life, given.call, mine, given.limit_s, large=job.model in bound.large, alive=alive
        )
        return await asyncio.wrap_future(future)

    def drop(self, life: str, call: int) -> None:
        """See `tasks.NodeServer`."""
        self._pool.drop(life, call)

    def _trouble(self, bound: Bound) -> str:
        """What is wrong with the shared folders now; empty when nothing is."""
        for path, inode in bound.inodes.items():
            here = Path(os.fsdecode(self._here.paths.here(path)))
            found = run_with_timeout(SHARE_S, lambda here=here: inode_of(here), otherwise=None)
            if found is None:
                return f"{here} is not there, or does not answer"
            if found != inode:
                return f"{here} is another folder than when it joined: is the share mounted?"
        return ""

    def _changed(self, why: str) -> None:
        """The machine cannot work, or can again: the head is told, and asks it to join again in its time."""
        _LOG.warning("%s", why or "the engine works again")
        self._tell(tasks.NodeSays.UNFIT if why else tasks.NodeSays.WELL, why)

    def _tell(self, state: tasks.NodeSays, why: str = "") -> None:
        worker, loop = self._worker, self._loop
        if worker is not None and loop is not None:
            news = {"state": str(state), "why": why}
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(worker.log_event, tasks.NEWS, news)

    # --- its life -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connects, works, and connects again, until it is told to stop.

        Raises:
            EngineError: the package distributed is missing.
            ConfigError: the certificate is another machine's.
        """
        dask.load()
        mine = certificate_of(self._places.certificates / "node.pem")
        if mine is not None and mine.machine != self._settings.name:
            raise ConfigError(
                f"This node's file calls it {self._settings.name}, and its certificate {printable(mine.machine)}",
                self._places.certificates / NODE_FILE,
                "Copy the folder that `cutoutd fleet init` made for this machine.",
            )
        tasks.serve(self)
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._asked_to_stop)
        security = dask.security(self._places.certificates, Role.NODE)
        retry = Retry(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        told = ""
        while not self._stop.is_set():
            why = await self._connected(security)
            if self._stop.is_set():
                break
            self._pool.drop_all()
            if why:
                if why != told:
                    _LOG.warning("%s; tried again until it answers", why)
                told = why
                retry.failed(0.0)
            else:
                told = ""
                retry.well()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), min(retry.at, LONGEST_PAUSE_S))
        await asyncio.to_thread(self._pool.end)

    async def _connected(self, security: Any) -> str:
        """One connection, from its beginning to its end. Returns why there was none; empty after one."""
        why = await refusal(self._settings.scheduler, security)
        if why:
            return why
        worker: Any = dask.worker_class()(
            self._settings.scheduler,
            nthreads=self._here.slots,
            node=self,
            name=f"{self._settings.name}/{secrets.token_hex(4)}",
            security=security,
            local_directory=str(self._places.state / "dask"),
            death_timeout=CONNECT_S,
        )
        try:
            await worker
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            with suppress(Exception):
                await worker.close()
            return f"The scheduler at {self._settings.scheduler} does not take this node ({error.__cause__ or error})"
        # Dask looks for code in its scratch folder first; nothing is sent there, and workers inherit the import path.
        sys.path[:] = [entry for entry in sys.path if entry != worker.local_directory]
        self._worker = worker
        _LOG.info("connected to %s as %s", self._settings.scheduler, self._settings.name)
        ended = asyncio.ensure_future(worker.finished())
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not ended.done():
            await self._leave(worker)
            await worker.close()
        self._worker = None
        if not self._stop.is_set():
            _LOG.warning("the connection to the scheduler ended")
        return ""

    def _start_anew(self) -> None:
        """The kernel binds this process to the folders that were there at its start."""
        self.restart = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked_to_stop)

    def _asked_to_stop(self) -> None:
        self._signals += 1
        self._leaving = True
        self._stop.set()
        if self._signals > 1:
            self._pool.drop_all()

    async def _leave(self, worker: Any) -> None:
        """Takes nothing more, finishes what is in hand, and waits until the head has heard of it."""
        self._tell(tasks.NodeSays.LEAVING)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._places.grace_s
        while self._pool.busy() and loop.time() < until and self._signals < 2:  # noqa: ASYNC110 - a thread's state
            await asyncio.sleep(0.05)
        self._pool.drop_all()
        if worker.photos:  # said before the connection is closed, which says so after them
            await asyncio.wait(worker.photos, timeout=SAID_S)


def _end(error: Exception) -> None:
    """Its keeper starts the node again; what was in hand is owed on the head as soon as the connection breaks."""
    _LOG.error("a mistake of cutoutd's own ended the node: %s", mistake(error))
    os._exit(ExitCode.INTERNAL)


def _inodes(settings: Node) -> dict[Path, tuple[int, int] | None]:
    """Device and inode of each shared folder; None where it is not there, or does not answer."""
    return {
        one.here: run_with_timeout(SHARE_S, lambda one=one: inode_of(one.here), otherwise=None)
        for one in settings.folder
    }


async def refusal(scheduler: str, security: Any) -> str:
    """Why a scheduler does not take us, found by asking it for something harmless; empty when it does."""
    distributed = dask.load()
    comm: Any = None
    try:
        comm = await distributed.comm.connect(
            scheduler, timeout=CONNECT_S, **security.get_connection_args("worker")
        )
        await comm.write({"op": "versions", "reply": True})
        await asyncio.wait_for(comm.read(), CONNECT_S)
    except (OSError, TimeoutError) as error:
        told = error.__cause__ or error
        hint = ""
        if "certificate" in str(told).lower() or "alert" in str(told).lower():
            hint = " (the certificates of both sides must come from the same `cutoutd fleet init` and be in date)"
        return f"The scheduler at {scheduler} cannot be reached: {told}{hint}"
    finally:
        if comm is not None:
            comm.abort()
    return ""


class Certificate(Struct, frozen=True):
    """What of a node's certificate concerns it: the machine's name, and wall-clock seconds at which it expires."""

    machine: str
    expires: float


def certificate_of(path: Path) -> Certificate | None:
    """None where it cannot be read."""
    import importlib

    x509: Any = importlib.import_module("cryptography.x509")
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        (machine,) = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return Certificate(str(machine.value), float(found.not_valid_after_utc.timestamp()))
    except (OSError, ValueError):
        return None
