"""Dask as the fleet uses it: mutual TLS with roles, no dashboard, nothing retried or moved behind our back.

The one place that imports it, and only once somebody asks: it is an extra, called fleet. It ships types for little of
what is used here, so that its parts are of any type.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from pathlib import Path
from typing import Any, Final, cast

from cutoutd.config.errors import EngineError
from cutoutd.config.installing import pip_install
from cutoutd.daemon.fleet.roles import Role, name_of, role_of
from cutoutd.daemon.fleet.tasks import ANSWERS, GONE, NodeServer

# What the head has the scheduler pass on to a node, and what a node then hears: a photo, or that nobody waits for one.
# As messages, not as Dask's tasks: which photo goes where, and that it goes once, is decided by the head.
PASS_ON, PHOTO, DROP = "cutoutd-pass-on", "cutoutd-photo", "cutoutd-drop"
# A node that is not heard of for so long is lost; one that was only slow joins again and loses what it had in hand.
NODE_SILENT_S: Final = 30
# Whoever waits for the interpreter asks for it after so long (by default 5 ms): a photo's way passes six threads that
# share theirs with a loop at work.
SWITCH_S: Final = 0.001
# How often a node says that it is alive, however few there are: Dask would have ten of them do so twice a second.
HEARTBEAT_S: Final = 5.0
# What the head says is gathered for so long before it goes: hardly, for each message is about a photo of its own.
GATHER_S: Final = 0.001
# What a node may ask of the scheduler: to join, to be alive, to leave. Nothing that runs code anywhere.
NODE_MAY: Final = frozenset({"register-worker", "heartbeat_worker", "unregister", "versions"})
# What it may report once it has joined. The scheduler adds whose connection it came by, unless the report says so.
NODE_SAYS: Final = frozenset({"log-event", "worker-status-change", "keep-alive", "close-stream"})

_SETTINGS: Final[dict[str, Any]] = {
    "distributed.comm.require-encryption": True,
    "distributed.comm.tls.min-version": 1.3,
    "distributed.comm.compression": None,
    # A photo is tried again by the ledger, with a new number, and by nobody else.
    "distributed.scheduler.allowed-failures": 0,
    # Each photo goes to the node that the head chose, and stays there.
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": f"{NODE_SILENT_S}s",
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # Nobody looks at how its loop keeps time, or at what it notes for its own developers: fewer wake-ups, less memory.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "30s",
    "distributed.admin.tick.cycle": "10s",
    "distributed.admin.log-length": 100,
    "distributed.admin.low-level-log-length": 1,
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.admin.system-monitor.log-length": 10,
    "distributed.diagnostics.computations.max-history": 1,
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.host-cpu": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.comm.timeouts.connect": "5s",
    "distributed.comm.retry.count": 0,
    "distributed.client.heartbeat": "5s",
}


def load() -> Any:
    """The package, with its settings made ours.

    Raises:
        EngineError: it is not installed.
    """
    try:
        dask: Any = importlib.import_module("dask")
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        fix = f"Run `{pip_install('distributed', 'cryptography')}`."
        raise EngineError(f"a fleet needs the package distributed ({error})", fix=fix) from error
    # Whatever a file or variable of the user's says to Dask in general is not meant for this.
    dask.config.refresh(paths=[], env={})
    dask.config.set(_SETTINGS)
    sys.setswitchinterval(SWITCH_S)
    # All that matters is told in our own words; each connection that breaks would be a page of tracebacks.
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


def security(folder: Path, role: Role) -> Any:
    """What a machine shows and whom it believes, from `ca.pem` and its own pair in this folder."""
    distributed = load()
    certificate, key = str(folder / f"{role}.pem"), str(folder / f"{role}.key")
    shown: dict[str, Any] = {}
    for part in ("client", "scheduler", "worker"):
        shown |= {f"tls_{part}_cert": certificate, f"tls_{part}_key": key}

    base: Any = distributed.Security

    class Security(base):
        """Dask believes any certificate of the authority; here the other side's must also have the right role."""

        def get_connection_args(self, role: str) -> dict[str, Any]:
            """Dask's own, and whose certificate the other end must have."""
            arguments: dict[str, Any] = base.get_connection_args(self, role)
            # Clients and nodes connect to the scheduler, the scheduler to nodes; nodes never to one another.
            peer = Role.NODE if role == "scheduler" else Role.HEAD
            arguments["ssl_context"].check_hostname = True
            return arguments | {"server_hostname": peer.host}

    return Security(tls_ca_file=str(folder / "ca.pem"), require_encryption=True, **shown)


