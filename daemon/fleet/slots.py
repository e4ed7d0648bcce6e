"""All slots, this machine's and the nodes', behind the face of `workers.pool.Workers`; all are called by numbers.

Everything runs in the thread of the supervisor's loop. The relay's news come in by `heard`; what they mean for a photo
goes out as the events that local slots post, so that nobody above knows where a photo was.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from cutoutd.config.errors import Reason
from cutoutd.daemon.fleet.answers import event_of, is_shared
from cutoutd.daemon.fleet.node_slots import MISSING, Call, NodeSlots
from cutoutd.daemon.fleet.records import (
    MOST_NODES,
    Answered,
    Drop,
    FromRelay,
    Give,
    Lost,
    NodeFacts,
    NodeJob,
    Nodes,
    NodeState,
    Offer,
    PhotoAnswer,
    RelayGone,
    Terms,
    ToRelay,
)
from cutoutd.daemon.live_status import NodeStatus
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers import pool, protocol
from cutoutd.daemon.workers.codec import SchemaError, dumps, from_json, loads
from cutoutd.daemon.workers.ipc import Task

# Numbers of a node's slots begin at a multiple of this; those of this machine lie below.
NODE_STEP: Final = 1000
# A node ends its own workers at their time limit; one that has not answered so long after it is not believed to live.
ANSWER_S: Final = 30.0
MINUTE_S: Final = 60.0
# Fewer days until a node's certificate expires are told.
EXPIRES_SOON_S: Final = 30 * 86400.0


class Link(Protocol):
    """The way to the relay."""

    def say(self, message: ToRelay) -> None:
        """Returns at once."""
        ...

    def attach(self, hear: Callable[[FromRelay], None]) -> None:
        """Who hears what the relay says from now on, from a thread."""
        ...

    def next_call(self) -> int:
        """A number that no earlier call over this link had."""
        ...


class FleetSlots:
    """The slots of all machines.

    Args:
        local: this machine's.
        link: the way to the relay.
        post: takes an event from any thread (a `SimpleQueue.put`).
        into_loop: has a function called with a message in the supervisor's loop, from any thread.
        notice, warning: tell the user a sentence.
        clock: monotonic seconds.
        has_local: whether this machine has any.
        expected: names of nodes that have certificates: who of them never came is missing.
    """

    def __init__(
        self,
        local: pool.Workers,
        link: Link,
        *,
        post: Callable[[pool.Event], None],
        into_loop: Callable[[Callable[[Any], None], Any], None],
        notice: Callable[[str], None] = lambda _text: None,
        warning: Callable[[str], None] = lambda _text: None,
        clock: Callable[[], float] = time.monotonic,
        has_local: bool = True,
        expected: Sequence[str] = (),
    ) -> None:
        self._local = local
        self._link = link
        self._post = post
        self._notice = notice
        self._warning = warning
        self._clock = clock
        self._life = secrets.token_hex(8)
        self._nodes: dict[str, NodeSlots] = {}
        # By base, those that may have a free slot: when there is much to do, hardly any of many nodes.
        self._roomy: dict[int, NodeSlots] = {}
        self._calls: dict[int, tuple[NodeSlots, Call]] = {}  # by number
        self._tags: dict[int, int] = {}  # numbers by tag
        self._look_at = float("inf")  # no call's deadline is earlier
        self._away: dict[str, float] = dict.fromkeys(expected, 0.0)  # since when, in wall-clock seconds
        self._bases = 0
        self._terms: Terms | None = None
        self._why = "The relay is starting."
        self._linked = False
        self._has_local = has_local
        self.joins = 0  # how often a node has become ready
        link.attach(lambda message: into_loop(self.heard, message))

    @property
    def life(self) -> str:
        """The random id of this life of the daemon."""
        return self._life

    def offer(self, terms: Terms) -> None:
        """What nodes must agree to from now on."""
        if terms != self._terms:
            self._terms = terms
            self._link.say(Offer(dumps(terms).decode("ascii")))

    # --- the face of `pool.Workers` -------------------------------------------------------------------------

    def start(self) -> None:
        """Starts this machine's slots. Where it has none, the daemon is ready at once: photos wait for nodes."""
        self._local.start()
        if not self._has_local:
            self._post(pool.SlotReady(-1))

    def load(self) -> None:
        """This machine's; nodes stay loaded."""
        self._local.load()

    def unload(self) -> None:
        """This machine's; nodes stay loaded."""
        self._local.unload()

    def recycle(self, setups: Sequence[pool.WorkerSetup]) -> None:
        """This machine's; nodes follow the terms."""
        self._local.recycle(setups)

    def free(self, among: Sequence[int] | None = None) -> int:
        """How many slots, or how many of these, can take a photo now."""
        now = self._clock()
        if among is None:
            return self._local.free() + sum(node.idle(now) for node in self._roomy.values())
        wanted = {number for number in among if number >= NODE_STEP}
        here = [number for number in among if number < NODE_STEP]
        free = {number for node in self._roomy.values() for number in node.free(now, large=False)}
        return (self._local.free(here) if here else 0) + len(wanted & free)

    def slots_for(self, *, large: bool) -> tuple[int, ...]:
        """Slots of nodes that can take a photo now, best first: those of the node that has most of them free."""
        now = self._clock()
        best: list[int] = []
        for node in self._roomy.values():
            if node.idle(now) > len(best):
                free = node.free(now, large=large)
                best = free if len(free) > len(best) else best
        return tuple(best)

    def machines(self) -> int:
        """How many machines work."""
        ready = sum(node.facts.state is NodeState.READY for node in self._nodes.values())
        return max(1, ready + self._has_local)

    def busy(self) -> int:
        """How many slots have a photo in hand."""
        return self._local.busy() + sum(len(node.calls) for node in self._nodes.values())

    def submit(
        self,
        tag: int,
        task: Task[Any, Any],
        job: Any,
        *,
        limit_s: float,
        slots: Sequence[int] | None = None,
    ) -> None:
        """As for local slots; a photo that no node can see stays here.

        Raises:
            NoFreeSlotError: none of these slots is free.
        """
        numbers = self.slots_for(large=False) if slots is None else slots
        here = None if slots is None else [number for number in slots if number < NODE_STEP]
        if self._has_local and (here is None or here) and self._local.free(here):
            self._local.submit(tag, task, job, limit_s=limit_s, slots=here)
            return
        if task is not jobs.RUN_JOB:
            raise pool.NoFreeSlotError("No worker is free")
        if self._terms is None or not is_shared(job, self._terms):
            if self._has_local:
                raise pool.NoFreeSlotError("No worker of this machine is free")
            sentence = (
                "It lies in no folder that the fleet shares, and this machine does not work (fleet.local)."
            )
            self._post(pool.Finished(tag, protocol.Refused(Reason.NO_PERMISSION, sentence)))
            return
        found = self._first_free(numbers)
        if found is None:
            raise pool.NoFreeSlotError("No worker is free")
        self._give(*found, tag, job, limit_s)

    def _first_free(self, numbers: Sequence[int]) -> tuple[NodeSlots, int] | None:
        """A node and its slot."""
        now = self._clock()
        for number in numbers:
            node = self._roomy.get(number - number % NODE_STEP)
            if node is not None and node.can_take(number, now):
                return node, number
        return None

    def _give(self, node: NodeSlots, slot: int, tag: int, job: protocol.Job, limit_s: float) -> None:
        call = Call(self._link.next_call(), tag, job, slot, self._clock() + limit_s + ANSWER_S)
        node.calls[slot] = call
        if node.is_full():
            del self._roomy[node.base]
        self._calls[call.number], self._tags[tag] = (node, call), call.number
        self._look_at = min(self._look_at, call.deadline)
        given = dumps(NodeJob(self._life, call.number, job, limit_s)).decode("ascii")
        self._link.say(Give(call.number, node.facts.address, given))

    def kill(self, tag: int) -> None:
        """Ends the worker that has this photo; `Died` with cause "killed" follows."""
        found = self._call_of(tag)
        if found is None:
            self._local.kill(tag)
            return
        node, call = found
        self._link.say(Drop(call.number))
        self._owe(node, call, pool.Died(tag, "killed", "ended by the daemon"))

    def tick(self, now: float | None = None, late_s: float = 0.0) -> None:
        """As for local slots; nodes that should have answered are not waited for."""
        self._local.tick(now, late_s)
        now = self._clock() if now is None else now
        for node in self._nodes.values():
            while node.done and node.done[0] <= now - MINUTE_S:
                node.done.popleft()
        if late_s:
            self._look_at += late_s
            for _, call in self._calls.values():
                call.deadline += late_s
        if now >= self._look_at:
            for node, call in [one for one in self._calls.values() if now >= one[1].deadline]:
                self._link.say(Drop(call.number))
                self.doubt(node.facts.name, "does not answer", node=node)
                self._owe(node, call, pool.Died(call.tag, "killed", "The node did not answer."))
            self._look_at = min((call.deadline for _, call in self._calls.values()), default=float("inf"))

    def next_deadline(self) -> float | None:
        """When `tick` has something to do; None while nothing is planned."""
        now = self._clock()
        times = [self._look_at] if self._calls else []
        times += [node.rest_until for node in self._nodes.values() if node.rest_until > now]
        times += [node.done[0] + MINUTE_S for node in self._nodes.values() if node.done]
        local = self._local.next_deadline()
        return min([*times, *([] if local is None else [local])], default=None)

    def stop(self, *, now: bool) -> None:
        """As for local slots; what nodes have in hand is ended with `now`, and owed again."""
        self._local.stop(now=now)
        if now:
            self._link.attach(lambda _message: None)
            for node in self._nodes.values():
                for call in node.calls.values():
                    self._link.say(Drop(call.number))
                node.calls.clear()
            self._calls.clear()
            self._tags.clear()

    def status(self) -> list[pool.SlotStatus]:
        """This machine's slots."""
        return self._local.status()

    # --- what can be seen -----------------------------------------------------------------------------------

    def node_of(self, tag: int) -> str:
        """The node that has this photo; empty for this machine."""
        found = self._call_of(tag)
        return "" if found is None else found[0].facts.name

    def linked(self) -> str:
        """Why the scheduler is not reached; empty when it is."""
        return "" if self._linked else self._why

    def nodes(self) -> tuple[NodeStatus, ...]:
        """Every node, for `status`, those that are missing too."""
        now = self._clock()
        here = [node.status(now) for node in self._nodes.values()]
        known = {one.name for one in here}
        away = [
            NodeStatus(name=name, state=MISSING, missing_since=since)
            for name, since in self._away.items()
            if name not in known
        ]
        return tuple(sorted([*here, *away], key=lambda one: one.name))

    def doubt(self, name: str, why: str, *, node: NodeSlots | None = None) -> None:
        """A node said what is not so, or says nothing: it gets no photo for a while."""
        now = self._clock()
        for one in self._nodes.values() if node is None else (node,):
            if one.facts.name == name and now >= one.rest_until:
                one.trouble = f"It {why}."
                one.retry.failed(now)
                one.rest_until = one.retry.at
                self._warning(
                    f"The node {name} {why}; it gets no photo for {one.rest_until - now:.0f} s. No photo is lost."
                )

    # --- what the relay says --------------------------------------------------------------------------------

    def heard(self, message: FromRelay) -> None:
        """In the loop: one message."""
        match message:
            case Nodes():
                self._linked, self._why = message.linked, message.why
                self._stand(message.nodes)
            case Answered():
                found = self._calls.get(message.call)
                if found is not None:  # nobody waits for one that is late
                    self._answered(*found, message.answer)
            case Lost():
                found = self._calls.get(message.call)
                if found is not None:
                    node, call = found
                    self._owe(node, call, pool.Died(call.tag, "killed", message.why))
            case RelayGone():
                self._linked, self._why = False, message.why
                self._warning(f"{message.why} What nodes had in hand is given out again.")
                self._stand(())

    def _stand(self, nodes: Sequence[NodeFacts]) -> None:
        """These nodes there are, and no other."""
        there = {facts.address: facts for facts in nodes}
        for address in [one for one in self._nodes if one not in there]:
            node = self._nodes.pop(address)
            owed = len(node.calls)
            for call in list(node.calls.values()):
                self._owe(node, call, pool.Died(call.tag, "killed", "The node is gone."))
            self._roomy.pop(node.base, None)
            hand = f"; {owed} photos that it had in hand are given out again" if owed else ""
            if node.facts.joined is not None:
                if len(self._away) < MOST_NODES or node.facts.name in self._away:
                    self._away[node.facts.name] = time.time()
                left = "has left" if node.facts.state is NodeState.LEAVING else "is gone"
                self._notice(f"The node {node.facts.name} {left}{hand}.")
        for address, facts in there.items():
            node = self._nodes.get(address)
            before = None if node is None else node.facts
            if node is None:
                self._bases += 1
                node = self._nodes[address] = NodeSlots(facts, self._bases * NODE_STEP)
            node.facts = facts
            self._roomy[node.base] = node
            if before is None or (before.state, before.why) != (facts.state, facts.why):
                self._tell(facts)

    def _tell(self, facts: NodeFacts) -> None:
        """One line for each change of a node."""
        if facts.state is NodeState.READY and facts.joined is not None:
            self.joins += 1
            self._notice(f"The node {facts.name} works too ({facts.joined.slots} at once).")
        elif facts.state in (NodeState.REFUSED, NodeState.UNFIT):
            self._warning(f"The node {facts.name} gets no photo: {facts.why}")

    def _answered(self, node: NodeSlots, call: Call, text: str) -> None:
        try:
            answer: PhotoAnswer = from_json(PhotoAnswer, loads(text.encode("ascii"), trusted=False))
            event, why = event_of(call.tag, call.job, answer)
        except (SchemaError, UnicodeEncodeError) as error:
            event, why = (
                pool.Died(call.tag, "killed", str(error)),
                f"gave an answer that was refused ({error})",
            )
        if why:
            self.doubt(node.facts.name, why, node=node)
        elif isinstance(event, pool.Finished):
            node.retry.well()
            node.done.append(self._clock())
        self._owe(node, call, event)

    def _owe(self, node: NodeSlots, call: Call, event: pool.Event) -> None:
        """The call is over, one way or another."""
        node.calls.pop(call.slot, None)
        self._roomy[node.base] = node
        self._calls.pop(call.number, None)
        if self._tags.get(call.tag) == call.number:
            del self._tags[call.tag]
        self._post(event)

    def _call_of(self, tag: int) -> tuple[NodeSlots, Call] | None:
        number = self._tags.get(tag)
        return None if number is None else self._calls.get(number)
