"""The relay: holds the connection to the fleet's scheduler, passes jobs on and answers back; it opens no photo.

It is started before the daemon gives up the network, and speaks to it by plain records over two pipes. Before it
connects it gives up all files but its certificates and the program: what a node sends it may be anything.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from cutoutd.daemon.backoff import Retry
from cutoutd.daemon.fleet import dask, tasks
from cutoutd.daemon.fleet.confining import confine
from cutoutd.daemon.fleet.records import (
    LONGEST_BODY,
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
from cutoutd.daemon.workers.codec import SchemaError, dumps, from_json, loads
from cutoutd.daemon.workers.ipc import LONGEST_CALL_BYTES, LONGEST_SENTENCE, frame, read_frame, write_all
from cutoutd.daemon.workers.lifetime import die_with
from cutoutd.daemon.workers.message_rules import printed

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


class _Node(Struct):
    """One Dask worker.

    Attributes:
        terms: those that it agreed to, or was last asked to agree to.
        ask_at: when it is asked (again), in monotonic seconds; infinity while it need not be.
        calls: what it has in hand, by the token under which it answers.
        away: it was not there when somebody last looked.
    """

    facts: NodeFacts
    terms: str = ""
    ask_at: float = 0.0
    asking: bool = False
    retry: Retry = field(default_factory=lambda: Retry(FIRST_ASK_S, LONGEST_ASK_S))
    calls: dict[str, int] = field(default_factory=dict[str, int])
    away: bool = False


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
        # A node may still have in hand what an earlier relay gave it, under numbers that come again.
        self._life_of_relay = secrets.token_hex(8)
        # What nodes are to hear, until Dask's thread has its turn: all of it travels in one message.
        self._to_pass_on: list[dict[str, Any]] = []

    # --- what the daemon says, in the thread that reads it --------------------------------------------------

    def hear(self, message: ToRelay) -> None:
        """Does what one message asks for."""
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
            token = self._token(give.call)
            node.calls[token] = give.call
            self._pass_on(give.node, {"op": dask.PHOTO, "token": token, "job": give.job})

    def _drop(self, call: int) -> None:
        with self._lock:
            token = self._token(call)
            node = next((one for one in self._nodes.values() if token in one.calls), None)
            if node is not None:
                self._pass_on(node.facts.address, {"op": dask.DROP, "life": self._life(), "call": call})

    def _token(self, call: int) -> str:
        return f"{self._life_of_relay}-{call}"

    def _pass_on(self, address: str, message: dict[str, Any]) -> None:
        """Has a node hear this; with the lock, and while there is a client."""
        if not self._to_pass_on:
            self._client.loop.add_callback(self._send)
        self._to_pass_on.append({"op": dask.PASS_ON, "node": address, "message": message})

    def _send(self) -> None:
        """In Dask's thread."""
        with self._lock:
            said, self._to_pass_on = self._to_pass_on, []
            client = self._client
        with suppress(Exception):  # the connection broke: all that nodes have in hand is lost, and told so
            client.scheduler_comm.send(*said)

    def _answered(self, event: Any) -> None:
        """What a node says of a photo that it has in hand, in Dask's thread; of another's it can say nothing."""
        with suppress(Exception):  # whatever else is said answers nothing
            _, said = event
            with self._lock:
                node = self._nodes[said["worker"]]  # the scheduler's word
                call = node.calls.pop(said["token"])
            self._say(Answered(call, _travels(said["answer"])))

    def _gone(self, event: Any) -> None:
        """What the scheduler says of a node that is gone, in Dask's thread: nothing of it is heard any more."""
        with suppress(Exception):  # a node said so, of itself, and said it wrongly
            _, said = event
            with self._lock:
                self._lose(self._nodes.pop(said["worker"]), "The node is gone.")
            self._tell()

    def _life(self) -> str:
        return str(loads(self._terms.encode("ascii"), trusted=True)["life"]) if self._terms else ""

    # --- the connection, in a thread of its own -------------------------------------------------------------

    def watch(self) -> None:
        """Connects, looks after the nodes, and connects again; for ever."""
        retry = Retry(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                connection = self._connect()
                retry.well()
                self._look_after_nodes(connection)
            except Exception as error:  # noqa: BLE001 - whatever Dask says: it is tried again
                self._broken(printed(_words(error), LONGEST_SENTENCE))
            retry.failed(0.0)
            time.sleep(min(retry.at, LONGEST_PAUSE_S))

    def _connect(self) -> Any:
        """Dask's client from now on; returns what of it is another one once it has connected again by itself."""
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
        connection: Any = client.scheduler_comm
        client.subscribe_topic(tasks.NEWS, self._news)
        client.subscribe_topic(tasks.ANSWERS, self._answered)
        client.subscribe_topic(tasks.GONE, self._gone)
        # Dask gathers what a client says for 10 ms: what it says of a photo that is done would hold the next one up.
        connection.interval = dask.GATHER_S
        with self._lock:
            self._client, self._why = client, ""
        return connection

    def _look_after_nodes(self, connection: Any) -> None:
        """Until the connection breaks, which it raises."""
        client = self._client
        while True:
            there: Any = client.sync(client.scheduler.ncores, callback_timeout=ANSWER_S)
            if there.keys() != self._nodes.keys():  # all that the scheduler knows of them is long
                found: Any = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=ANSWER_S)
                self._there({str(k): str(v.get("name") or k) for k, v in found["workers"].items()})
            self._ask_who_is_due()
            self._tell()
            self._bell.wait(LOOK_EVERY_S)
            self._bell.clear()
            # On a new connection nothing is subscribed to.
            if client.status != "running" or client.scheduler_comm is not connection:
                raise ConnectionError("the scheduler ended, or the network broke")

    def _broken(self, why: str) -> None:
        with self._lock:
            client, self._client, self._why = self._client, None, why
            self._to_pass_on.clear()
            for node in self._nodes.values():
                self._lose(node, "The connection to the scheduler broke.")
            self._nodes.clear()
        self._tell()
        if client is not None:
            with suppress(Exception):
                client.close(timeout=1)

    def _lose(self, node: _Node, why: str) -> None:
        calls, node.calls = node.calls, {}
        for call in calls.values():
            self._say(Lost(call, why))

    def _there(self, addresses: dict[str, str]) -> None:
        """These Dask workers are connected.

        That one is gone, the scheduler has told after all that it answered; this look may come before. Where nothing
        is told, the second look counts.
        """
        with self._lock:
            for address in [one for one in self._nodes if one not in addresses]:
                if self._nodes[address].away:
                    self._lose(self._nodes.pop(address), "The node is gone.")
                else:
                    self._nodes[address].away = True
            for address, name in list(addresses.items())[:MOST_NODES]:
                if address in self._nodes:
                    self._nodes[address].away = False
                else:
                    shown = printed(name.rpartition("/")[0] or name, 64)
                    facts = NodeFacts(shown, NodeState.JOINING, printed(address, 64), "", None)
                    self._nodes[address] = _Node(facts)

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
                node = self._nodes.get(said["worker"])  # the scheduler's word
                if node is None:
                    return
                state, why = str(said["state"]), printed(said["why"], LONGEST_SENTENCE)
                if state == tasks.NodeSays.LEAVING:
                    node.facts = replace(node.facts, state=NodeState.LEAVING)
                elif state == tasks.NodeSays.UNFIT:
                    node.facts = replace(node.facts, state=NodeState.UNFIT, why=why)
                elif state == tasks.NodeSays.WELL:
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


def _travels(answer: Any) -> str:
    """An answer that a record may hold; empty, which none may be, in place of any other: its node is doubted."""
    fits = (
        isinstance(answer, str) and len(answer) <= LONGEST_BODY and answer.isascii() and answer.isprintable()
    )
    return answer if fits else ""


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
            relay.hear(from_json(ToRelay, loads(body, trusted=True), at="daemon", trusted=True))
    os._exit(0)
