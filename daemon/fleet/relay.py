"""The relay: holds the connection to the fleet's scheduler, passes orders on and answers back; it opens no photo.

It is started before the daemon gives up the network, and speaks to it by plain records over two pipes. Before it
connects it gives up all files but its certificates and the program: what a node sends it may be anything.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from cutoutd.daemon.backoff import Retry
from cutoutd.daemon.fleet import dask, tasks
from cutoutd.daemon.fleet.confining import confine
from cutoutd.daemon.fleet.records import (
    MOST_NODES,
    Answered,
    Declined,
    Drop,
    FromRelay,
    Give,
    JoinAnswer,
    Joined,
    Lost,
    NodeFacts,
    Nodes,
    NodeState,
    Offer,
    ToRelay,
)
from cutoutd.daemon.fleet.roles import Role
from cutoutd.daemon.workers.codec import SchemaError, dumps, from_json, loads, printed
from cutoutd.daemon.workers.ipc import LONGEST_CALL_BYTES, LONGEST_SENTENCE, frame, read_frame, write_all
from cutoutd.daemon.workers.process import die_with

# Nodes that came or went are noticed within this time.
LOOK_EVERY_S: Final = 0.5
# A scheduler that does not answer is tried again after this long, which doubles up to ten seconds.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
CONNECT_S: Final = 5.0
# One that answers slower than this while it is connected counts as gone: photos wait for nobody.
ANSWER_S: Final = 3.0
# A node that was refused, or met trouble, is asked again after this long, which doubles up to five minutes.
FIRST_ASK_S, LONGEST_ASK_S = 5.0, 300.0

_LOG = logging.getLogger("cutoutd")


@dataclass(slots=True)
class _Node:
    """One Dask worker.

    Attributes:
        terms: those that it agreed to, or was last asked to agree to.
        ask_at: when it is asked (again), in monotonic seconds; infinity while it need not be.
        calls: what it has in hand.
    """

    facts: NodeFacts
    executor: Any
    terms: str = ""
    ask_at: float = 0.0
    asking: bool = False
    retry: Retry = field(default_factory=lambda: Retry(FIRST_ASK_S, LONGEST_ASK_S))
    calls: dict[int, Any] = field(default_factory=dict[int, Any])


class Relay:
    """The relay's whole state; one lock, for Dask answers in threads of its own.

    Args:
        scheduler: its address.
        certificates: folder with the head's.
        answers: the pipe to the daemon.
    """

    def __init__(self, scheduler: str, certificates: Path, answers: int) -> None:
        self._scheduler = scheduler
        self._certificates = certificates
        self._answers = answers
        self._writing = threading.Lock()
        self._lock = threading.RLock()
        self._client: Any = None
        self._nodes: dict[str, _Node] = {}
        self._terms = ""
        self._why = "Not connected yet."
        self._told: Nodes | None = None
        self._asking = ThreadPoolExecutor(16, "join")
        self._bell = threading.Event()

    # --- the daemon's orders, in the thread that reads them -------------------------------------------------

    def order(self, message: ToRelay) -> None:
        """Carries out one."""
        match message:
            case Offer():
                with self._lock:
                    self._terms = message.terms
                self._bell.set()
            case Give():
                self._give(message)
            case Drop():
                self._drop(message.call)

    def _give(self, give: Give) -> None:
        with self._lock:
            node = self._nodes.get(give.node)
            if node is None or self._client is None or node.facts.state is not NodeState.READY:
                self._say(Lost(give.call, "The node is gone."))
                return
            future: Future[str] = node.executor.submit(tasks.photo, give.order)
            node.calls[give.call] = future
        future.add_done_callback(partial(self._answered, node, give.call))

    def _answered(self, node: _Node, call: int, future: Future[str]) -> None:
        with self._lock:
            if node.calls.pop(call, None) is None:
                return  # it was told as lost
        try:
            self._say(Answered(call, future.result()))
        except CancelledError:
            self._say(Lost(call, "The connection to the scheduler broke."))
        except Exception as error:  # noqa: BLE001 - whatever Dask says, the photo is owed again
            self._say(Lost(call, printed(f"{type(error).__name__}: {error}", LONGEST_SENTENCE)))

    def _drop(self, call: int) -> None:
        with self._lock:
            node = next((one for one in self._nodes.values() if call in one.calls), None)
            client, life = self._client, self._life()
            if node is None or client is None:
                return
            address = node.facts.address
        self._asking.submit(self._quietly, partial(client.run, tasks.drop, life, call, workers=[address]))

    def _life(self) -> str:
        return str(loads(self._terms.encode("ascii"), trusted=True)["life"]) if self._terms else ""

    @staticmethod
    def _quietly(call: Any) -> None:
        with suppress(Exception):  # it is gone, then, which is told elsewhere
            call()

    # --- the connection, in the main thread -----------------------------------------------------------------

    def watch(self) -> None:
        """Connects, looks after the nodes, and connects again; for ever."""
        retry = Retry(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                self._connect()
                retry.well()
                self._look_after_nodes()
            except Exception as error:  # noqa: BLE001 - whatever Dask says: it is tried again
                self._broken(printed(_words(error), LONGEST_SENTENCE))
            retry.failed(0.0)
            time.sleep(min(retry.at, LONGEST_PAUSE_S))

    def _connect(self) -> None:
        distributed = dask.load()
        security = dask.security(self._certificates, Role.HEAD)
        client: Any = distributed.Client(
            self._scheduler,
            security=security,
            timeout=CONNECT_S,
            set_as_default=False,
            direct_to_workers=False,
            name="cutoutd-head",
        )
        client.subscribe_topic(tasks.TOPIC, self._news)
        # Dask gathers what a client says for 10 ms: what it says of a photo that is done would hold the next one up.
        client.scheduler_comm.interval = dask.GATHER_S
        with self._lock:
            self._client, self._why = client, ""

    def _look_after_nodes(self) -> None:
        """Until the connection breaks, which it raises."""
        while True:
            client = self._client
            found: Any = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=ANSWER_S)
            self._there({str(k): str(v.get("name") or k) for k, v in found["workers"].items()})
            self._ask_who_is_due()
            self._tell()
            self._bell.wait(LOOK_EVERY_S)
            self._bell.clear()
            if client.status != "running":
                raise ConnectionError("the scheduler ended, or the network broke")

    def _broken(self, why: str) -> None:
        with self._lock:
            client, self._client, self._why = self._client, None, why
            for node in self._nodes.values():
                self._lose(node, "The connection to the scheduler broke.")
            self._nodes.clear()
        self._tell()
        if client is not None:
            with suppress(Exception):
                client.close(timeout=1)

    def _lose(self, node: _Node, why: str) -> None:
        calls, node.calls = node.calls, {}
        for call in calls:
            self._say(Lost(call, why))

    def _there(self, addresses: dict[str, str]) -> None:
        """These Dask workers are connected."""
        with self._lock:
            for address in [one for one in self._nodes if one not in addresses]:
                self._lose(self._nodes.pop(address), "The node is gone.")
            for address, name in list(addresses.items())[:MOST_NODES]:
                if address not in self._nodes:
                    shown = printed(name.rpartition("/")[0] or name, 64)
                    facts = NodeFacts(shown, NodeState.JOINING, printed(address, 64), "", None)
                    self._nodes[address] = _Node(facts, self._executor(address))

    def _executor(self, address: str) -> Any:
        """Dask's own: each photo once, on this node, in one of its slots."""
        return self._client.get_executor(
            pure=False, retries=0, resources={dask.PHOTO: 1}, workers=[address], allow_other_workers=False
        )

    def _ask_who_is_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            terms = self._terms
            for node in self._nodes.values():
                stale = node.terms != terms and node.facts.state is not NodeState.LEAVING
                if terms and not node.asking and (stale or now >= node.ask_at):
                    node.asking, node.terms = True, terms
                    node.ask_at = float("inf")
                    self._asking.submit(self._ask, node, terms)

    def _ask(self, node: _Node, terms: str) -> None:
        """In a thread: has a node agree to the terms."""
        answer: JoinAnswer
        try:
            client = self._client
            said: Any = client.run(tasks.join, terms, workers=[node.facts.address])
            text = str(said[node.facts.address])
            answer = from_json(JoinAnswer, loads(text.encode("ascii"), trusted=False))
        except Exception as error:  # noqa: BLE001 - it went, or is of another kind: asked again if it stays
            answer = Declined(printed(f"It does not answer as a node ({_words(error)})", 600), again=True)
        with self._lock:
            node.asking = False
            if node.facts.state is NodeState.LEAVING:
                return
            if isinstance(answer, Joined):
                node.retry.well()
                node.facts = replace(node.facts, state=NodeState.READY, why="", joined=answer)
            else:
                node.retry.failed(time.monotonic())
                node.ask_at = node.retry.at
                node.facts = replace(node.facts, state=NodeState.REFUSED, why=answer.why, joined=None)
        self._tell()

    def _news(self, event: Any) -> None:
        """What a node says between joinings, in Dask's thread."""
        with suppress(Exception):
            _, said = event
            with self._lock:
                node = self._nodes.get(str(said["address"]))
                if node is None:
                    return
                state, why = str(said["state"]), printed(said["why"], LONGEST_SENTENCE)
                if state == "leaving":
                    node.facts = replace(node.facts, state=NodeState.LEAVING)
                elif state == "unfit":
                    node.facts = replace(node.facts, state=NodeState.UNFIT, why=why)
                elif state == "well":
                    node.ask_at = 0.0
            self._tell()
            self._bell.set()

    # --- to the daemon --------------------------------------------------------------------------------------

    def _tell(self) -> None:
        with self._lock:
            nodes = tuple(node.facts for _, node in sorted(self._nodes.items()))
            news = Nodes(self._client is not None, self._why, nodes)
            if news != self._told:
                self._told = news
                self._say(news)

    def _say(self, message: FromRelay) -> None:
        data = frame(dumps(message))
        try:
            with self._writing:
                write_all(self._answers, data)
        except OSError:  # the daemon is gone
            os._exit(0)


def _words(error: BaseException) -> str:
    told = error.__cause__ or error
    return str(told) or type(told).__name__


def main(scheduler: str, certificates: str, parent: int, calls: int, answers: int) -> None:
    """The relay's whole life: until its keeper's pipe ends."""
    die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the daemon, which ends the pipe
        signal.signal(number, signal.SIG_IGN)
    confine(Path(certificates))
    relay = Relay(scheduler, Path(certificates), answers)
    threading.Thread(target=relay.watch, name="watch", daemon=True).start()
    with suppress(OSError, SchemaError):
        while (body := read_frame(calls, LONGEST_CALL_BYTES)) is not None:
            relay.order(from_json(ToRelay, loads(body, trusted=True), at="order", trusted=True))
    os._exit(0)
