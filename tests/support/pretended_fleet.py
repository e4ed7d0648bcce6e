"""Nodes that need no network, for the simulation: they do the work on real files when, and as, a test says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.digests import digest_of
from tests.support.simulation import BROKEN, PretendedWorkers, Simulation, cutout_of

from cutoutd.config.errors import Reason
from cutoutd.daemon.files.temporary import TemporaryError, write_temporary
from cutoutd.daemon.fleet.records import (
    Answered,
    Drop,
    FromRelay,
    Give,
    Joined,
    Lost,
    NodeFacts,
    NodeJob,
    Nodes,
    NodeState,
    Offer,
    PhotoAnswer,
    RelayGone,
    Returned,
    ToRelay,
    Unfit,
)
from cutoutd.daemon.supervisor import Supervisor
from cutoutd.daemon.workers import protocol
from cutoutd.daemon.workers.codec import dumps, from_json, loads, to_json


def answer_to(
    job: protocol.Job, write: Callable[[bytes, bytes, bytes], str] = write_temporary
) -> protocol.Answer:
    """What a worker would do and say; the cutout is a mark and the photo's bytes.

    Args:
        job: what is asked for.
        write: takes outbox, temporary and content, and gives the digest.
    """
    try:
        with open(job.path, "rb") as file:
            facts, data = os.fstat(file.fileno()), file.read()
    except FileNotFoundError:
        return protocol.Refused(Reason.VANISHED, "gone")
    digest = digest_of(data)
    if digest in job.known:
        return protocol.Known(digest)
    if data.startswith(BROKEN):
        return protocol.Refused(Reason.TOO_LARGE, "broken")
    written: list[protocol.Written] = []
    for number, (deliverable, outbox, temporary) in enumerate(
        zip(job.deliverables, job.outboxes, job.temporaries, strict=True)
    ):
        made = cutout_of(data, label=deliverable.label)
        try:
            out = write(outbox, temporary, made)
        except TemporaryError as error:
            return protocol.NotTaken(number, error.code, "no room")
        sha256 = hashlib.sha256(made).hexdigest() if job.manifest else ""
        written.append(protocol.Written(out, len(made), 1, 1, sha256))
    return protocol.Report(
        digest, facts.st_size, facts.st_mtime_ns, facts.st_ino, 1, 1, 0.5, tuple(written), {}, (), 0.95
    )


def node(name: str, *, slots: int = 2, large: int = 2, state: NodeState = NodeState.READY) -> NodeFacts:
    joined = Joined(slots, large, {}, "", 0.0) if state in (NodeState.READY, NodeState.LEAVING) else None
    return NodeFacts(name, state, f"tls://{name}:1", "", joined)


@dataclass
class PretendedLink:
    """The relay, its nodes, and everything that may happen to them."""

    hear: Callable[[FromRelay], None] = lambda _message: None
    nodes: dict[str, NodeFacts] = field(default_factory=dict[str, NodeFacts])
    given: list[tuple[Give, NodeJob]] = field(default_factory=list[tuple[Give, NodeJob]])
    late: list[NodeJob] = field(default_factory=list[NodeJob])  # what nodes that are lost still work on
    offers: list[str] = field(default_factory=list[str])
    dropped: list[int] = field(default_factory=list[int])
    calls: int = 0
    ended: str = ""

    # --- the face of `RelayLink` ------------------------------------------------------------------------------

    def attach(self, hear: Callable[[FromRelay], None]) -> None:
        self.hear = hear

    def next_call(self) -> int:
        self.calls += 1
        return self.calls

    def say(self, message: ToRelay) -> None:
        match message:
            case Offer():
                self.offers.append(message.terms)
            case Give():
                job = from_json(NodeJob, loads(message.job.encode(), trusted=True), trusted=True)
                if message.node in {one.address for one in self.nodes.values()}:
                    self.given.append((message, job))
                else:
                    self.hear(Lost(message.call, "The node is gone."))
            case Drop():
                self.dropped.append(message.call)
                self.late += [job for give, job in self.given if give.call == message.call]
                self.given = [one for one in self.given if one[0].call != message.call]

    def close(self) -> None: ...

    # --- what happens -----------------------------------------------------------------------------------------

    def tell(self) -> None:
        self.hear(Nodes(True, "", tuple(self.nodes.values())))

    def join(self, name: str, **more: Any) -> None:
        self.nodes[name] = node(name, **more)
        self.tell()

    def leave(self, name: str) -> None:
        """Gone, with what it had in hand: that is finished later, or never."""
        gone = self.nodes.pop(name)
        self.late += [job for give, job in self.given if give.node == gone.address]
        self.given = [one for one in self.given if one[0].node != gone.address]
        self.tell()

    def relay_dies(self) -> None:
        self.late += [job for _, job in self.given]
        self.given.clear()
        self.nodes.clear()
        self.hear(RelayGone("The relay ended."))

    def answer(self, number: int = 0, answer: PhotoAnswer | None = None) -> None:
        """A node finishes what it was given; `answer` says something else instead."""
        give, job = self.given.pop(number)
        self._say(give.call, answer or Returned(to_json(answer_to(job.job))))

    def answer_twice(self, number: int = 0) -> None:
        give, job = self.given.pop(number)
        said = Returned(to_json(answer_to(job.job)))
        self._say(give.call, said)
        self._say(give.call, said)

    def finish_late(self) -> None:
        """A node that was given up writes its temporary, and an answer that nobody waits for."""
        job = self.late.pop(0)
        self._say(job.call, Returned(to_json(answer_to(job.job))))

    def unfit(self, number: int = 0, why: str = "its share is away") -> None:
        self.answer(number, Unfit(why))

    def _say(self, call: int, answer: PhotoAnswer) -> None:
        self.hear(Answered(call, dumps(answer).decode("ascii")))


class _WithLink(Supervisor):
    """A daemon whose relay is pretended."""

    def __init__(self, *arguments: Any, link: PretendedLink, **more: Any) -> None:
        super().__init__(*arguments, **more)
        vars(self)["_link"] = link


@dataclass
class FleetSimulation(Simulation):
    """A simulation with a fleet."""

    link: PretendedLink = field(default_factory=PretendedLink)
    peace: bool = False  # nodes answer at once from now on

    def turn(self) -> None:
        """As of any simulation."""
        while self.peace and self.link.given:
            self.link.answer()
        super().turn()

    def moves(self) -> bool:
        """As of any simulation, and nodes that are about to answer."""
        return super().moves() or bool(self.peace and self.link.given)

    @property
    def workers(self) -> PretendedWorkers:
        """The head's own."""
        found: PretendedWorkers = vars(self.parts.workers)["_local"]
        return found

    def make(self, *arguments: Any, **more: Any) -> Supervisor:
        return _WithLink(*arguments, link=self.link, **more)