def scheduler_class() -> Any:
    """Dask's scheduler without its web server and extensions, which hears the head's certificate only."""
    base: Any = load().Scheduler

    class FleetScheduler(base):
        """See `scheduler_class`."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            base.__init__(self, *arguments, extensions={}, **options)
            self.stream_handlers[PASS_ON] = self.pass_on
            self.handlers["heartbeat_worker"] = self.heartbeat_of
            self.handlers["unregister"] = self.leave_of
            self.certificates: dict[str, Any] = {}  # by node's address, the one that it joined with

        def pass_on(self, node: str, message: dict[str, Any], **_client: str) -> None:
            """What the head says to one node; that a node is gone is told it by `remove_worker`."""
            if node in self.stream_comms:
                self.worker_send(node, message)

        async def add_worker(self, comm: Any, *, address: str, name: Any, **options: Any) -> None:
            """A node joins under the name in its certificate, and stays until this ends."""
            if not comm.machine or str(name).partition("/")[0] != comm.machine:
                why = f"it calls itself {name}, and its certificate calls it {comm.machine or 'nothing'}"
                await comm.write({"status": "error", "message": why, "time": time.time()})
                return
            # As Dask does, before it: an address that another node has is refused there.
            if (known := self.coerce_address(address)) not in self.workers:
                self.certificates[known] = comm.certificate
            await base.add_worker(self, comm, address=address, name=name, **options)

        async def remove_worker(self, address: str, **options: Any) -> Any:
            """The head hears of it after all that the node has said."""
            known = self.coerce_address(address)
            self.certificates.pop(known, None)
            if known in self.workers:
                self.log_event(GONE, {"worker": known})
            return await base.remove_worker(self, address, **options)

        def heartbeat_of(self, comm: Any, *, address: str, **options: Any) -> Any:
            """A node is alive, by its own word alone."""
            self._is_its_own(comm, address)
            return self.heartbeat_worker(address=address, **options)

        async def leave_of(self, comm: Any, *, address: str, **options: Any) -> Any:
            """A node leaves, by its own word alone."""
            self._is_its_own(comm, address)
            return await self.remove_worker(address, **options)

        def _is_its_own(self, comm: Any, address: str) -> None:
            if self.certificates.get(self.coerce_address(address), comm.certificate) != comm.certificate:
                comm.abort()
                raise OSError("a node spoke for another")

        def heartbeat_worker(self, *arguments: Any, **options: Any) -> Any:
            """What a node hears in answer says also when it is to say so again."""
            said: dict[str, Any] = base.heartbeat_worker(self, *arguments, **options)
            return said | {"heartbeat-interval": HEARTBEAT_S} if "heartbeat-interval" in said else said

        def start_http_server(self, *_arguments: Any, **_options: Any) -> None:
            """There is none."""

        def handle_comm(self, comm: Any) -> Any:
            """Each connection gets the operations of its role."""
            return base.handle_comm(self, _Gate(comm, NODE_MAY))

    return FleetScheduler


def worker_class() -> Any:
    """Dask's worker without its web server and extensions, which hears the scheduler only."""
    base: Any = load().Worker

    class FleetWorker(base):
        """See `worker_class`.

        Args:
            node: what it is asked.
        """

        def __init__(self, *arguments: Any, node: NodeServer, **options: Any) -> None:
            base.__init__(
                self, *arguments, extensions={}, heartbeat_interval=f"{HEARTBEAT_S}s", memory_limit=None,
                dashboard=False, **options,
            )  # fmt: skip
            self.photos: set[asyncio.Task[None]] = set()  # in hand, until they are answered
            self._node = node
            self.stream_handlers[PHOTO] = self._photo
            self.stream_handlers[DROP] = node.drop

        def _photo(self, token: str, job: str) -> None:
            """Takes one in hand, beside the connection."""
            task = asyncio.create_task(self._answer(token, job))
            self.photos.add(task)
            task.add_done_callback(self.photos.discard)

        async def _answer(self, token: str, job: str) -> None:
            """Under the token that came with the job."""
            self.log_event(ANSWERS, {"token": token, "answer": await self._node.photo(job)})

        def start_http_server(self, *_arguments: Any, **_options: Any) -> None:
            """There is none."""

        def handle_comm(self, comm: Any) -> Any:
            """Whoever connects must be the scheduler."""
            return base.handle_comm(self, _Gate(comm, frozenset()))

    return FleetWorker


class _Gate:
    """A connection of which each request, and each report of a node, is looked at; all else is the connection's own.

    Args:
        comm: the connection, its certificate checked by TLS.
        node: what a node may ask; the head may ask anything.
    """

    def __init__(self, comm: Any, node: frozenset[str]) -> None:
        shown: dict[str, Any] = comm.extra_info.get("peercert") or {}
        self.__dict__.update(
            _comm=comm, _node=node, _role=role_of(shown), _joined=False,
            certificate=shown.get("serialNumber"), machine=name_of(shown),
        )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._comm, name, value)

    async def read(self, *arguments: Any, **options: Any) -> Any:
        """The next message; one that the sender may not send ends the connection.

        Raises:
            OSError: it was ended.
        """
        message: Any = await self._comm.read(*arguments, **options)
        if self._role is Role.HEAD:
            return message
        asked = _operation(message)
        may = self._role is Role.NODE and asked in self._node
        if not (_are_own_reports(message) if self._joined else may):
            self._comm.abort()
            raise OSError("a request of somebody who may not make it")
        # After joining, the connection carries the node's own reports.
        self.__dict__["_joined"] = self._joined or asked == "register-worker"
        return message


def _operation(message: Any) -> Any:
    """What a message asks for."""
    return cast("dict[str, Any]", message).get("op") if isinstance(message, dict) else None


def _are_own_reports(message: Any) -> bool:
    """Whether a node may say this, of itself: a report that names a node might name another."""
    reports = cast("list[Any]", message if isinstance(message, list | tuple) else [message])
    return all(_operation(one) in NODE_SAYS and "worker" not in one for one in reports)
